/** A worker that misbehaves is found and replaced while the others serve as if nothing had happened. */
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { after, before, test } from 'node:test'
import { type FaultyBus, startFaulty } from '../faulty-bus.ts'
import { call, Load, type Outcome, until } from '../load.ts'

let bus: FaultyBus

before(async () => {
  bus = await startFaulty(3)
})
after(() => bus?.node.stop(1_000))

for (const fault of ['spin', 'heap', 'exit', 'throw', 'reject', 'buffers']) {
  test(`${fault}: found within 3 s, replaced, the other workers never fail a request`, async t => {
    const replacedBefore = bus.node.host.replaced
    await using load = new Load(`${bus.url}/where`, 12)
    await load.spread(3)
    using own = await pinned()
    const { agent, thread } = own
    const enough = load.ok + 300
    await until(() => load.ok > enough, 'load before')
    const count = load.outcomes.length
    const start = Date.now()
    const broken = call(`${bus.url}/do/${fault}`, { method: 'POST', agent }).then(
      ({ status }) => status,
      () => 'connection broken',
    )
    await until(() => bus.node.host.replaced > replacedBefore, 'the worker is replaced', 10_000)
    assert.ok(Date.now() - start < 3_000 + 500, `found after ${Date.now() - start} ms`)
    assert.equal(await broken, 'connection broken')
    await until(
      () => bus.node.host.workers.every(({ state }) => state === 'ready'),
      'the new worker is ready',
    )
    const before = load.ok
    await until(() => load.ok > before + 100, 'load goes on')
    await load.stop()
    const other = (outcome: Outcome) => outcome.thread !== undefined && outcome.thread !== thread
    const [p99Before, p99] = [load.p99(0, count, other), load.p99(count, undefined, other)]
    t.diagnostic(`p99 of the other workers ${p99Before.toFixed(1)} ms before, ${p99.toFixed(1)} ms meanwhile`)
    assert.deepEqual(load.failed.filter(other), [])
    assert.equal(bus.node.host.replaced, replacedBefore + 1)
  })
}

test('calls under way to a worker that dies fail at once with a typed error, later ones succeed', async () => {
  const replacedBefore = bus.node.host.replaced
  using own = await pinned()
  const { agent, thread } = own
  const threads = await threadsOfVictims()
  const far = threads.findIndex(other => other !== thread)
  assert.notEqual(far, -1, 'no victim lives in another worker than the caller')
  const answered = call(`${bus.url}/everywhere/hang`, { method: 'POST', agent })
  await until(async () => (await busyVictims()) >= 16, 'all asks are under way')
  const start = Date.now()
  await assert.rejects(bus.node.ask(`service/victim#${far}`, { fault: 'exit' }, 20_000), {
    code: 'SIGNALBOX_WORKER_LOST',
  })
  const { body } = await answered
  assert.deepEqual(JSON.parse(body), { code: 'SIGNALBOX_WORKER_LOST' })
  assert.ok(Date.now() - start < 2_000, `it took ${Date.now() - start} ms`)
  await until(() => bus.node.host.replaced > replacedBefore, 'the worker is replaced')
  await until(() => bus.node.host.workers.every(({ state }) => state === 'ready'), 'the new worker is ready')
  const again = await threadsOfVictims()
  assert.ok(again.every(other => other > 0))
})

/** A connection of its own, and the thread that serves it. */
async function pinned(): Promise<{ agent: Agent; thread: number } & Disposable> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const { body } = await call(`${bus.url}/where`, { agent })
  const { thread } = JSON.parse(body) as { thread: number }
  return { agent, thread, [Symbol.dispose]: () => agent.destroy() }
}

async function busyVictims(): Promise<number> {
  const { workers } = await bus.node.inspect()
  const actors = workers.flatMap(worker => worker.actors as { address: string; busy: number }[])
  return actors.filter(({ address, busy }) => address.startsWith('service/victim#') && busy > 0).length
}

/** The thread in which the victim of each key lives. */
async function threadsOfVictims(): Promise<number[]> {
  const asks = Array.from({ length: 16 }, (_, key) => bus.node.ask(`service/victim#${key}`, {}, 5_000))
  return (await Promise.all(asks)).map(answer => (answer as { thread: number }).thread)
}
