import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type HealthFacts, health } from './health.ts'

const WELL: HealthFacts = {
  workers: { wanted: 2, ready: 2, starting: 0, stuck: 0 },
  channels: [{ name: 'public', open: true }],
  storeWritable: true,
  draining: false,
}

test('a node that is well is live and ready without reasons', () => {
  assert.deepEqual(health(WELL), { live: true, ready: true, reasons: [] })
  assert.deepEqual(health({ ...WELL, storeWritable: undefined, channels: [] }), {
    live: true,
    ready: true,
    reasons: [],
  })
})

test('what keeps it from being ready', () => {
  const cases: [Partial<HealthFacts>, boolean, RegExp][] = [
    [{ draining: true }, true, /draining/],
    [{ storeWritable: false }, true, /store/],
    [
      { channels: [{ name: 'in', open: false, lastError: 'EADDRINUSE' }] },
      true,
      /channel in is not open: EADDRINUSE/,
    ],
    [{ workers: { wanted: 2, ready: 0, starting: 2, stuck: 0 } }, true, /starting/],
    [{ workers: { wanted: 2, ready: 0, starting: 0, stuck: 1 } }, false, /no worker is ready/],
  ]
  for (const [facts, live, reason] of cases) {
    const found = health({ ...WELL, ...facts })
    assert.deepEqual([found.live, found.ready], [live, false])
    assert.match(found.reasons.join('; '), reason)
  }
})

test('a node that lacks a worker is ready and says so', () => {
  const found = health({ ...WELL, workers: { wanted: 3, ready: 2, starting: 0, stuck: 1 } })
  assert.deepEqual(found, {
    live: true,
    ready: true,
    reasons: ['2 of 3 workers are ready', '1 worker stands still'],
  })
})
