/** Reads single records again. */
import { SignalboxError } from '../../errors.ts'
import type { Position } from '../journal.ts'
import { damaged } from './failure.ts'
import { withFile } from './file-pool.ts'
import { readFully } from './files.ts'
import { checkRecord, HEAD_BYTES, RECORD_BYTES } from './format.ts'
import type { SegmentFile } from './segment.ts'

/** Records so near to each other are read at once. */
const NEAR_BYTES = 8 * 1024
/** The most that is read at once, unless one record is larger. */
const WINDOW_BYTES = 256 * 1024
/** Read behind the last position of a window: its record often ends there. */
const AHEAD_BYTES = 4 * 1024

/** Reads the records at some positions, in the order asked for. */
export async function readRecords(
  segments: readonly SegmentFile[],
  positions: readonly Position[],
): Promise<Buffer[]> {
  const found = new Map<Position, Buffer>()
  const wrong = positions.find(position => !Number.isSafeInteger(position))
  if (wrong !== undefined) throw noRecord(wrong)
  const sorted = [...positions].sort((a, b) => a - b)
  let at = 0
  while (at < sorted.length) {
    const segment = segmentOf(segments, sorted[at]!)
    const stop = sorted.findIndex((position, i) => i > at && position >= segment.base + segment.end)
    const wanted = sorted.slice(at, stop < 0 ? undefined : stop)
    await withFile(segment.file, fd => readSegment(fd, segment, wanted, found))
    at += wanted.length
  }
  return positions.map(position => found.get(position)!)
}

function segmentOf(segments: readonly SegmentFile[], position: Position): SegmentFile {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (segments[middle]!.base <= position) low = middle + 1
    else high = middle
  }
  const segment = segments[low - 1]
  const offset = segment ? position - segment.base : -1
  if (segment && offset >= HEAD_BYTES && offset < segment.end) return segment
  throw noRecord(position)
}

function noRecord(position: Position): SignalboxError {
  const message = `there is no record at position ${position}: it was trimmed, is not confirmed yet, or never was`
  return new SignalboxError('SIGNALBOX_USAGE', message)
}

async function readSegment(
  fd: number,
  segment: SegmentFile,
  positions: readonly Position[],
  found: Map<Position, Buffer>,
): Promise<void> {
  const { end } = segment
  for (let i = 0; i < positions.length; ) {
    const from = positions[i]! - segment.base
    let to = from
    let next = i
    while (next < positions.length) {
      const offset = positions[next]! - segment.base
      if (offset > to + NEAR_BYTES || offset > from + WINDOW_BYTES) break
      to = offset
      next++
    }
    to = Math.min(to + AHEAD_BYTES, end)
    const bytes = Buffer.allocUnsafe(to - from)
    const length = await readFully(fd, bytes, 0, to - from, from)
    for (; i < next; i++) {
      const offset = positions[i]! - segment.base
      found.set(positions[i]!, await take(fd, segment, bytes.subarray(offset - from, length), offset))
    }
  }
}

/** The record at the beginning of some bytes, or read from the file where they are too few; a copy. */
async function take(fd: number, segment: SegmentFile, bytes: Buffer, offset: number): Promise<Buffer> {
  const whole = bytes.length >= RECORD_BYTES ? RECORD_BYTES + bytes.readUInt32LE(4) : RECORD_BYTES
  let present = bytes
  if (whole > bytes.length || bytes.length < RECORD_BYTES) {
    if (offset + whole > segment.end) throw damagedRecord(segment, offset)
    present = Buffer.allocUnsafe(bytes.length < RECORD_BYTES ? segment.end - offset : whole)
    const length = await readFully(fd, present, 0, present.length, offset)
    present = present.subarray(0, length)
  }
  const length = checkRecord(present, 0, present.length, segment.head.salt, segment.base + offset)
  if (length === 0) throw damagedRecord(segment, offset)
  return Buffer.from(present.subarray(RECORD_BYTES, RECORD_BYTES + length))
}

function damagedRecord(segment: SegmentFile, offset: number): SignalboxError {
  return damaged(segment.path, 'there is no record here, or not the one that was written', offset)
}
