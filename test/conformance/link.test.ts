import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { MessageChannel, Worker } from 'node:worker_threads'
import { ActorSystem } from '../../core/actor/system.ts'
import { transfer } from '../../core/router/transfer.ts'
import { linkConformance } from './link.ts'
import { echo } from './link-actors.ts'
import { memoryPair, nodePair, portEnd, portPair } from './link-pairs.ts'
import { until, within } from './wait.ts'

linkConformance('memory, microtask', { makePair: options => memoryPair(options, queueMicrotask) })
linkConformance('memory, immediate', { makePair: options => memoryPair(options, setImmediate) })
linkConformance('thread', { makePair: portPair })
linkConformance('node', { makePair: nodePair, fixed: true })

function startWorker(t: TestContext): { system: ActorSystem; worker: Worker } {
  const { port1, port2 } = new MessageChannel()
  const options = { workerData: port2, transferList: [port2] }
  const worker = new Worker(new URL('./link-worker.ts', import.meta.url), options)
  t.after(() => worker.terminate())
  const system = new ActorSystem()
  const { end } = portEnd(system, 'n/1:1', port1, {})
  t.after(() => system.shutdown())
  return { system: end.system, worker }
}

test('worker: memory that was given up moves to it and back, other memory stays', async t => {
  const { system } = startWorker(t)
  const kept = Buffer.alloc(1 << 20, 'kept')
  const given = transfer(Buffer.alloc(1 << 20, 'given'))
  const answer = (await within(system.ask('service/echo', { kept, given }), 'the answer')) as Record<
    string,
    Buffer
  >
  assert.equal(given.byteLength, 0)
  assert.ok(answer.kept!.equals(kept))
  assert.ok(answer.given!.equals(Buffer.alloc(1 << 20, 'given')))
})

for (const [how, end] of [
  ['is terminated', (worker: Worker) => void worker.terminate()],
  ['exits', (_: Worker, system: ActorSystem) => void system.tell('service/exit', 1)],
] as const) {
  test(`worker: all that waits for it fails at once when it ${how}`, async t => {
    const { system, worker } = startWorker(t)
    await system.ask('service/echo', 1)
    const asks = Promise.allSettled(Array.from({ length: 100 }, () => system.ask('service/silent', 1)))
    const exit = once(worker, 'exit')
    end(worker, system)
    for (const outcome of await within(asks, 'all have failed')) {
      assert.equal((outcome as PromiseRejectedResult).reason?.code, 'SIGNALBOX_WORKER_LOST')
    }
    await assert.rejects(async () => system.tell('service/echo', 1), { code: 'SIGNALBOX_WORKER_LOST' })
    await exit
  })
}

test('node: a link that a malformed batch has closed begins anew, in both directions', async t => {
  const pair = await nodePair()
  t.after(() => pair.close())
  await pair.b.spawn('service/b', echo)
  await pair.a.spawn('service/a', echo)
  for (let round = 0; round < 3; round++) {
    assert.equal(await pair.a.system.ask('service/b', round), round)
    assert.equal(await pair.b.system.ask('service/a', round), round)
    if (round > 0) continue
    pair.inject(new Uint8Array(40))
    const isGone = ({ place, closed }: Record<string, unknown>) => place === undefined || closed !== undefined
    await until(() => isGone(pair.a.inspect()) && isGone(pair.b.inspect()), 'both have closed')
  }
})
