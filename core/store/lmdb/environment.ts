/** An LMDB environment that this process owns alone, opened safely. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { SignalboxError } from '../../errors.ts'
import { packValue, seal, unseal } from '../value.ts'
import { failure } from './failure.ts'
import { checkFile } from './file.ts'
import { checkOwner, releaseOwnership, takeOwnership } from './owner.ts'
import { META_PLACE } from './places.ts'

/** One ordered map of bytes to bytes. */
export type Environment = RootDatabase<Buffer, Buffer>

/** Name of the data file in the folder of a store; LMDB keeps `store.mdb-lock` beside it. */
export const DATA_FILE = 'store.mdb'
const OWNER_FILE = 'owner.json'
const FORMAT = 1
const NOTHING = packValue(null)

/** An open environment and what is known of it. */
export interface OpenEnvironment {
  env: Environment
  revision: number
  ownerPath: string
  ownerId: string
}

/** Opens or creates the store in a folder. Throws SIGNALBOX_STORE_* and leaves nothing open then. */
export function openEnvironment(folder: string): OpenEnvironment {
  const dataPath = join(folder, DATA_FILE)
  const ownerPath = join(folder, OWNER_FILE)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    checkOwner(ownerPath)
    checkFile(dataPath)
    const env = open<Buffer, Buffer>({
      path: dataPath,
      noSubdir: true,
      encoding: 'binary',
      keyEncoding: 'binary',
      // A commit is visible only when it is on disk: nobody reads what a loss of power could take back.
      overlappingSync: false,
      // The writer above makes the batches. Those of the library have a promise of their own that nobody can catch.
      eventTurnBatching: false,
    })
    return own(env, ownerPath, dataPath)
  } catch (error) {
    throw failure(error, `the store in ${folder} cannot be opened`)
  }
}

function own(env: Environment, ownerPath: string, dataPath: string): OpenEnvironment {
  let ownerId: string | undefined
  try {
    const revision = env.transactionSync(() => {
      ownerId = takeOwnership(ownerPath)
      return readHead(env, dataPath)
    })
    return { env, revision, ownerPath, ownerId: ownerId! }
  } catch (error) {
    if (ownerId !== undefined) releaseOwnership(ownerPath, ownerId)
    // Nothing was written, so there is nothing that closing could fail to keep.
    void env.close()
    throw error
  }
}

/** The last revision. Writes the head of a new store, and refuses an LMDB file that something else made. */
function readHead(env: Environment, dataPath: string): number {
  const bytes = env.getBinary(META_PLACE)
  if (bytes) {
    const [revision, format] = unseal(META_PLACE, bytes, 'head of the store').head
    if (format === FORMAT) return revision
    const message = `${dataPath} has format ${format}; this version of Signalbox reads format ${FORMAT}`
    throw new SignalboxError('SIGNALBOX_STORE_FOREIGN', message, { details: { format } })
  }
  if (!env.getKeys({ limit: 1 })[Symbol.iterator]().next().done) {
    throw new SignalboxError(
      'SIGNALBOX_STORE_FOREIGN',
      `${dataPath} is an LMDB file, but not a store of Signalbox`,
    )
  }
  writeHead(env, 0)
  return 0
}

/** Writes the last revision; call it inside of a write transaction. */
export function writeHead(env: Environment, revision: number): void {
  env.putSync(META_PLACE, seal(META_PLACE, [revision, FORMAT], NOTHING))
}
