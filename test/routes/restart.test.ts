/** What routes keep survives the end of the node, and nothing is left behind when it is done. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { route } from '../../core/route/route.ts'
import { BODIES, CLAIMS, GROUPS, JOBS, MEMBERS, SEEN, SEQUENCES } from '../../core/route/state.ts'
import type { RouteUnderTest } from '../../core/route/test-kit.ts'
import { Keeper, until } from './kit.ts'

const LONG = { timeoutMs: 10_000_000 }
const payloads = (r: RouteUnderTest) => r.kept.map(({ payload }) => payload)

async function isEmpty(keeper: Keeper, ...collections: string[]): Promise<void> {
  for (const collection of collections) {
    await until(async () => (await keeper.count(collection)) === 0, `nothing is left in ${collection}`)
  }
}

test('a group goes on after a restart, and is complete by size', async t => {
  const keeper = await Keeper.start(t)
  const source = route<{ k: string; n: number }>('sums')
    .aggregate({ key: p => p.k, messageId: p => `${p.n}`, size: 3 })
    .publish('out')
  const first = await keeper.route(source)
  await first.send({ k: 'a', n: 1 }, LONG)
  await first.send({ k: 'a', n: 2 }, LONG)
  await first.send({ k: 'b/ü\n', n: 1 }, LONG)
  await keeper.restart(5)
  const second = await keeper.route(source)
  await second.send({ k: 'a', n: 2 }, LONG)
  assert.equal(second.kept.length, 0)
  await second.send({ k: 'a', n: 3 }, LONG)
  await until(() => second.kept.length === 1, 'the group is complete')
  assert.deepEqual(payloads(second), [[1, 2, 3].map(n => ({ k: 'a', n }))])
  assert.deepEqual(second.kept[0]?.options.headers, {
    'sb-aggregate-size': '3',
    'sb-aggregate-reason': 'size',
  })
  await isEmpty(keeper, JOBS)
  assert.equal(await keeper.count(GROUPS), 1)
})

test('the deadline of a group passes while nobody runs', async t => {
  const keeper = await Keeper.start(t)
  const source = { name: 'late', steps: [{ aggregate: { key: 'k', timeoutMs: 60_000 } }, { publish: 'out' }] }
  const first = await keeper.route(source)
  for (const n of [1, 2]) await first.send({ k: 1, n }, LONG)
  await keeper.restart(59_999)
  const second = await keeper.route(source)
  await second.sweep()
  assert.equal(second.kept.length, 0)
  keeper.clock.advance(1)
  await second.sweep()
  await until(() => second.kept.length === 1, 'the group is complete')
  assert.equal((payloads(second)[0] as unknown[]).length, 2)
  assert.equal(second.kept[0]?.options.headers?.['sb-aggregate-reason'], 'timeout')
  await isEmpty(keeper, JOBS, GROUPS, MEMBERS)
})

test('inactivity completes a group, each message puts it off', async t => {
  const keeper = await Keeper.start(t)
  const r = await keeper.route({ steps: [{ aggregate: { key: '"k"', idleMs: 1_000 } }, { publish: 'out' }] })
  await r.send(1, LONG)
  keeper.clock.advance(900)
  await r.send(2, LONG)
  keeper.clock.advance(900)
  await r.send(3, LONG)
  keeper.clock.advance(999)
  assert.equal(r.kept.length, 0)
  await until(async () => {
    await r.advance(1)
    return r.kept.length === 1
  }, 'the group is complete')
  assert.deepEqual(payloads(r), [[1, 2, 3]])
})

test('a group that was complete when the node ended is handed on, and so is one that failed', async t => {
  const keeper = await Keeper.start(t)
  let isDown = true
  const source = route<number>('again')
    .aggregate({ key: () => 'k', size: 2 })
    .transform(list => {
      if (isDown) throw new SignalboxError('SIGNALBOX_NOT_CONNECTED', 'down')
      return list
    })
    .publish('out')
  const first = await keeper.route(source)
  await first.send(1, LONG)
  await first.send(2, LONG)
  await until(() => first.log.some(({ message }) => message === 'work of a route failed'), 'it failed')
  isDown = false
  await keeper.restart(60_000)
  const second = await keeper.route(source)
  await second.sweep()
  await until(() => second.kept.length === 1, 'it was handed on')
  assert.deepEqual(payloads(second), [[1, 2]])
  await isEmpty(keeper, JOBS, MEMBERS)
})

test('delayed messages go on after a restart with everything they had', async t => {
  const keeper = await Keeper.start(t)
  const source = route('later')
    .set({ headers: { h: '"header"' }, vars: { v: { deep: 1 } } })
    .delay(3_600_000)
    .transform((p, m) => [p, m.headers.h, m.headers.given, m.vars.v, m.cid, m.identity?.name])
    .publish('out')
  const first = await keeper.route(source)
  const identity = { name: 'ada', definition: 'd' }
  await first.send({ a: 1 }, { ...LONG, cid: 'c-1', identity, headers: { given: 'g' } })
  await keeper.restart(3_600_000)
  const second = await keeper.route(source)
  await second.sweep()
  await until(() => second.kept.length === 1, 'it goes on')
  assert.deepEqual(payloads(second), [[{ a: 1 }, 'header', 'g', { deep: 1 }, 'c-1', 'ada']])
  await isEmpty(keeper, JOBS)
})

test('what was handled before a restart is not handled again, for as long as it is to', async t => {
  const keeper = await Keeper.start(t)
  const source = {
    name: 'once',
    steps: [{ idempotent: { key: 'id', windowMs: 10_000 } }, { publish: 'out' }],
  }
  const first = await keeper.route(source)
  await first.send({ id: 1 }, LONG)
  await keeper.restart(9_000)
  const second = await keeper.route(source)
  await second.send({ id: 1 }, LONG)
  assert.equal(second.kept.length, 0)
  keeper.clock.advance(1_001)
  // Housekeeping looks at one collection after the other.
  for (let i = 0; i < 4; i++) await second.sweep()
  await isEmpty(keeper, SEEN)
})

test('a body that was claimed is restored after a restart, and deleted when its time is over', async t => {
  const keeper = await Keeper.start(t)
  const source = { name: 'claims', steps: [{ claim: { forMs: 10_000 } }] }
  const first = await keeper.route(source)
  const body = { text: 'x'.repeat(100_000) }
  const { payload: ticket } = await first.send(body, LONG)
  await keeper.restart(1)
  const back = await keeper.route({ name: 'back', steps: [{ restore: { ticket: '$' } }] })
  assert.deepEqual((await back.send(ticket, LONG)).payload, body)
  const second = await keeper.route(source)
  keeper.clock.advance(10_000)
  await assert.rejects(back.send(ticket, LONG), { code: 'SIGNALBOX_CLAIM_UNKNOWN' })
  for (let i = 0; i < 4; i++) await second.sweep()
  await isEmpty(keeper, CLAIMS, BODIES)
})

test('a sequence goes on after a restart; what does not come in time is given up, and goes on when it comes', async t => {
  const keeper = await Keeper.start(t)
  const source = {
    name: 'seq',
    steps: [
      { resequence: { key: '"k"', number: '$', timeoutMs: 5_000, forgetMs: 60_000 } },
      { publish: 'out' },
    ],
  }
  const first = await keeper.route(source)
  for (const n of [3, 1]) await first.send(n, LONG)
  const isStored = async () => {
    const [job] = await keeper.state.list<{ leasedUntil: number }>(JOBS)
    return first.kept.length === 1 && job?.value.leasedUntil === 0
  }
  await until(isStored, 'that the first has gone is on disk')
  assert.deepEqual(payloads(first), [1])
  await keeper.restart(1_000)
  const second = await keeper.route(source)
  await second.send(5, LONG)
  await second.send(2, LONG)
  await until(() => second.kept.length === 2, 'two and three have gone')
  assert.deepEqual(payloads(second), [2, 3])
  // Four is missing.
  await until(async () => {
    await second.advance(100)
    return second.kept.length === 3
  }, 'five has gone')
  await second.send(4, LONG)
  await second.send(3, LONG)
  await until(() => second.kept.length === 4, 'four has gone')
  assert.deepEqual(payloads(second), [2, 3, 5, 4])
  await isEmpty(keeper, JOBS, MEMBERS)
  keeper.clock.advance(60_000)
  for (let i = 0; i < 4; i++) await second.sweep()
  await isEmpty(keeper, SEQUENCES)
})

test('a batch leaves sorted, after a restart as well', async t => {
  const keeper = await Keeper.start(t)
  const source = {
    name: 'batch',
    steps: [
      { resequence: { mode: 'batch' as const, key: '"k"', number: 'n', messageId: 'n', size: 4 } },
      { publish: 'out' },
    ],
  }
  const first = await keeper.route(source)
  for (const n of [40, 10]) await first.send({ n }, LONG)
  await keeper.restart(1)
  const second = await keeper.route(source)
  for (const n of [30, 20]) await second.send({ n }, LONG)
  await until(() => second.kept.length === 4, 'all have gone')
  assert.deepEqual(
    payloads(second).map(p => (p as { n: number }).n),
    [10, 20, 30, 40],
  )
})

test('a saga whose worker dies is taken back by another, the step that was under way included', async t => {
  const keeper = await Keeper.start(t)
  const source = route<string>('trip').saga(s =>
    s
      .step(
        'hotel',
        d => d.call('book', { into: 'hotel' }),
        u => u.tell('cancel', { payload: (_, m) => ['hotel', m.vars.hotel] }),
      )
      .step(
        'flight',
        d => d.call('hang', { into: 'flight' }),
        u => u.tell('cancel', { payload: (_, m) => ['flight', m.vars.flight ?? 'unknown'] }),
      ),
  )
  const services = { book: () => 'b-1', hang: () => new Promise(() => {}), cancel: () => {} }
  const first = await keeper.route(source, { services })
  const lost = first.send('x', LONG).catch((error: SignalboxError) => error.code)
  await until(() => first.calls.length === 2, 'the flight is under way')
  await keeper.restart(3_600_000)
  await lost
  const second = await keeper.route(source, { services })
  await second.sweep()
  await until(() => second.calls.length >= 2, 'it is taken back')
  assert.deepEqual(
    second.calls.map(({ payload }) => payload),
    [
      ['flight', 'unknown'],
      ['hotel', 'b-1'],
    ],
  )
  await isEmpty(keeper, JOBS)
  await second.sweep()
  assert.equal(second.calls.length, 2)
})
