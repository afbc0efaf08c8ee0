/** Records of several appends that are written, and confirmed or refused, together. */
import type { SignalboxError } from '../../errors.ts'
import type { Position } from '../journal.ts'
import { encodeFrame, encodeRecord, FRAME, FRAME_BYTES, RECORD_BYTES } from './format.ts'

const LEAST_BYTES = 4 * 1024
/** Larger buffers are not kept. */
const KEPT_BYTES = 4 * 1024 * 1024
/** How many buffers of a size are kept for all journals of this thread. */
const KEPT = 4

const kept = new Map<number, Buffer[]>()

/** A buffer of at least so many bytes, from those that were given back. */
function takeBuffer(bytes: number): Buffer {
  const size = 2 ** Math.ceil(Math.log2(Math.max(bytes, LEAST_BYTES)))
  // Not from Node's pool: a record keeps its whole buffer alive.
  return kept.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size)
}

function giveBuffer(buffer: Buffer): void {
  if (buffer.length > KEPT_BYTES) return
  const list = kept.get(buffer.length)
  if (!list) kept.set(buffer.length, [buffer])
  else if (list.length < KEPT) list.push(buffer)
}

/** Where a batch goes. */
export interface Place {
  base: number
  salt: number
  /** Offset in the file of the segment. */
  offset: number
}

/** One append that waits. */
interface Caller {
  positions: Position[]
  resolve: (positions: Position[]) => void
  reject: (error: SignalboxError) => void
}

export class Batch {
  readonly place: Place
  /** It is the first one of a new segment. */
  readonly opens: boolean
  #buffer: Buffer
  #length = FRAME_BYTES
  #count = 0
  readonly #callers: Caller[] = []

  constructor(place: Place, opens: boolean, expectedBytes: number) {
    this.place = place
    this.opens = opens
    this.#buffer = takeBuffer(expectedBytes)
  }

  /** Bytes in the file. */
  get length(): number {
    return this.#length
  }

  /** What is written: the first `length` bytes of it. */
  get buffer(): Buffer {
    return this.#buffer
  }

  /** Copies the records of one append; `bytes` is what they take. */
  add(records: readonly Uint8Array[], bytes: number): Promise<Position[]> {
    if (this.#length + bytes > this.#buffer.length) this.#grow(this.#length + bytes)
    const { base, salt, offset } = this.place
    const positions: Position[] = []
    let at = this.#length
    for (const record of records) {
      const position = base + offset + at
      encodeRecord(this.#buffer, at, record, salt, position)
      positions.push(position)
      at += RECORD_BYTES + record.length
    }
    this.#length = at
    this.#count += records.length
    return new Promise((resolve, reject) => {
      this.#callers.push({ positions, resolve, reject })
    })
  }

  /** Writes the head of the frame, with what is true now. */
  seal(oldest: number, allocated: number): void {
    const { base, salt, offset } = this.place
    const bytes = this.#length - FRAME_BYTES
    const frame = { kind: FRAME.batch, count: this.#count, bytes, oldest, synced: offset, allocated }
    encodeFrame(this.#buffer, 0, frame, salt, base + offset)
  }

  confirm(): void {
    giveBuffer(this.#buffer)
    for (const { resolve, positions } of this.#callers) resolve(positions)
  }

  reject(error: SignalboxError): void {
    giveBuffer(this.#buffer)
    for (const caller of this.#callers) caller.reject(error)
  }

  #grow(bytes: number): void {
    const larger = takeBuffer(bytes)
    this.#buffer.copy(larger, 0, 0, this.#length)
    giveBuffer(this.#buffer)
    this.#buffer = larger
  }
}
