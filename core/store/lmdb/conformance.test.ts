import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { storeConformance } from '../../../test/conformance/store.ts'
import { openLmdbStore } from './lmdb-store.ts'

storeConformance('lmdb', async () => {
  const root = await mkdtemp(join(tmpdir(), 'signalbox-store-'))
  const folder = join(root, 'store')
  const to = join(root, 'backup')
  return {
    open: () => openLmdbStore({ folder }),
    backup: { to, open: () => openLmdbStore({ folder: to }) },
    crashWriter: [fileURLToPath(new URL('crash-test-writer.ts', import.meta.url)), folder],
    dispose: () => rm(root, { recursive: true }),
  }
})
