import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  journalConformance,
  TEST_MAX_RECORD_BYTES,
  TEST_SEGMENT_BYTES,
} from '../../../test/conformance/journal.ts'
import { openFileJournal } from './file-journal.ts'

const CHILD = fileURLToPath(new URL('journal-test-child.ts', import.meta.url))

for (const sync of ['dsync', 'fdatasync'] as const) {
  journalConformance(`files, ${sync}`, async () => {
    const root = await mkdtemp(join(tmpdir(), 'signalbox-journal-'))
    const limits = { maxRecordBytes: TEST_MAX_RECORD_BYTES, segmentBytes: TEST_SEGMENT_BYTES, sync }
    const folder = join(root, 'journal')
    const to = join(root, 'backup')
    return {
      open: () => openFileJournal({ ...limits, folder }),
      backup: { to, open: () => openFileJournal({ ...limits, folder: to }) },
      crashWriter: [CHILD, 'lines', JSON.stringify({ ...limits, folder })],
      dispose: () => rm(root, { recursive: true }),
    }
  })
}
