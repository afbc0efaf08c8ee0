import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MAX_BATCH, SpanBatch, type SpanRecord, type SpanTemplate, unpackSpans } from './span-batch.ts'

const digits = (length: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
const text = fc.string({ unit: 'binary' })
const value = fc.oneof(text, fc.double({ noNaN: true }), fc.constant(undefined))

const templates: SpanTemplate[] = [0, 1, 2].map(id => ({
  id,
  name: `span ${id}`,
  kind: id,
  attributes: { id },
  keys: ['a', 'b', 'c'].slice(0, id + 1),
}))

const span: fc.Arbitrary<SpanRecord> = fc.constantFrom(...templates).chain(template =>
  fc.record(
    {
      template: fc.constant(template),
      traceId: digits(32),
      spanId: digits(16),
      parentId: fc.oneof(digits(16), fc.constant('')),
      state: text,
      startMs: fc.double({ noNaN: true }),
      endMs: fc.double({ noNaN: true }),
      failure: fc.option(text, { nil: undefined }),
      values: fc.array(value, { minLength: template.keys.length, maxLength: template.keys.length }),
    },
    { noNullPrototype: true },
  ),
)

test('what is packed and copied to another thread comes out as it was, batch after batch', () => {
  fc.assert(
    fc.property(fc.array(fc.array(span, { maxLength: 20 }), { maxLength: 4 }), batches => {
      const batch = new SpanBatch()
      const known = new Map<number, SpanTemplate>()
      for (const template of templates) batch.define(template)
      for (const spans of batches) {
        for (const each of spans) batch.add(each)
        const packed = structuredClone(batch.take(5))
        assert.equal(packed.originMs, 5)
        assert.deepEqual(unpackSpans(packed, known), spans)
      }
    }),
    { numRuns: 200 },
  )
})

test('a batch is full by spans, by text and by values, and empty again when it was taken', () => {
  const [, , wide] = templates
  const record = (values: SpanRecord['values']): SpanRecord => ({
    template: { ...wide!, keys: Array.from({ length: 16 }, (_, i) => `k${i}`) },
    traceId: '1'.repeat(32),
    spanId: '2'.repeat(16),
    parentId: '',
    state: '',
    startMs: 0,
    endMs: 1,
    failure: undefined,
    values,
  })
  const fill = (values: SpanRecord['values']) => {
    const batch = new SpanBatch()
    while (!batch.full) batch.add(record(values))
    const { count } = batch.take(0)
    assert.deepEqual([batch.full, batch.count], [false, 0])
    return count
  }
  assert.equal(fill([]), MAX_BATCH)
  assert.ok(fill(['x'.repeat(100_000)]) <= 3)
  const byValues = fill(new Array(16).fill(1))
  assert.ok(byValues > 100 && byValues < MAX_BATCH)
})
