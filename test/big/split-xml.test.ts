import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const MIB = 1_048_576
const BYTES = (process.env.SIGNALBOX_BIG === '1' ? 1024 : 64) * MIB
const RECORD_BYTES = 8_000

test(`a document of ${BYTES / MIB} MiB is split in flat memory`, { timeout: 120_000 }, async () => {
  const program = fileURLToPath(new URL('./split-xml.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [program, String(BYTES)])
  const { records, rss, peakKiB } = JSON.parse(stdout)
  assert.ok(records > BYTES / RECORD_BYTES / 2, `${records} records`)
  assert.ok(peakKiB < 200 * 1024, `${peakKiB} KiB at most`)
  // The heap settles within the first third; from then on it does not grow with the document.
  const settled = Math.max(...rss.slice(0, Math.ceil(rss.length / 3)))
  const later = Math.max(...rss.slice(-Math.ceil(rss.length / 3)))
  assert.ok(later < settled + 64 * MIB, `${settled / MIB} MiB, then ${later / MIB} MiB`)
})
