/** Kills the process at random moments while messages are published and consumed: nothing that was acknowledged may be lost. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream, mkdtempSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from '../free-port.ts'

const KILLS = Number(process.env.SIGNALBOX_KILLS ?? 8)
const PUBLISHES = Number(process.env.SIGNALBOX_PUBLISHES ?? 16_000)
const BATCH = 20
const PUBLISHERS = 16
const PROJECT = new URL('../projects/messages', import.meta.url).pathname

interface Message {
  id: string
  key: string
  number: number
}

class Bus {
  readonly port: number
  readonly folder: string
  child: ChildProcess | undefined
  /** Milliseconds from the start of the process to the first answer, of each start. */
  readonly starts: number[] = []

  constructor(port: number, folder: string) {
    this.port = port
    this.folder = folder
  }

  async start(): Promise<void> {
    const startedAt = performance.now()
    const module = new URL('./messages-node.ts', import.meta.url)
    this.child = fork(module, [PROJECT, join(this.folder, 'state')], {
      env: {
        ...process.env,
        SIGNALBOX_TEST_PORT: String(this.port),
        SIGNALBOX_TEST_EFFECTS: join(this.folder, 'effects'),
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    const [message] = await Promise.race([
      once(this.child, 'message'),
      once(this.child, 'exit').then(([code]) =>
        assert.fail(`the node ended with ${code} instead of starting`),
      ),
    ])
    assert.equal(message, 'ready')
    this.starts.push(performance.now() - startedAt)
  }

  async kill(): Promise<void> {
    const gone = once(this.child!, 'exit')
    this.child!.kill('SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    const gone = once(this.child!, 'exit')
    this.child!.kill('SIGTERM')
    await gone
  }
}

/** Publishes messages of its keys, one batch after the other; what is not acknowledged is sent again. */
async function publisher(
  bus: Bus,
  number: number,
  count: number,
  acknowledged: (messages: Message[]) => void,
) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let at = 0; at < count; at += BATCH) {
    const messages = Array.from({ length: Math.min(BATCH, count - at) }, (_, i): Message => {
      const id = `p${number}-${at + i}`
      // Only one message of a key in a batch, since a batch has no order in itself.
      return { id, key: `k${number}-${i}`, number: at / BATCH }
    })
    while (!(await post(bus.port, agent, messages))) await wait(20)
    acknowledged(messages)
  }
  agent.destroy()
}

function post(port: number, agent: Agent, messages: Message[]): Promise<boolean> {
  return new Promise(resolve => {
    const sent = request(
      { port, host: '127.0.0.1', path: '/publish', method: 'POST', agent, timeout: 5_000 },
      response => {
        response.resume()
        response.on('end', () => resolve(response.statusCode === 200))
        response.on('error', () => resolve(false))
      },
    )
    sent.on('timeout', () => sent.destroy())
    sent.on('error', () => resolve(false))
    sent.setHeader('content-type', 'application/json')
    sent.end(JSON.stringify(messages))
  })
}

interface Effects {
  /** By message: the numbers it had in the queue. */
  seqs: Map<string, Set<string>>
  /** By key: the numbers of its messages in the order of their first effect. */
  order: Map<string, number[]>
  notes: Map<string, Set<string>>
}

async function effectsOf(path: string): Promise<Effects> {
  const effects: Effects = { seqs: new Map(), order: new Map(), notes: new Map() }
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const parts = line.split(' ')
    if (parts.length === 2) {
      const [subscription, id] = parts as [string, string]
      effects.notes.set(subscription, (effects.notes.get(subscription) ?? new Set()).add(id))
      continue
    }
    const [id, seq, key, number] = parts as [string, string, string, string]
    if (!effects.seqs.has(id)) effects.order.set(key, [...(effects.order.get(key) ?? []), Number(number)])
    effects.seqs.set(id, (effects.seqs.get(id) ?? new Set()).add(seq))
  }
  return effects
}

test(`${KILLS} kills during ${PUBLISHES} acknowledged publishes lose nothing, double nothing, keep the order by key`, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-messages-'))
  const bus = new Bus(await freePort(), folder)
  t.after(async () => {
    if (bus.child?.exitCode === null) await bus.kill()
    rmSync(folder, { recursive: true, force: true })
  })
  await bus.start()
  const acknowledged = new Set<string>()
  const first = new Set<string>()
  const perPublisher = Math.ceil(PUBLISHES / PUBLISHERS)
  const publishing = Promise.all(
    Array.from({ length: PUBLISHERS }, (_, number) =>
      publisher(bus, number, perPublisher, messages => {
        first.add(messages[0]!.id)
        for (const { id } of messages) acknowledged.add(id)
      }),
    ),
  )
  for (let kill = 1; kill <= KILLS; kill++) {
    // At a moment that depends on how far the publishers are, spread over the whole run.
    const target = ((kill - Math.random()) / KILLS) * PUBLISHES * 0.95
    while (acknowledged.size < target) await wait(5)
    await bus.kill()
    await bus.start()
  }
  await publishing
  let effects = await effectsOf(join(folder, 'effects'))
  const deadline = Date.now() + 30_000
  const missing = () => [...acknowledged].filter(id => !effects.seqs.has(id))
  const unnoted = () =>
    ['first', 'second'].flatMap(name => [...first].filter(id => !effects.notes.get(name)?.has(id)))
  while (missing().length + unnoted().length > 0 && Date.now() < deadline) {
    await wait(200)
    effects = await effectsOf(join(folder, 'effects'))
  }
  await bus.stop()
  assert.deepEqual(missing().slice(0, 10), [], 'acknowledged messages had no effect')
  assert.deepEqual(unnoted().slice(0, 10), [], 'subscriptions missed messages')
  const doubled = [...effects.seqs].filter(([, seqs]) => seqs.size > 1)
  assert.deepEqual(doubled.slice(0, 10), [], 'messages are in the queue twice')
  for (const [key, numbers] of effects.order) {
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
      `order of ${key}`,
    )
  }
  const slowest = Math.max(...bus.starts)
  t.diagnostic(`${acknowledged.size} acknowledged; slowest start ${Math.round(slowest)} ms`)
})
