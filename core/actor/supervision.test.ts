import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  backoffMs,
  type ChildView,
  DEFAULT_SUPERVISION,
  decide,
  type RestartType,
  type Strategy,
} from './supervision.ts'

const half = () => 0.5

function run(strategy: Strategy, types: RestartType[], child: number, failed: boolean) {
  const children: ChildView[] = types.map((restart, id) => ({ id, restart }))
  const decision = decide({ ...DEFAULT_SUPERVISION, strategy }, children, [], { child, failed, now: 0 }, half)
  return decision.type === 'restart' ? `stop ${decision.stop} start ${decision.start}` : decision.type
}

test('who is restarted, by strategy, restart type and kind of end', () => {
  const all: [RestartType, boolean, boolean][] = [
    ['permanent', true, true],
    ['permanent', false, true],
    ['transient', true, true],
    ['transient', false, false],
    ['temporary', true, false],
    ['temporary', false, false],
  ]
  for (const [type, failed, restarts] of all) {
    const types: RestartType[] = ['permanent', type, 'permanent']
    const expected: [Strategy, string][] = [
      ['oneForOne', 'stop  start 1'],
      ['oneForAll', 'stop 2,0 start 0,1,2'],
      ['restForOne', 'stop 2 start 1,2'],
    ]
    for (const [strategy, restart] of expected) {
      assert.equal(
        run(strategy, types, 1, failed),
        restarts ? restart : 'forget',
        `${strategy} ${type} ${failed}`,
      )
    }
  }
})

test('siblings of a group: temporary ones are stopped for good, transient ones start again', () => {
  assert.equal(run('oneForAll', ['temporary', 'permanent', 'transient'], 1, true), 'stop 2,0 start 1,2')
  assert.equal(run('restForOne', ['permanent', 'permanent', 'temporary'], 0, true), 'stop 2,1 start 0,1')
})

test('a child that is not known any more is forgotten', () => {
  assert.equal(run('oneForAll', ['permanent'], 9, true), 'forget')
})

test('more restarts than the intensity within the window escalate; older ones do not count', () => {
  const children: ChildView[] = [{ id: 0, restart: 'permanent' }]
  const restarts: number[] = []
  const at = (now: number) =>
    decide(DEFAULT_SUPERVISION, children, restarts, { child: 0, failed: true, now }, half).type
  assert.deepEqual([0, 100, 200, 300, 400].map(at), Array(5).fill('restart'))
  assert.equal(at(500), 'escalate')
  assert.equal(at(29_999), 'escalate')
  assert.equal(at(30_000), 'restart', 'the first one has left the window')
  assert.deepEqual(restarts, [100, 200, 300, 400, 30_000])
})

test('an intensity of none escalates the first failure', () => {
  const policy = { ...DEFAULT_SUPERVISION, intensity: 0 }
  const event = { child: 0, failed: true, now: 0 }
  assert.equal(decide(policy, [{ id: 0, restart: 'permanent' }], [], event, half).type, 'escalate')
})

test('pauses grow by the factor up to the longest, and jitter only shortens them by its share', () => {
  assert.deepEqual(
    [1, 2, 3, 9, 10, 11].map(attempt => backoffMs(DEFAULT_SUPERVISION.backoff, attempt, () => 0)),
    [10, 20, 40, 2_560, 5_000, 5_000],
  )
  const backoffs = fc.record({
    minMs: fc.integer({ min: 0, max: 1_000 }),
    maxMs: fc.integer({ min: 1_000, max: 60_000 }),
    factor: fc.double({ min: 1, max: 10, noNaN: true }),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(backoffs, fc.integer({ min: 1, max: 10_000 }), chance, (backoff, attempt, random) => {
      const full = backoffMs(backoff, attempt, () => 0)
      const pause = backoffMs(backoff, attempt, () => random)
      assert.ok(full >= backoff.minMs && full <= backoff.maxMs)
      assert.ok(pause <= full && pause >= full * (1 - backoff.jitter) - 1e-9)
      assert.ok(full <= backoffMs(backoff, attempt + 1, () => 0))
    }),
  )
})
