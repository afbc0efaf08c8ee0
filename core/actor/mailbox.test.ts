import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { tellOf } from './actor-test-kit.ts'
import { MAX_WAITING, Mailbox } from './mailbox.ts'

const waiting = (payload: unknown, accepted = () => {}) => {
  return { envelope: tellOf(payload), accepted, refused: () => {} }
}

test('the ring grows and wraps round without losing order', () => {
  const mailbox = new Mailbox(1_000, Number.POSITIVE_INFINITY)
  const taken: unknown[] = []
  for (let i = 0; i < 500; i++) {
    mailbox.push(tellOf(2 * i))
    mailbox.push(tellOf(2 * i + 1))
    taken.push(mailbox.take()!.payload)
  }
  for (let next = mailbox.take(); next; next = mailbox.take()) taken.push(next.payload)
  assert.deepEqual(
    taken,
    Array.from({ length: 1_000 }, (_, i) => i),
  )
})

test('bytes count: a mailbox is full by them too, and lets in again when they are gone', () => {
  const mailbox = new Mailbox(10, 100)
  mailbox.push(tellOf('a', 99))
  assert.equal(mailbox.full, false)
  mailbox.push(tellOf('b', 500))
  assert.equal(mailbox.full, true)
  assert.equal(mailbox.bytes, 599)
  mailbox.take()
  assert.equal(mailbox.full, true)
  mailbox.take()
  assert.deepEqual([mailbox.full, mailbox.bytes], [false, 0])
})

test('those who wait move up in order, and nobody passes them', () => {
  const mailbox = new Mailbox(2, Number.POSITIVE_INFINITY)
  mailbox.push(tellOf(1))
  mailbox.push(tellOf(2))
  const accepted: number[] = []
  for (const n of [3, 4]) mailbox.wait(waiting(n, () => accepted.push(n)))
  assert.equal(mailbox.take()!.payload, 1)
  assert.deepEqual([accepted, mailbox.full, mailbox.waiting], [[3], true, 1])
  assert.deepEqual(
    [mailbox.take(), mailbox.take(), mailbox.take()].map(envelope => envelope!.payload),
    [2, 3, 4],
  )
  assert.deepEqual([accepted, mailbox.full], [[3, 4], false])
})

test('the line outside is bounded', () => {
  const mailbox = new Mailbox(1, Number.POSITIVE_INFINITY)
  mailbox.push(tellOf(0))
  for (let i = 0; i < MAX_WAITING; i++) assert.ok(mailbox.wait(waiting(i)))
  assert.equal(mailbox.wait(waiting('one too many')), false)
})

test('clear gives back all that is inside and outside, in order, and leaves an empty mailbox that works', () => {
  const mailbox = new Mailbox(2, Number.POSITIVE_INFINITY)
  for (const n of [1, 2]) mailbox.push(tellOf(n, 5))
  for (const n of [3, 4]) mailbox.wait(waiting(n))
  const { queued, waiting: outside } = mailbox.clear()
  assert.deepEqual(
    queued.map(envelope => envelope.payload),
    [1, 2],
  )
  assert.deepEqual(
    outside.map(({ envelope }) => envelope.payload),
    [3, 4],
  )
  assert.deepEqual([mailbox.size, mailbox.bytes, mailbox.waiting], [0, 0, 0])
  mailbox.push(tellOf(5))
  assert.equal(mailbox.take()!.payload, 5)
})

test('any sequence of operations does what a plain list does', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ op: fc.constant('put' as const), bytes: fc.nat(40) }) },
    { weight: 3, arbitrary: fc.constant({ op: 'take' as const }) },
    fc.constant({ op: 'drop' as const }),
    fc.constant({ op: 'clear' as const }),
  )
  const limits = fc.record({
    capacity: fc.integer({ min: 1, max: 20 }),
    maxBytes: fc.integer({ min: 1, max: 200 }),
  })
  fc.assert(
    fc.property(limits, fc.array(step, { maxLength: 200 }), ({ capacity, maxBytes }, steps) => {
      const mailbox = new Mailbox(capacity, maxBytes)
      let inside: { n: number; bytes: number }[] = []
      let outside: { n: number; bytes: number }[] = []
      const sum = () => inside.reduce((total, { bytes }) => total + bytes, 0)
      const room = () => inside.length < capacity && sum() < maxBytes
      let n = 0
      for (const each of steps) {
        if (each.op === 'put') {
          const envelope = tellOf(++n, each.bytes)
          const full = !room() || outside.length > 0
          assert.equal(mailbox.full, full)
          if (full) mailbox.wait({ envelope, accepted: () => {}, refused: () => {} })
          else mailbox.push(envelope)
          ;(full ? outside : inside).push({ n, bytes: each.bytes })
        } else if (each.op === 'take') {
          assert.equal(mailbox.take()?.payload, inside.shift()?.n)
          while (outside.length > 0 && room()) inside.push(outside.shift()!)
        } else if (each.op === 'drop') {
          if (outside.length === 0) assert.equal(mailbox.dropOldest()?.payload, inside.shift()?.n)
        } else {
          const all = mailbox.clear()
          assert.deepEqual(
            all.queued.map(envelope => envelope.payload),
            inside.map(one => one.n),
          )
          assert.deepEqual(
            all.waiting.map(one => one.envelope.payload),
            outside.map(one => one.n),
          )
          inside = []
          outside = []
        }
        assert.deepEqual(
          [mailbox.size, mailbox.bytes, mailbox.waiting],
          [inside.length, sum(), outside.length],
        )
      }
    }),
  )
})
