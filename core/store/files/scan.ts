/** Reads a segment from its beginning and checks every byte. */
import type { Position } from '../journal.ts'
import { damaged } from './failure.ts'
import { readFully } from './files.ts'
import {
  checkRecord,
  decodeFrame,
  FRAME,
  FRAME_BYTES,
  FRAME_MAGIC,
  type Frame,
  HEAD_BYTES,
  NEW_SEGMENT_BYTES,
  RECORD_BYTES,
  type SegmentHead,
} from './format.ts'

const CHUNK_BYTES = 1024 * 1024

export type Each = (record: Buffer, position: Position) => void

/** Where reading a segment ended. */
export interface ScanResult {
  /** Offset behind the last frame that is whole. */
  end: number
  /** Offset behind the last batch. */
  batchEnd: number
  /** Offset of the last batch. */
  batchStart: number
  /** The last frame that is whole. */
  last: Frame | undefined
  /** Offset behind the last byte that is not zero, if there is one behind the end: a write that was cut off. */
  tornEnd: number | undefined
}

/** A file that is read forward in large pieces. */
class Window {
  readonly #fd: number
  readonly #size: number
  bytes = Buffer.allocUnsafe(CHUNK_BYTES)
  /** Offset in the file of the first byte. */
  from: number
  #length = 0

  constructor(fd: number, size: number, from: number) {
    this.#fd = fd
    this.#size = size
    this.from = from
  }

  has(at: number, length: number): boolean {
    return at + length <= this.from + this.#length
  }

  /** Makes `length` bytes from `at` on present, and drops what lies before. False when the file is too short. */
  async load(at: number, length: number): Promise<boolean> {
    if (at + length > this.#size) return false
    const kept = this.from + this.#length - at
    const from = at - this.from
    const into = length > this.bytes.length ? Buffer.allocUnsafe(length + CHUNK_BYTES) : this.bytes
    if (kept > 0) this.bytes.copy(into, 0, from, from + kept)
    this.bytes = into
    this.from = at
    this.#length = Math.max(kept, 0)
    const want = Math.min(into.length, this.#size - at) - this.#length
    this.#length += await readFully(this.#fd, into, this.#length, want, at + this.#length)
    return this.has(at, length)
  }
}

/**
 * Reads the frames of a segment up to `until`, or up to where they end. Records are given only when the whole of
 * their frame is right. Throws SIGNALBOX_STORE_DAMAGED for what was confirmed and is not what was written.
 */
export async function scanSegment(
  fd: number,
  path: string,
  size: number,
  head: SegmentHead,
  until: number | undefined,
  each: Each | undefined,
): Promise<ScanResult> {
  const window = new Window(fd, size, HEAD_BYTES)
  const result: ScanResult = {
    end: HEAD_BYTES,
    batchEnd: HEAD_BYTES,
    batchStart: HEAD_BYTES,
    last: undefined,
    tornEnd: undefined,
  }
  while (until === undefined || result.end < until) {
    const at = result.end
    if (!window.has(at, FRAME_BYTES) && !(await window.load(at, FRAME_BYTES))) break
    const frame = decodeFrame(window.bytes, at - window.from, head.salt, head.base + at)
    if (!frame) break
    const whole = FRAME_BYTES + frame.bytes
    if (!window.has(at, whole) && !(await window.load(at, whole))) break
    if (!checkFrame(window.bytes, at - window.from, frame, head, at)) break
    result.last = frame
    if (frame.kind === FRAME.hint) break
    if (frame.kind === FRAME.batch) {
      if (each) giveRecords(window.bytes, at - window.from, frame, head.base + at, each)
      result.batchStart = at
      result.batchEnd = at + whole
    }
    result.end += whole
  }
  if (until === undefined) await judgeTail(fd, path, size, head, result)
  else if (result.end !== until) {
    throw damaged(path, 'the bytes here are not those that were written', result.end)
  }
  return result
}

function checkFrame(bytes: Buffer, from: number, frame: Frame, head: SegmentHead, offset: number): boolean {
  const end = from + FRAME_BYTES + frame.bytes
  const shift = head.base + offset - from
  let at = from + FRAME_BYTES
  for (let i = 0; i < frame.count; i++) {
    const length = checkRecord(bytes, at, end, head.salt, shift + at)
    if (length === 0) return false
    at += RECORD_BYTES + length
  }
  return at === end
}

function giveRecords(bytes: Buffer, from: number, frame: Frame, position: Position, each: Each): void {
  const shift = position - from
  let at = from + FRAME_BYTES
  for (let i = 0; i < frame.count; i++) {
    const to = at + RECORD_BYTES + bytes.readUInt32LE(at + 4)
    each(bytes.subarray(at + RECORD_BYTES, to), shift + at)
    at = to
  }
}

/** Tells a write that was cut off (or none) from damage, by what frames before and behind say was on disk. */
async function judgeTail(
  fd: number,
  path: string,
  size: number,
  head: SegmentHead,
  result: ScanResult,
): Promise<void> {
  const { end, last } = result
  const allocated = last?.allocated ?? NEW_SEGMENT_BYTES
  if (allocated > size) {
    throw damaged(path, `the file was cut off: it has ${size} bytes, and had ${allocated}`, end)
  }
  const tail = Buffer.alloc(Math.max(0, size - end))
  await readFully(fd, tail, 0, tail.length, end)
  if (claimsMore(tail, head, end)) {
    throw damaged(path, 'the bytes here are not those that were written and confirmed', end)
  }
  const from = last?.kind === FRAME.hint ? FRAME_BYTES : 0
  const length = lengthWithoutZeros(tail)
  if (length > from) result.tornEnd = end + length
}

/** Whether a frame in the tail says that more was on disk than the part before the tail. */
function claimsMore(tail: Buffer, head: SegmentHead, end: number): boolean {
  let at = tail.indexOf(FRAME_MAGIC, 4) - 4
  while (at >= 0 && at + FRAME_BYTES <= tail.length) {
    const frame = decodeFrame(tail, at, head.salt, head.base + end + at)
    if (frame && frame.synced > end) return true
    at = tail.indexOf(FRAME_MAGIC, at + 5) - 4
  }
  return false
}

function lengthWithoutZeros(bytes: Buffer): number {
  let length = bytes.length
  while (length > 0 && bytes[length - 1] === 0) length--
  return length
}
