import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { spec } from '../../test/conformance/link-actors.ts'
import { until, within } from '../../test/conformance/wait.ts'
import { ActorSystem } from '../actor/system.ts'
import { SignalboxError } from '../errors.ts'
import type { Balance } from '../router/balance.ts'
import { RouterPipes } from '../router/router-pipe.ts'
import { WorkerRouter } from './worker-router.ts'

interface TestWorker {
  place: string
  system: ActorSystem
  router: WorkerRouter
  seen: unknown[]
}

/** Workers of one node, each wired to each by a port; their actor `service/s` notes what it gets. */
function wire(t: TestContext, count: number, balance: Balance, has = (_: number) => true): TestWorker[] {
  const workers = Array.from({ length: count }, (_, slot) => makeWorker(t, `n/${slot}:1`))
  for (const [i, one] of workers.entries()) {
    for (const two of workers.slice(i + 1)) {
      const { port1, port2 } = new MessageChannel()
      one.router.connect(two.place, port1)
      two.router.connect(one.place, port2)
      t.after(() => port1.close())
    }
  }
  const registrations = workers
    .filter((_, slot) => has(slot))
    .map(({ place, system, seen }) => {
      const note = spec(payload => void seen.push(payload))
      if (balance === 'keyed') system.keyed('service/s', { ...note, behaviour: note.behaviour })
      else system.spawn('service/s', note)
      return { address: 'service/s', place, balance }
    })
  for (const { router } of workers) router.apply({ type: 'add', registrations })
  return workers
}

function makeWorker(t: TestContext, place: string): TestWorker {
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  const system = new ActorSystem()
  t.after(() => system.shutdown())
  const router: WorkerRouter = new WorkerRouter(
    place,
    system,
    new RouterPipes(port2, (from, body, parts) => router.receive(from, body, parts)),
  )
  return { place, system, router, seen: [] }
}

const counts = (workers: TestWorker[]) => workers.map(({ seen }) => seen.length)

test('localFirst stays here; without an actor here it goes to the others in turn', async t => {
  const here = wire(t, 3, 'localFirst')
  for (let i = 0; i < 9; i++) await here[0]!.system.ask('service/s', i)
  assert.deepEqual(counts(here), [9, 0, 0])
  const elsewhere = wire(t, 3, 'localFirst', slot => slot > 0)
  for (let i = 0; i < 10; i++) await elsewhere[0]!.system.ask('service/s', i)
  assert.deepEqual(counts(elsewhere), [0, 5, 5])
})

test('roundRobin goes in turn over all', async t => {
  const workers = wire(t, 3, 'roundRobin')
  for (let i = 0; i < 9; i++) await workers[0]!.system.ask('service/s', i)
  assert.deepEqual(counts(workers), [3, 3, 3])
})

test('leastBusy goes where the fewest are under way', async t => {
  const workers = wire(t, 3, 'leastBusy')
  await Promise.all(Array.from({ length: 30 }, (_, i) => workers[0]!.system.ask('service/s', i)))
  for (const { seen } of workers) assert.ok(seen.length >= 9, `${counts(workers)}`)
})

test('keyed: a key goes to the same worker from everywhere', async t => {
  const workers = wire(t, 3, 'keyed')
  for (const { system } of workers)
    for (let key = 0; key < 60; key++) await system.ask(`service/s#${key}`, key)
  assert.equal(
    counts(workers).reduce((sum, count) => sum + count),
    180,
  )
  for (const { seen } of workers) {
    for (const key of new Set(seen)) assert.equal(seen.filter(other => other === key).length, 3)
    assert.ok(new Set(seen).size > 5)
  }
})

test('keyed: when a worker leaves, its keys begin elsewhere after they have ended there', async t => {
  const workers = wire(t, 3, 'keyed')
  const [asker, , leaving] = workers as [TestWorker, TestWorker, TestWorker]
  for (let key = 0; key < 60; key++) await asker.system.ask(`service/s#${key}`, key)
  const moved = new Set(leaving.seen)
  assert.ok(moved.size > 5)
  for (const { router } of workers) router.apply({ type: 'leave', place: leaving.place })
  for (let key = 0; key < 60; key++) await within(asker.system.ask(`service/s#${key}`, key), `key ${key}`)
  assert.equal(leaving.seen.length, moved.size)
  await until(
    () => !leaving.system.inspect().some(({ address }) => String(address).includes('#')),
    'all have ended',
  )
})

test('a place that is lost fails what waits for it with the error given', async t => {
  const workers = wire(t, 2, 'localFirst', slot => slot === 1)
  const [one, two] = workers as [TestWorker, TestWorker]
  two.system.spawn(
    'service/silent',
    spec(() => new Promise(() => {})),
  )
  one.router.apply({
    type: 'add',
    registrations: [{ address: 'service/silent', place: two.place, balance: 'localFirst' }],
  })
  const ask = one.system.ask('service/silent', 1)
  assert.equal(one.router.load, 1)
  one.router.lost(two.place, new SignalboxError('SIGNALBOX_WORKER_LOST', 'it spun'))
  await assert.rejects(ask, { code: 'SIGNALBOX_WORKER_LOST', message: 'it spun' })
  assert.equal(one.router.load, 0)
})

test('drained resolves when the others have finished and nothing is under way', async t => {
  const [one, two] = wire(t, 2, 'localFirst', slot => slot === 1) as [TestWorker, TestWorker]
  for (let i = 0; i < 500; i++) void one.system.tell('service/s', i)
  let drained = false
  const draining = two.router.finished().then(async () => {
    await two.router.drained()
    drained = true
  })
  await until(() => two.seen.length === 500, 'all have arrived')
  assert.equal(drained, false)
  one.router.finish(two.place)
  await within(draining, 'drained')
})

test('an address that nobody has registered is unknown', async t => {
  const [one] = wire(t, 2, 'localFirst') as [TestWorker]
  await assert.rejects(one.system.ask('service/nobody', 1), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
  const reasons: unknown[] = []
  one.system.monitor('service/nobody', ({ reason }) => reasons.push(reason?.code))
  assert.deepEqual(reasons, ['SIGNALBOX_ADDRESS_UNKNOWN'])
})
