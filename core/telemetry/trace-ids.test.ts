import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newSpanId, newTraceId } from './trace-ids.ts'

test('ids have their length and do not repeat, over several fillings of the pool', () => {
  const spans = Array.from({ length: 5_000 }, newSpanId)
  const traces = Array.from({ length: 5_000 }, newTraceId)
  assert.ok(spans.every(id => /^[0-9a-f]{16}$/.test(id)))
  assert.ok(traces.every(id => /^[0-9a-f]{32}$/.test(id)))
  assert.equal(new Set(spans).size, 5_000)
  assert.equal(new Set(traces).size, 5_000)
})
