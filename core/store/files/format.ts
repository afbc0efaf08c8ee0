/**
 * The bytes of a journal in files. All numbers are little-endian.
 *
 *     segment  head (80 bytes), then frames, then zeros up to the end of the file
 *     head     magic 8, format u32, salt u32, journal id u64, base u64, oldest u64, previous u64, previousEnd u32,
 *              zeros 24, crc u32
 *     frame    crc u32, kind u32, count u32, bytes u32, oldest u64, synced u32, allocated u32, then `bytes` bytes of records
 *     record   crc u32, length u32, then `length` bytes
 *
 * A position is the base of the segment plus the offset in its file, so no index is needed. Every CRC starts from the
 * salt of the segment and the position, so that bytes are right only where they were written, and the text of a
 * record, which strangers choose, cannot pass for a frame.
 *
 * Every frame says what was on disk before it was written (`synced` and `allocated`, offsets in the file). That tells a
 * write that was cut off, which nobody was told of, from bytes that were confirmed and are no longer what they were.
 */
import { crc32 } from 'node:zlib'

/** Bytes of the head of a segment. */
export const HEAD_BYTES = 80
/** A new segment has zeros up to here, so that a file that was cut off later is found to be shorter. */
export const NEW_SEGMENT_BYTES = 4096
/** Bytes of the head of a frame. */
export const FRAME_BYTES = 32
/** Bytes before the body of a record. */
export const RECORD_BYTES = 8
/** The version of the layout that this code reads and writes. */
export const FORMAT = 1

/** Ending of the names of segment files; before it is the base in 16 digits. */
export const SEGMENT_SUFFIX = '.journal'
/** Ending of a segment that is not complete; it never holds anything that was confirmed. */
export const NEW_SUFFIX = '.new'

const MAGIC = Buffer.from('SBjournl')
/** The first three bytes of the kind of a frame, by which one is searched for. */
export const FRAME_MAGIC = Buffer.from([0xf5, 0x4a, 0xb7])
const KIND_MAGIC = 0xb74af5
const TWO_32 = 2 ** 32

/** What a frame is for. */
export const FRAME = {
  /** Records. */
  batch: 1,
  /** Says, unsynced and without taking room, that all before it is synced: the next frame is written over it. */
  hint: 2,
  /** Says the same, synced, and stays: written after a recovery, before a trim, and when the journal is closed. */
  mark: 3,
  /** The last frame of a segment that has a successor. */
  seal: 4,
} as const
export type FrameKind = (typeof FRAME)[keyof typeof FRAME]
const KINDS = new Set<number>(Object.values(FRAME))

/** What a segment says of itself. */
export interface SegmentHead {
  base: number
  salt: number
  journal: bigint
  /** Base of the oldest segment when this one was made. */
  oldest: number
  /** Base of the segment before; 0 when this is the first one. */
  previous: number
  /** Where that one ends, as an offset in its file: what lies behind was never confirmed. */
  previousEnd: number
}

/** What a frame says. */
export interface Frame {
  kind: FrameKind
  /** Records in it. */
  count: number
  /** Bytes behind its head. */
  bytes: number
  /** Base of the oldest segment there is. */
  oldest: number
  /** Everything before this offset was on disk before the frame was written. */
  synced: number
  /** The file had at least so many bytes, on disk. */
  allocated: number
}

/** Name of the file of a segment. */
export function segmentName(base: number): string {
  return String(base).padStart(16, '0') + SEGMENT_SUFFIX
}

/** The base in the name of a segment file; undefined when it is the name of something else. */
export function baseOf(name: string): number | undefined {
  const match = /^(\d{16})\.journal$/.exec(name)
  const base = match ? Number(match[1]) : undefined
  return base !== undefined && Number.isSafeInteger(base) ? base : undefined
}

/** What a CRC at a position starts from. */
export function seed(salt: number, position: number): number {
  return (salt ^ position ^ Math.imul(Math.floor(position / TWO_32) + 1, 0x9e3779b1)) >>> 0
}

/** The bytes of a new segment. */
export function encodeHead(head: SegmentHead): Buffer {
  const bytes = Buffer.alloc(NEW_SEGMENT_BYTES)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(FORMAT, 8)
  bytes.writeUInt32LE(head.salt, 12)
  bytes.writeBigUInt64LE(head.journal, 16)
  writePosition(bytes, head.base, 24)
  writePosition(bytes, head.oldest, 32)
  writePosition(bytes, head.previous, 40)
  bytes.writeUInt32LE(head.previousEnd, 48)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, HEAD_BYTES - 4)), HEAD_BYTES - 4)
  return bytes
}

