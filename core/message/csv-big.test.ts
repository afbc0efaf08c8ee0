/** A CSV larger than the memory it is split in: 64 MiB, with SIGNALBOX_BIG=1 1 GiB. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const MIB = 1024 * 1024
const TOTAL = process.env.SIGNALBOX_BIG === '1' ? 1024 * MIB : 64 * MIB

test(`${TOTAL / MIB} MiB are split in less than 200 MiB, and no more at the end than after a quarter`, async () => {
  const child = fileURLToPath(new URL('csv-big-child.ts', import.meta.url))
  // The collector lets the young generation grow in steps; capped, what is compared is what the codec holds.
  const args = ['--max-semi-space-size=8', child, String(TOTAL)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 300_000 })
  const { records, expected, sum, atQuarter, atEnd, peak } = JSON.parse(stdout) as Record<string, number>
  assert.equal(records, expected)
  assert.equal(sum, (records! / 10_000) * 49_995_000)
  assert.ok(peak! < 200 * MIB, `${Math.round(peak! / MIB)} MiB`)
  assert.ok(
    atEnd! - atQuarter! < 40 * MIB,
    `from ${Math.round(atQuarter! / MIB)} to ${Math.round(atEnd! / MIB)} MiB`,
  )
})
