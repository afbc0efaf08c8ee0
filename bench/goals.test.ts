import assert from 'node:assert/strict'
import { test } from 'node:test'
import { comparisons, verdict } from './goals.ts'
import type { BenchRow } from './row.ts'

const row: BenchRow = {
  name: 'ask',
  value: 2_000_000,
  unit: 'msg/s',
  limit: 4_000_000,
  peers: { other: 1_000_000 },
}
const latency: BenchRow = { name: 'p50', value: 60, unit: 'us', peers: { postMessage: 50 } }

test('goals are read: figures, peers, the limit', () => {
  for (const [goal, expected] of [
    ['at least 2 M/s', 'met'],
    ['at least 2.1 M/s', 'missed'],
    ['200,000', 'met'],
    ['at least 2x other', 'met'],
    ['at least 2.1x other', 'missed'],
    ['0.5 of bare node:http', 'met'],
    ['0.6 of bare node:http', 'missed'],
    ['at least 1 M/s; at least 3x other', 'missed'],
    ['at least 2x other, 0.5 of the limit', 'met'],
  ] as const) {
    assert.equal(verdict({ ...row, goal }), expected, goal)
  }
})

test('where less is better, goals say at most', () => {
  assert.equal(verdict({ ...latency, goal: 'at most 60 us' }), 'met')
  assert.equal(verdict({ ...latency, goal: 'under 1.2 of bare postMessage' }), 'met')
  assert.equal(verdict({ ...latency, goal: 'under 1.1 of bare postMessage' }), 'missed')
  assert.equal(verdict({ ...latency, value: 1_025, unit: 'bytes', goal: 'at most 1,024 bytes' }), 'missed')
})

test('a row without a goal has no verdict; a goal that nobody can check is refused', () => {
  assert.equal(verdict(row), undefined)
  assert.throws(() => verdict({ ...row, goal: 'fast' }), /no goal that can be checked/)
  assert.throws(
    () => verdict({ name: 'x', value: 1, unit: 'x', goal: 'at least 2x other' }),
    /nothing to compare/,
  )
})

test('a ratio above 1 is better, whatever the unit', () => {
  assert.deepEqual(
    comparisons(row).map(({ name, ratio }) => [name, ratio]),
    [
      ['limit', 0.5],
      ['other', 2],
    ],
  )
  assert.equal(comparisons({ ...latency, value: 100 })[0]!.ratio, 0.5)
})
