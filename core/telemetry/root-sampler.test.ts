import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestClock } from '../clock.ts'
import { RootSampler } from './root-sampler.ts'

function kept(sampler: RootSampler, calls: number): number {
  let count = 0
  for (let i = 0; i < calls; i++) if (sampler.decide()) count++
  return count
}

test('a burst is kept up to the limit, then a tenth of it every tenth of a second', () => {
  const clock = new TestClock()
  const sampler = new RootSampler(1, 100, undefined, clock)
  assert.equal(kept(sampler, 1_000), 100)
  assert.equal(kept(sampler, 1_000), 0)
  clock.advance(100)
  assert.equal(kept(sampler, 1_000), 10)
  clock.advance(5_000)
  assert.equal(kept(sampler, 1_000), 100, 'no more than a second is saved up')
  assert.deepEqual(sampler.counts, { kept: 210, ratio: 0, limit: 3_790, queue: 0 })
})

test('no timer runs while the bucket is full, and a limit of one works', () => {
  const clock = new TestClock()
  const sampler = new RootSampler(1, 1, undefined, clock)
  assert.equal(clock.pending, 0)
  assert.equal(kept(sampler, 2), 1)
  assert.equal(clock.pending, 1)
  clock.advance(1_200)
  assert.equal(clock.pending, 0)
  assert.equal(kept(sampler, 2), 1)
})

test('the ratio and a full queue say no, each counted; without a limit nothing else does', () => {
  const none = new RootSampler(0, undefined)
  assert.equal(kept(none, 50), 0)
  assert.equal(none.counts.ratio, 50)
  let full = true
  const all = new RootSampler(1, undefined, () => full)
  assert.equal(kept(all, 10), 0)
  full = false
  assert.equal(kept(all, 100_000), 100_000)
  assert.deepEqual(all.counts, { kept: 100_000, ratio: 0, limit: 0, queue: 10 })
})
