/** What LMDB and the file system throw, as errors of the bus. */
import { constants } from 'node:os'
import { type ErrorCode, SignalboxError } from '../../errors.ts'

const { ENOSPC, EFBIG, EDQUOT } = constants.errno
const NO_ROOM = new Set<unknown>([ENOSPC, EFBIG, EDQUOT, 'ENOSPC', 'EFBIG', 'EDQUOT', -30_792])
/** MDB_PAGE_NOTFOUND, MDB_CORRUPTED, MDB_PANIC, MDB_INVALID, MDB_BAD_CHECKSUM. */
const DAMAGE = new Set<unknown>([-30_797, -30_796, -30_795, -30_793, -30_778])

/** Makes anything thrown a SignalboxError that says what was being done. */
export function failure(thrown: unknown, what: string): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown
  const { code, message } = thrown as { code?: unknown; message?: string }
  return new SignalboxError(codeOf(code), `${what}: ${message ?? String(thrown)}`, { cause: thrown })
}

/** The reason of a failed commit, which the library hands over as a promise inside of its error. */
export async function commitFailure(thrown: unknown, what: string): Promise<SignalboxError> {
  const { commitError } = thrown as { commitError?: unknown }
  try {
    await commitError
  } catch (reason) {
    return failure(reason, what)
  }
  return failure(commitError instanceof Error ? commitError : thrown, what)
}

function codeOf(code: unknown): ErrorCode {
  if (NO_ROOM.has(code)) return 'SIGNALBOX_STORE_FULL'
  return DAMAGE.has(code) ? 'SIGNALBOX_STORE_DAMAGED' : 'SIGNALBOX_STORE_UNAVAILABLE'
}
