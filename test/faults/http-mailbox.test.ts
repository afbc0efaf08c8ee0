/** A service whose mailbox is full: each request is answered, refused with 503, or counted as a dead letter. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Overflow } from '../../core/actor/mailbox.ts'
import { type Node, startNode } from '../../core/node.ts'
import { parseOptions } from '../../core/schema.ts'
import { createLogger } from '../../core/telemetry/log.ts'
import { HttpChannelOptions } from '../../transports/http/channel-options.ts'
import { FAULTY, urlOf } from '../faulty-bus.ts'
import { type Answer, call, until } from '../load.ts'
import { CAPACITY, type MailboxConfig } from '../mailbox-boot.ts'

const REQUESTS = 30
/** What the actor can hold: its mailbox, and the message in its hands. */
const HELD = CAPACITY + 1

for (const [overflow, code] of [
  ['reject', 'SIGNALBOX_MAILBOX_FULL'],
  ['dropOldest', 'SIGNALBOX_MAILBOX_DROPPED'],
] as const) {
  test(`${overflow}: ${REQUESTS - HELD} of ${REQUESTS} requests get 503 and are dead letters`, async () => {
    await using bus = await startTight(overflow)
    const answers = Array.from({ length: REQUESTS }, () => call(bus.url))
    const refused = settledOf(answers)
    await until(() => refused.length === REQUESTS - HELD, 'what does not fit is refused')
    for (const answer of refused) {
      assert.equal(answer.status, 503)
      assert.equal((JSON.parse(answer.body) as { code: string }).code, code)
      assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/)
    }
    assert.deepEqual(await bus.counts(), { handled: 0, deadLetters: REQUESTS - HELD })
    await bus.release()
    const all = await Promise.all(answers)
    assert.equal(all.filter(({ status }) => status === 200).length, HELD)
    assert.deepEqual(await bus.counts(), { handled: HELD, deadLetters: REQUESTS - HELD })
  })
}

test('wait: requests wait for a place up to maxInFlight, the others get 503, and none is lost', async () => {
  const maxInFlight = 20
  await using bus = await startTight('wait', { maxInFlight })
  const answers = Array.from({ length: REQUESTS }, () => call(bus.url))
  const refused = settledOf(answers)
  await until(() => refused.length === REQUESTS - maxInFlight, 'what is too much is refused')
  for (const answer of refused) {
    assert.equal(answer.status, 503)
    assert.equal((JSON.parse(answer.body) as { code: string }).code, 'SIGNALBOX_OVERLOADED')
    assert.equal(answer.headers['retry-after'], '1')
  }
  await bus.release()
  const all = await Promise.all(answers)
  assert.equal(all.filter(({ status }) => status === 200).length, maxInFlight)
  assert.deepEqual(await bus.counts(), { handled: maxInFlight, deadLetters: 0 })
})

test('wait: what waits past its time limit gets 504 and is not handled later', async () => {
  await using bus = await startTight('wait', {}, 300)
  const answers = await Promise.all(Array.from({ length: REQUESTS }, () => call(bus.url)))
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([504]))
  await bus.release()
  assert.equal((await call(bus.url)).status, 200)
  // The one that was in the hands of the service, and the last.
  assert.equal((await bus.counts()).handled, 2)
})

/** The answers that have come so far. */
function settledOf(answers: Promise<Answer>[]): Answer[] {
  const settled: Answer[] = []
  // A broken connection fails the test where all are awaited.
  for (const answer of answers) answer.then(one => settled.push(one)).catch(() => {})
  return settled
}

interface TightBus extends AsyncDisposable {
  url: string
  counts(): Promise<{ handled: number; deadLetters: number }>
  release(): Promise<unknown>
}

/** A node with one worker, whose service holds on to what it gets. */
async function startTight(overflow: Overflow, options: object = {}, timeoutMs?: number): Promise<TightBus> {
  const routes = [{ path: '/', target: 'service/tight', ...(timeoutMs && { timeoutMs }) }]
  const channel = parseOptions<unknown>(HttpChannelOptions, { port: 0, routes, ...options }, 'public')
  const config: MailboxConfig = {
    root: FAULTY,
    security: [],
    connections: [],
    consumers: [],
    channels: [{ name: 'public', type: 'http', options: channel }],
    overflow,
  }
  const boot = new URL('../mailbox-boot.ts', import.meta.url)
  const node: Node = await startNode({ workers: 1, boot, config, log: createLogger({}, { level: 'error' }) })
  const ask = (verb: string) => node.host.workers[0]!.request(verb, undefined)
  return {
    url: await urlOf(node),
    counts: () => ask('counts') as Promise<{ handled: number; deadLetters: number }>,
    release: () => ask('release'),
    [Symbol.asyncDispose]: async () => {
      await ask('release')
      await node.stop(1_000)
    },
  }
}