/** Reads a head, or says what is wrong with it. */
export function decodeHead(bytes: Buffer): SegmentHead | { foreign: string } | { damaged: string } {
  if (bytes.length < MAGIC.length || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    return { foreign: 'it does not begin as a segment of a journal' }
  }
  if (bytes.length < HEAD_BYTES) return { damaged: 'it was cut off within its head' }
  if (crc32(bytes.subarray(0, HEAD_BYTES - 4)) !== bytes.readUInt32LE(HEAD_BYTES - 4)) {
    // The head of another version need not have its CRC in the same place.
    const format = bytes.readUInt32LE(8)
    if (format > FORMAT && format < 1_000) return { foreign: newer(format) }
    return { damaged: 'its head is not what was written' }
  }
  const format = bytes.readUInt32LE(8)
  if (format !== FORMAT) return { foreign: newer(format) }
  return {
    salt: bytes.readUInt32LE(12),
    journal: bytes.readBigUInt64LE(16),
    base: readPosition(bytes, 24),
    oldest: readPosition(bytes, 32),
    previous: readPosition(bytes, 40),
    previousEnd: bytes.readUInt32LE(48),
  }
}

function newer(format: number): string {
  return `it has format ${format}; this version of Signalbox reads format ${FORMAT}`
}

/** Writes the head of a frame at an offset of a buffer; `position` is where the frame will be. */
export function encodeFrame(into: Buffer, at: number, frame: Frame, salt: number, position: number): void {
  into.writeUInt32LE(KIND_MAGIC + frame.kind * 0x1000000, at + 4)
  into.writeUInt32LE(frame.count, at + 8)
  into.writeUInt32LE(frame.bytes, at + 12)
  writePosition(into, frame.oldest, at + 16)
  into.writeUInt32LE(frame.synced, at + 24)
  into.writeUInt32LE(frame.allocated, at + 28)
  into.writeUInt32LE(crc32(into.subarray(at + 4, at + FRAME_BYTES), seed(salt, position)), at)
}

/** Reads the head of a frame; undefined when there is none at this place. */
export function decodeFrame(bytes: Buffer, at: number, salt: number, position: number): Frame | undefined {
  const word = bytes.readUInt32LE(at + 4)
  const kind = word >>> 24
  if ((word & 0xffffff) !== KIND_MAGIC || !KINDS.has(kind)) return undefined
  if (crc32(bytes.subarray(at + 4, at + FRAME_BYTES), seed(salt, position)) !== bytes.readUInt32LE(at)) {
    return undefined
  }
  return {
    kind: kind as FrameKind,
    count: bytes.readUInt32LE(at + 8),
    bytes: bytes.readUInt32LE(at + 12),
    oldest: readPosition(bytes, at + 16),
    synced: bytes.readUInt32LE(at + 24),
    allocated: bytes.readUInt32LE(at + 28),
  }
}

/** Writes a record at an offset of a buffer that has room for it; `position` is where the record will be. */
export function encodeRecord(
  into: Buffer,
  at: number,
  record: Uint8Array,
  salt: number,
  position: number,
): void {
  const end = at + RECORD_BYTES + record.length
  into.writeUInt32LE(record.length, at + 4)
  into.set(record, at + RECORD_BYTES)
  into.writeUInt32LE(crc32(into.subarray(at + 4, end), seed(salt, position)), at)
}

/** Length of the record at an offset of a buffer; 0 when it does not end before `end` or is not what was written. */
export function checkRecord(bytes: Buffer, at: number, end: number, salt: number, position: number): number {
  if (at + RECORD_BYTES > end) return 0
  const length = bytes.readUInt32LE(at + 4)
  const to = at + RECORD_BYTES + length
  if (length === 0 || to > end) return 0
  return crc32(bytes.subarray(at + 4, to), seed(salt, position)) === bytes.readUInt32LE(at) ? length : 0
}

function writePosition(into: Buffer, position: number, at: number): void {
  into.writeUInt32LE(position % TWO_32, at)
  into.writeUInt32LE(Math.floor(position / TWO_32), at + 4)
}

function readPosition(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * TWO_32
}
