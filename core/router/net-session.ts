/** One session between two sides, from a valid hello until either side ends it: order, window, queue, liveness. */
import { SignalboxError } from '../errors.ts'
import { Fifo } from './net-fifo.ts'
import { encodeHeader, HEADER_BYTES, KIND, type PeerRole } from './net-wire.ts'

/** Who is at the other end. */
export interface PeerInfo {
  /** Node id; for a client `client/<name>/<random>`, new for each connection. */
  id: string
  role: PeerRole
  /** Node id, or the name under which the client's key is listed. */
  name: string
}

/** Data on its way that the other side has not counted yet; one larger message may be on its way alone. */
export const WINDOW_BYTES = 8 * 1024 * 1024
export const WINDOW_MESSAGES = 1024
// A quarter of the window: the sender is never idle while the count travels.
const COUNT_AFTER_BYTES = WINDOW_BYTES / 4
const COUNT_AFTER_MESSAGES = WINDOW_MESSAGES / 4
// What a frame costs beside its bytes, so that a queue of empty frames is bounded too.
const FRAME_OVERHEAD_BYTES = 64

export interface SessionOptions {
  peer: PeerInfo
  /** Puts a message on the socket; the first frame is reused, the others belong to the socket from now on. */
  transmit(header: Buffer, frames: readonly Uint8Array[]): void
  deliver(peer: PeerInfo, frames: Buffer[]): void
  /** The smaller of what both sides accept. */
  maxFrameBytes: number
  maxQueueBytes: number
}

/**
 * ZeroMQ counts messages, not bytes, and hides what it holds. So each side tells in every header how many data
 * messages it has taken out of its socket, and the sender keeps at most a window of bytes beyond that count: what
 * is inside ZeroMQ and the kernel is bounded, and a slow receiver shows as a queue that fills here.
 */
export class Session {
  readonly peer: PeerInfo
  readonly #options: SessionOptions
  readonly #queue = new Fifo<{ frames: readonly Uint8Array[]; bytes: number }>()
  #queuedBytes = 0
  readonly #onTheWay = new Fifo<number>()
  #onTheWayBytes = 0
  /** Data messages that the other side has counted, modulo 2^32. */
  #counted = 0
  #received = 0
  #toldAt = { messages: 0, bytes: 0 }
  #receivedBytes = 0
  #silentMs = 0
  #drained: (() => void)[] = []
  #closed = false

