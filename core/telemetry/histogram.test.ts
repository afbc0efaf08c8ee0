import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EXPORT_BOUNDS, exportCounts, Histogram } from './histogram.ts'

test('exported buckets hold what is not above their bound, and nothing else', () => {
  const latency = fc.oneof(
    fc.double({ min: 0, max: 5e5, noNaN: true }),
    fc.constantFrom(...EXPORT_BOUNDS.map(s => s * 1000)),
  )
  fc.assert(
    fc.property(fc.array(latency, { minLength: 1, maxLength: 50 }), values => {
      const histogram = new Histogram()
      for (const ms of values) histogram.record(ms)
      const counts = exportCounts(histogram.snapshot())
      let below = 0
      EXPORT_BOUNDS.forEach((bound, i) => {
        below += counts[i]!
        assert.equal(below, values.filter(ms => Math.ceil(ms * 1000) <= Math.round(bound * 1e6)).length)
      })
      assert.equal(below + counts.at(-1)!, values.length)
    }),
  )
})

test('percentiles are within an eighth, never below the value', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.01, max: 1e5, noNaN: true }), { minLength: 1 }),
      fc.constantFrom(0.5, 0.9, 0.99, 1),
      (values, share) => {
        const histogram = new Histogram()
        for (const ms of values) histogram.record(ms)
        const exact = values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1]!
        const found = histogram.percentile(share)
        assert.ok(found >= exact && found <= exact * 1.125 + 0.002, `${found} for ${exact}`)
      },
    ),
  )
})

test('takes what no clock should give', () => {
  const histogram = new Histogram()
  for (const ms of [-1, Number.NaN, 0, 1e12]) histogram.record(ms)
  assert.deepEqual(
    exportCounts(histogram.snapshot()).filter(count => count > 0),
    [3, 1],
  )
  assert.equal(new Histogram().percentile(0.99), 0)
})
