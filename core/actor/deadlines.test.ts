import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Clock, TestClock } from '../clock.ts'
import { Deadlines, Expiring, TICK_MS } from './deadlines.ts'

class Entry extends Expiring {
  expiredAt: number | undefined
  readonly #then: () => void

  constructor(deadline: number, then: () => void) {
    super()
    this.deadline = deadline
    this.#then = then
  }

  expire(): void {
    this.#then()
  }
}

function entry(clock: TestClock, deadline: number): Entry {
  const made: Entry = new Entry(deadline, () => {
    assert.equal(made.expiredAt, undefined, 'expires once')
    made.expiredAt = clock.monotonic()
  })
  return made
}

test('never early, at most one tick late, and once', () => {
  for (const offset of [0, 0.1, 1, 9, 10, 11, 29.5, 1_000]) {
    for (const start of [0, 3, 9.99, 1_234]) {
      const clock = new TestClock(start)
      const deadlines = new Deadlines(clock)
      const one = entry(clock, start + offset)
      deadlines.add(one)
      clock.advance(offset + 2 * TICK_MS)
      const late = one.expiredAt! - one.deadline
      assert.ok(late >= 0 && late <= TICK_MS, `${start} + ${offset}: late by ${late}`)
    }
  }
})

test('what was removed does not expire; removing twice is harmless', () => {
  const clock = new TestClock()
  const deadlines = new Deadlines(clock)
  const entries = [20, 20, 20].map(deadline => entry(clock, deadline))
  for (const one of entries) deadlines.add(one)
  deadlines.remove(entries[1]!)
  deadlines.remove(entries[1]!)
  assert.equal(deadlines.size, 2)
  clock.advance(100)
  assert.deepEqual(
    entries.map(one => one.expiredAt),
    [20, undefined, 20],
  )
  assert.equal(deadlines.size, 0)
})

test('no timer is left when there is nothing to wait for, however far the deadlines were', () => {
  const clock = new TestClock()
  const deadlines = new Deadlines(clock)
  assert.equal(clock.pending, 0)
  const far = entry(clock, 3_600_000)
  deadlines.add(far)
  assert.equal(clock.pending, 1)
  deadlines.remove(far)
  clock.advance(TICK_MS)
  assert.equal(clock.pending, 0)
  const again = entry(clock, clock.monotonic() + 30)
  deadlines.add(again)
  clock.advance(40)
  assert.deepEqual([again.expiredAt, clock.pending], [40, 0])
})

test('a timer that comes late, even by hours, misses nothing', () => {
  const late = { ms: 0 }
  let run!: () => void
  const clock: Clock = {
    now: () => 0,
    monotonic: () => late.ms,
    after(_, then) {
      run = then
      return { cancel() {} }
    },
  }
  const deadlines = new Deadlines(clock)
  const expired: number[] = []
  for (const deadline of [5_000_000, 30, 7_000, 7_001, 50_000_000])
    deadlines.add(new Entry(deadline, () => expired.push(deadline)))
  late.ms = 6_000_000
  run()
  assert.deepEqual(
    expired.sort((a, b) => a - b),
    [30, 7_000, 7_001, 5_000_000],
  )
  assert.equal(deadlines.size, 1)
  late.ms = 1e12
  run()
  assert.equal(deadlines.size, 0)
})

test('a deadline that has passed already, added while others expire, expires as well', () => {
  const clock = new TestClock()
  const deadlines = new Deadlines(clock)
  const second = entry(clock, 5)
  deadlines.add(new Entry(35, () => deadlines.add(second)))
  clock.advance(40)
  clock.advance(TICK_MS)
  assert.equal(second.expiredAt, 50)
})

test('any sequence of adding, removing and passing of time does what a plain list does', () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant('add' as const), in: fc.integer({ min: -50, max: 400 }) }),
    fc.record({ op: fc.constant('remove' as const), which: fc.nat(30) }),
    fc.record({ op: fc.constant('pass' as const), ms: fc.oneof(fc.nat(60), fc.nat(5_000)) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      const clock = new TestClock(500)
      const deadlines = new Deadlines(clock)
      const all: { entry: Entry; addedAt: number; removed: boolean }[] = []
      for (const each of steps) {
        if (each.op === 'add') {
          const one = entry(clock, clock.monotonic() + each.in)
          all.push({ entry: one, addedAt: clock.monotonic(), removed: false })
          deadlines.add(one)
        } else if (each.op === 'remove') {
          const one = all[each.which]
          if (one && one.entry.expiredAt === undefined) {
            deadlines.remove(one.entry)
            one.removed = true
          }
        } else clock.advance(each.ms)
      }
      const waiting = all.filter(({ entry: e, removed }) => !removed && e.expiredAt === undefined)
      assert.equal(deadlines.size, waiting.length)
      clock.advance(1_000)
      assert.deepEqual([deadlines.size, clock.pending], [0, 0])
      for (const { entry: one, addedAt, removed } of all) {
        if (removed) assert.equal(one.expiredAt, undefined)
        else {
          const due = Math.max(one.deadline, addedAt)
          assert.ok(
            one.expiredAt! >= one.deadline && one.expiredAt! <= due + TICK_MS,
            `${one.deadline}: ${one.expiredAt}`,
          )
        }
      }
    }),
  )
})
