/**
 * Looks at the file before LMDB does: LMDB maps it into memory and trusts it, so that a file that is something
 * else, or is shorter than it says, would end the process with a signal instead of an error.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { SignalboxError } from '../../errors.ts'

const MAGIC = 0xbeefc0de
/** The data format of the lmdb package 3: a page header of 24 bytes, then the meta data. */
const FORMAT = 2
const META = 24
const PAGE_SIZE = META + 24
const LAST_PAGE = META + 120
const TXN_ID = META + 128

interface Meta {
  pageSize: number
  lastPage: number
  txnId: bigint
}

/** Throws SIGNALBOX_STORE_FOREIGN or SIGNALBOX_STORE_DAMAGED unless LMDB can open the file or must create it. */
export function checkFile(path: string): void {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    const message = `${path} cannot be read: ${(error as Error).message}`
    throw new SignalboxError('SIGNALBOX_STORE_UNAVAILABLE', message, { cause: error })
  }
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw foreign(path, 'it is not a file')
    if (stat.size > 0) checkMetas(fd, stat.size, path)
  } finally {
    closeSync(fd)
  }
}

function checkMetas(fd: number, size: number, path: string): void {
  const first = readMeta(fd, 0, path)
  const second = readMeta(fd, first.pageSize, path)
  if (second.pageSize !== first.pageSize) throw damagedFile(path, 'its two heads differ in page size')
  const newest = second.txnId > first.txnId ? second : first
  const needed = (newest.lastPage + 1) * newest.pageSize
  if (size < needed) throw damagedFile(path, `it was cut off: ${size} bytes of ${needed}`)
}

function readMeta(fd: number, at: number, path: string): Meta {
  const bytes = Buffer.alloc(TXN_ID + 8)
  if (readSync(fd, bytes, 0, bytes.length, at) < bytes.length) {
    throw at === 0 ? foreign(path, 'it is too short') : damagedFile(path, 'it was cut off within its head')
  }
  if (bytes.readUInt32LE(META) !== MAGIC) {
    throw at === 0
      ? foreign(path, 'it does not begin as one')
      : damagedFile(path, 'its second head is damaged')
  }
  const format = bytes.readUInt32LE(META + 4)
  if (format !== FORMAT) throw foreign(path, `its format is ${format}, not ${FORMAT}`)
  const pageSize = bytes.readUInt32LE(PAGE_SIZE)
  if (pageSize < 256 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) {
    throw damagedFile(path, `its page size of ${pageSize} cannot be`)
  }
  const lastPage = Number(bytes.readBigUInt64LE(LAST_PAGE))
  return { pageSize, lastPage, txnId: bytes.readBigUInt64LE(TXN_ID) }
}

function foreign(path: string, why: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_STORE_FOREIGN', `${path} is not a store: ${why}`, {
    details: { path },
  })
}

function damagedFile(path: string, why: string): SignalboxError {
  const message = `${path} is damaged: ${why}; put a backup in its place`
  return new SignalboxError('SIGNALBOX_STORE_DAMAGED', message, { details: { path } })
}
