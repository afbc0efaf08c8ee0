/** A worker that misbehaves is found and replaced while the others serve as if nothing had happened. */
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { after, before, test } from 'node:test'
import { type FaultyBus, startFaulty } from '../faulty-bus.ts'
import { call, Load, until } from '../load.ts'

let bus: FaultyBus

before(async () => {
  bus = await startFaulty(3)
})
after(() => bus.node.stop(1_000))

for (const fault of ['spin', 'heap', 'exit', 'throw', 'reject', 'buffers']) {
  test(`${fault}: found within 3 s, replaced, the other workers never fail a request`, async () => {
    const replacedBefore = bus.node.host.replaced
    const load = new Load(`${bus.url}/where`, 12)
    await until(() => new Set(load.outcomes.map(({ thread }) => thread)).size > 3, 'load on all workers')
    const { agent, thread } = await pinned()
    const start = Date.now()
    const broken = call(`${bus.url}/do/${fault}`, { method: 'POST', agent }).then(
      ({ status }) => status,
      () => 'connection broken',
    )
    await until(() => bus.node.host.replaced > replacedBefore, 'the worker is replaced', 10_000)
    assert.ok(Date.now() - start < 3_000 + 500, `found after ${Date.now() - start} ms`)
    assert.equal(await broken, 'connection broken')
    await until(() => bus.node.host.workers.every(({ state }) => state === 'ready'), 'the new worker is ready')
    const before = load.ok
    await until(() => load.ok > before + 100, 'load goes on')
    await load.stop()
    agent.destroy()
    const others = load.failed.filter(outcome => outcome.thread !== undefined && outcome.thread !== thread)
    assert.deepEqual(others, [])
    assert.equal(bus.node.host.replaced, replacedBefore + 1)
  })
}

test('calls under way to a worker that dies fail at once with a typed error, later ones succeed', async () => {
  const replacedBefore = bus.node.host.replaced
  // Keyed services spread over all workers: some of these asks wait for the one that is about to die.
  const hanging = call(`${bus.url}/everywhere/hang`, { method: 'POST', timeoutMs: 20_000 })
  const hung = async () => (await victims()).some(count => count > 0)
  await until(hung, 'asks are under way')
  const start = Date.now()
  const threads = await threadsOf('victim')
  assert.ok(threads.size > 1, 'victims live in several workers')
  await bus.node.ask('service/victim#0', { fault: 'exit' }, 5_000).catch(() => {})
  await until(() => bus.node.host.replaced > replacedBefore, 'the worker is replaced')
  void hanging.catch(() => {})
  const codes = await Promise.race([hanging.then(({ body }) => JSON.parse(body) as string[]), brokenOr(hanging)])
  if (codes !== 'broken') assert.ok(codes.includes('SIGNALBOX_WORKER_LOST'), JSON.stringify(codes))
  assert.ok(Date.now() - start < 5_000)
  await until(async () => (await threadsOf('victim')).size > 1, 'the keys are served again')
})

async function brokenOr(hanging: Promise<unknown>): Promise<'broken'> {
  return hanging.then(
    () => new Promise<'broken'>(() => {}),
    () => 'broken' as const,
  )
}

/** A connection of its own, and the thread that serves it. */
async function pinned(): Promise<{ agent: Agent; thread: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const { body } = await call(`${bus.url}/where`, { agent })
  return { agent, thread: (JSON.parse(body) as { thread: number }).thread }
}

async function victims(): Promise<number[]> {
  const { workers } = await bus.node.inspect()
  return workers.map(({ actors }) => (actors as { address: string; busy: number }[]).filter(({ address, busy }) => address.startsWith('service/victim#') && busy > 0).length)
}

async function threadsOf(service: string): Promise<Set<number>> {
  const keys = Array.from({ length: 16 }, (_, i) => i + 100)
  const asks = keys.map(key => bus.node.ask(`service/${service}#${key}`, {}, 2_000).catch(() => undefined))
  const answers = (await Promise.all(asks)) as ({ thread: number } | undefined)[]
  return new Set(answers.flatMap(answer => (answer ? [answer.thread] : [])))
}
