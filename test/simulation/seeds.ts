/** Runs many seeds: SIGNALBOX_SEEDS says how many in all (default 1,000), SIGNALBOX_SEED names one alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from './simulation.ts'

const PARTS = 4
const SEEDS = Number(process.env.SIGNALBOX_SEEDS ?? 1_000)
const ONLY = process.env.SIGNALBOX_SEED
/** More failures than these say nothing new. */
const MOST_FAILURES = 10

/** Registers one part of four, so that they run beside each other. */
export function simulatePart(part: number, file: string): void {
  const seeds = ONLY === undefined ? seedsOf(part) : part === 1 ? [Number(ONLY)] : []
  test(`simulations of ${seeds.length} seeds keep every promise`, { skip: seeds.length === 0 }, async t => {
    const failures: string[] = []
    const total = { published: 0, delivered: 0, settled: 0, dead: 0, crashes: 0 }
    for (const seed of seeds) {
      const { violations, counts, history } = await simulate(seed)
      for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += counts[name]
      if (violations.length > 0) {
        failures.push(`SIGNALBOX_SEED=${seed} node --test ${file}\n  ${violations.slice(0, 5).join('\n  ')}`)
      }
      if (ONLY !== undefined) t.diagnostic(history.join('\n'))
      if (failures.length >= MOST_FAILURES) break
    }
    t.diagnostic(JSON.stringify(total))
    assert.deepEqual(failures, [], failures.join('\n'))
    // A simulation in which nothing happens keeps every promise as well.
    if (ONLY === undefined)
      for (const [name, count] of Object.entries(total)) assert.ok(count > 0, `no ${name}`)
  })
}

function seedsOf(part: number): number[] {
  const each = Math.ceil(SEEDS / PARTS)
  return Array.from({ length: each }, (_, i) => part + i * PARTS)
}
