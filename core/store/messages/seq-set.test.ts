import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { SeqSet } from './seq-set.ts'

/** Around the edges of words and of the parts in which the set keeps its bits. */
const seq = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.integer({ min: 65_500, max: 65_600 }),
  fc.constant(131_072),
)
const change = fc.oneof(
  fc.record({ op: fc.constant('add' as const), seq }),
  fc.record({ op: fc.constant('delete' as const), seq }),
  fc.record({ op: fc.constant('addBelow' as const), seq }),
  fc.record({ op: fc.constant('deleteFrom' as const), seq }),
)
const LAST = 131_100

it('a set of numbers is the set of these numbers', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), changes => {
      const set = new SeqSet()
      const model = new Uint8Array(LAST)
      for (const { op, seq } of changes) {
        if (op === 'add') assert.equal(set.add(seq), model[seq] === 0)
        else set[op](seq)
        if (op === 'add') model[seq] = 1
        else if (op === 'delete') model[seq] = 0
        else if (op === 'addBelow') model.fill(1, 0, seq)
        else model.fill(0, seq)
      }
      for (const at of [
        ...Array(130).keys(),
        65_535,
        65_536,
        65_537,
        65_550,
        65_599,
        131_071,
        131_072,
        131_073,
      ]) {
        assert.equal(set.has(at), model[at] === 1, `${at}`)
      }
    }),
    { numRuns: 300 },
  )
})

it('a part that is full takes things out again', () => {
  const set = new SeqSet()
  for (let i = 0; i < 65_536; i++) set.add(i)
  set.deleteFrom(65_000)
  assert.deepEqual([set.has(64_999), set.has(65_000), set.has(65_535)], [true, false, false])
  for (let i = 65_000; i < 65_536; i++) assert.equal(set.add(i), true)
  set.delete(7)
  assert.deepEqual([set.has(6), set.has(7), set.has(8)], [true, false, true])
})