  constructor(options: SessionOptions) {
    this.peer = options.peer
    this.#options = options
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Sends or queues; false when the queue is full. Throws SIGNALBOX_FORMAT_LIMIT for what could never be sent. */
  send(frames: readonly Uint8Array[]): boolean {
    if (this.#closed) return false
    const bytes = this.#measure(frames)
    if (this.#queue.length === 0 && this.#windowIsOpen(bytes)) {
      this.#transmit(frames, bytes)
      return true
    }
    if (this.#queuedBytes + bytes > this.#options.maxQueueBytes) return false
    this.#queue.push({ frames, bytes })
    this.#queuedBytes += bytes
    return true
  }

  /** Takes a heartbeat, data or flush of the other side; false when it is malformed. */
  receive(header: Buffer, frames: Buffer[]): boolean {
    const kind = header[0]
    if (header.length !== HEADER_BYTES) return false
    if (kind === KIND.data ? frames.length === 0 : frames.length > 0) return false
    if (!this.#count(header.readUInt32BE(1))) return false
    this.#silentMs = 0
    if (kind === KIND.data) this.#receiveData(frames)
    else if (kind === KIND.flush) this.heartbeat()
    else if (kind !== KIND.heartbeat) return false
    return true
  }

  /** Tells the other side that we live and how much we have received. */
  heartbeat(): void {
    this.#told()
    this.#options.transmit(encodeHeader(KIND.heartbeat, this.#received), [])
  }

  /** Adds to the time since the last sign of life and returns it. */
  addSilence(ms: number): number {
    this.#silentMs += ms
    return this.#silentMs
  }

  /** Resolves when the other side has taken everything that was sent, or the session is closed. */
  drained(): Promise<void> {
    if (this.#closed || this.#isEmpty()) return Promise.resolve()
    return new Promise(resolve => {
      this.#drained.push(resolve)
      if (this.#queue.length === 0) this.#askForCount()
    })
  }

  /** Ends the session; what is queued is dropped: whoever owns the session reports the peer as down. */
  close(): void {
    this.#closed = true
    this.#queue.clear()
    this.#onTheWay.clear()
    this.#settleDrained()
  }

  #measure(frames: readonly Uint8Array[]): number {
    const { maxFrameBytes, maxQueueBytes } = this.#options
    let bytes = 0
    for (const frame of frames) {
      if (frame.byteLength > maxFrameBytes) throw tooLarge('a frame', frame.byteLength, maxFrameBytes)
      bytes += frame.byteLength
    }
    if (bytes > maxQueueBytes) throw tooLarge('a message', bytes, maxQueueBytes)
    if (frames.length === 0) throw new SignalboxError('SIGNALBOX_USAGE', 'send needs at least one frame')
    return bytes + frames.length * FRAME_OVERHEAD_BYTES
  }

  #windowIsOpen(bytes: number): boolean {
    if (this.#onTheWay.length === 0) return true
    return this.#onTheWayBytes + bytes <= WINDOW_BYTES && this.#onTheWay.length < WINDOW_MESSAGES
  }

  #transmit(frames: readonly Uint8Array[], bytes: number): void {
    this.#onTheWay.push(bytes)
    this.#onTheWayBytes += bytes
    this.#told()
    this.#options.transmit(encodeHeader(KIND.data, this.#received), frames)
  }

  /** Takes the other side's count; false when it counts more than was sent. */
  #count(count: number): boolean {
    let news = (count - this.#counted) >>> 0
    if (news === 0) return true
    if (news > this.#onTheWay.length) return false
    this.#counted = count
    for (; news > 0; news--) this.#onTheWayBytes -= this.#onTheWay.shift()!
    this.#pump()
    return true
  }

  #pump(): void {
    while (!this.#closed) {
      const next = this.#queue.peek()
      if (!next || !this.#windowIsOpen(next.bytes)) break
      this.#queue.shift()
      this.#queuedBytes -= next.bytes
      this.#transmit(next.frames, next.bytes)
      if (this.#queue.length === 0 && this.#drained.length > 0) this.#askForCount()
    }
    if (this.#isEmpty()) this.#settleDrained()
  }

  #receiveData(frames: Buffer[]): void {
    this.#received = (this.#received + 1) >>> 0
    for (const frame of frames) this.#receivedBytes += frame.byteLength
    this.#options.deliver(this.peer, frames)
    const untold = (this.#received - this.#toldAt.messages) >>> 0
    if (untold >= COUNT_AFTER_MESSAGES || this.#receivedBytes - this.#toldAt.bytes >= COUNT_AFTER_BYTES) {
      if (!this.#closed) this.heartbeat()
    }
  }

  #told(): void {
    this.#toldAt.messages = this.#received
    this.#toldAt.bytes = this.#receivedBytes
  }

  #askForCount(): void {
    this.#told()
    this.#options.transmit(encodeHeader(KIND.flush, this.#received), [])
  }

  #isEmpty(): boolean {
    return this.#queue.length === 0 && this.#onTheWay.length === 0
  }

  #settleDrained(): void {
    for (const resolve of this.#drained.splice(0)) resolve()
  }
}

function tooLarge(what: string, bytes: number, limit: number): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_FORMAT_LIMIT',
    `${what} of ${bytes} bytes exceeds the limit of ${limit} bytes; send it in parts`,
    { details: { bytes, limit } },
  )
}
