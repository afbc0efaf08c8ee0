/** What the file system throws, and what is found wrong in files, as errors of the bus. */
import { type ErrorCode, SignalboxError } from '../../errors.ts'

const NO_ROOM = new Set<unknown>(['ENOSPC', 'EFBIG', 'EDQUOT'])
const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'free space on the disk',
  EDQUOT: 'raise the disk quota of the user, or free space',
  EFBIG: 'raise the limit of the size of files (ulimit -f)',
  EROFS:
    'the file system is read-only: look in the log of the system for a disk error, and mount it to be written',
  EACCES: 'give the user of this process the right to read and write there',
  EPERM: 'give the user of this process the right to read and write there',
  EIO: 'the disk reports an error: look in the log of the system, and replace the disk',
  EMFILE: 'raise the limit of open files (ulimit -n)',
  ENFILE: 'raise the limit of open files of the system (fs.file-max)',
  ENOTDIR: 'name a folder',
}

/** Makes anything thrown a SignalboxError that says what was being done, and what to do. */
export function failure(thrown: unknown, what: string): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown
  const { code, message } = thrown as { code?: string; message?: string }
  const hint = code !== undefined && Object.hasOwn(HINTS, code) ? `; ${HINTS[code]}` : ''
  const kind: ErrorCode = NO_ROOM.has(code) ? 'SIGNALBOX_STORE_FULL' : 'SIGNALBOX_STORE_UNAVAILABLE'
  return new SignalboxError(kind, `${what}: ${message ?? String(thrown)}${hint}`, { cause: thrown })
}

/** Something that was confirmed is not what was written. */
export function damaged(path: string, reason: string, offset?: number): SignalboxError {
  const place = offset === undefined ? path : `${path} at byte ${offset}`
  const details = { path, reason, ...(offset !== undefined && { offset }) }
  const message = `${place} is damaged: ${reason}; put a backup in the place of the folder`
  return new SignalboxError('SIGNALBOX_STORE_DAMAGED', message, { details })
}

/** A file that this version did not write. */
export function foreign(path: string, reason: string): SignalboxError {
  const message = `${path} is not a journal: ${reason}; name another folder, or move the file away`
  return new SignalboxError('SIGNALBOX_STORE_FOREIGN', message, { details: { path, reason } })
}
