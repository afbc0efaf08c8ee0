/** The way of a message: what followed from what. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AUDIT_KINDS, type AuditRecord } from './entry.ts'
import { trailOf } from './trail.ts'

const record = (
  id: string,
  kind: AuditRecord['kind'],
  at: number,
  durationMs: number,
  more = {},
): AuditRecord => ({
  id,
  kind,
  at,
  durationMs,
  worker: 'n/0',
  cid: 'c',
  address: `${kind}/x`,
  outcome: 'ok',
  headers: {},
  body: 'none',
  altered: false,
  ...more,
})
const tree = (records: AuditRecord[]) =>
  trailOf('c', records, false).steps.map(({ depth, id }) => `${depth}${id}`)

test('what lies within a step followed from the shortest one around it', () => {
  const records = [
    record('http', 'channel', 0, 100, { to: 'service/a' }),
    record('a', 'service', 1, 98, { address: 'service/a' }),
    record('b', 'service', 2, 50, { address: 'service/b' }),
    record('out', 'connection', 10, 20, { from: 'service/b' }),
  ]
  assert.deepEqual(tree(records.toReversed()), ['0http', '1a', '2b', '3out'])
})

test('what ran side by side is told apart by what made it', () => {
  const records = [
    record('http', 'channel', 0, 100),
    record('long', 'service', 1, 90, { address: 'service/long' }),
    record('short', 'service', 2, 50, { address: 'service/short' }),
    record('out', 'connection', 10, 20, { from: 'service/long' }),
  ]
  const { steps } = trailOf('c', records, false)
  assert.equal(steps.find(({ id }) => id === 'out')!.parent, 'long')
})

test('a delivery followed from what was kept under its number, however late, and each attempt is one', () => {
  const kept = (id: string, at: number, seq: number) =>
    record(id, 'publish', at, 2, { address: 'topic/t', seq })
  const given = (id: string, at: number, seq: number) =>
    record(id, 'delivery', at, 5, { address: 'topic/t/sub', seq, to: 'service/s' })
  const records = [
    record('http', 'channel', 0, 10),
    kept('k1', 1, 1),
    kept('k2', 4, 2),
    given('d2', 1_000, 2),
    given('d1', 900, 1),
    given('d1again', 2_000, 1),
    record('out', 'connection', 2_001, 1, { from: 'service/s' }),
    record('end', 'dead', 2_006, 0, { address: 'topic/t/sub', seq: 1 }),
  ]
  assert.deepEqual(tree(records), ['0http', '1k1', '2d1', '2d1again', '3out', '3end', '1k2', '2d2'])
  const late = trailOf('c', records, false).steps.find(({ id }) => id === 'd1')!
  assert.equal(late.gapMs, 900 - 3)
})

test('every step is shown once, whatever the times and names are', () => {
  const any = fc.record({
    kind: fc.constantFrom(...AUDIT_KINDS),
    at: fc.double({ min: 0, max: 3, noNaN: true }),
    durationMs: fc.double({ min: 0, max: 3, noNaN: true }),
    address: fc.constantFrom('a', 'b', 'queue/x'),
    from: fc.constantFrom(undefined, 'a', 'b'),
    seq: fc.constantFrom(undefined, 1, 2),
  })
  fc.assert(
    fc.property(fc.array(any, { maxLength: 30 }), list => {
      const records = list.map(({ kind, at, durationMs, ...more }, i) =>
        record(String(i), kind, at, durationMs, more),
      )
      const { steps } = trailOf('c', records, false)
      assert.deepEqual(
        steps.map(({ id }) => Number(id)).sort((a, b) => a - b),
        [...records.keys()],
      )
      for (const { gapMs, sinceStartMs } of steps) assert.ok(gapMs >= 0 && sinceStartMs >= 0)
    }),
  )
})
