/**
 * The codec of links: batches of messages to bytes and back. Every value that a service can return arrives equal
 * (`assert.deepStrictEqual`), with these rules:
 *
 * - an instance of a class arrives as a plain object of its own enumerable fields, a subclass of a built-in
 *   (Map, Error, Uint8Array...) as that built-in; `toJSON` is not called; symbol keys stay behind, and so do extra
 *   fields of arrays, Maps, Sets, Dates and binary data;
 * - an Error arrives with its name, message, code and own enumerable fields, and as its class if that is one of
 *   JavaScript's own; a SignalboxError arrives as one. Stack and cause stay behind;
 * - functions, symbols, promises, streams, weak collections, boxed primitives, objects of the platform that keep
 *   their data inside (URL, Response, generators), cycles, and nesting of more than 512 levels are refused.
 *
 * The format (codec-format.ts) is our own. msgpackr, measured beside it in bench/codec.ts, loses -0, lone surrogates
 * and keys named `__proto__`, and its string bundles let a small hostile body cost time in the square of its size.
 */
import { SignalboxError } from '../errors.ts'
import { findObstacle } from './codec-explain.ts'
import { FLAG_FRESH, HEADER_BYTES, VERSION } from './codec-format.ts'
import { Malformed, readBatch, Shapes } from './codec-read.ts'
import { failedIndex, isWriting, ShapeTable, writeBatch } from './codec-write.ts'

/** One message on the wire: a short array of plain fields, the last is the payload (any value a service can return). */
export type WireMessage = unknown[]

/** Binary payload parts of this size or more travel beside the body, in bytes. */
export const ATTACHMENT_MIN_BYTES = 65_536

/** An encoded batch. */
export interface Encoded {
  /** Owned by the caller, of exact size, alone in its ArrayBuffer: it may be transferred or kept. */
  body: Uint8Array<ArrayBuffer>
  /**
   * The large binary parts, in order: the sender's own memory, not copies. Copy or send them before the sender
   * can change them. A part that was a Uint8Array is the same object, so `isTransferable` can be asked.
   */
  attachments: Uint8Array[]
}

export interface EncoderOptions {
  /**
   * Make every body readable by itself. Default false: a body relies on the keys of objects that earlier ones
   * brought, which makes small batches much cheaper, and which needs a link that loses and reorders nothing.
   */
  selfContained?: boolean
}

/** Objects that found no room for their keys before the table starts again. */
const OVERFLOW_LIMIT = 1_000

/**
 * The sending end of a link. Its first body, the first after a failure and the first after `reset()` can be read
 * by any decoder; the others only by the one that has read all bodies before, in order.
 */
export class Encoder {
  readonly #selfContained: boolean
  #shapes = new ShapeTable()
  #fresh = true
  #sequence = 0

  constructor(options: EncoderOptions = {}) {
    this.#selfContained = options.selfContained ?? false
  }

  /**
   * Encodes a batch. Throws SIGNALBOX_CODEC_UNENCODABLE for the first message that cannot travel, with its index
   * in the batch, the JSON Pointer of the part within the message, and the reason in the details; nothing is sent
   * then, and the pair stays usable. Throws SIGNALBOX_USAGE when a getter or proxy of a value being encoded
   * encodes something itself.
   */
  encode(batch: readonly WireMessage[]): Encoded {
    if (isWriting())
      throw new SignalboxError('SIGNALBOX_USAGE', 'A getter or proxy may not encode or send a message.')
    if (this.#selfContained || this.#shapes.overflow > OVERFLOW_LIMIT) this.reset()
    const header = {
      flags: this.#fresh ? FLAG_FRESH : 0,
      sequence: this.#sequence,
      attachmentMinBytes: ATTACHMENT_MIN_BYTES,
    }
    try {
      const { body, attachments } = writeBatch(batch, this.#shapes, header)
      this.#fresh = false
      this.#sequence = (this.#sequence + 1) >>> 0
      return { body, attachments }
    } catch (error) {
      this.reset()
      throw unencodable(batch, error)
    }
  }

  /** Makes the next body readable by any decoder. Called when the other end was replaced or a body was lost. */
  reset(): void {
    this.#shapes = new ShapeTable()
    this.#fresh = true
  }
}

/** The receiving end of a link. */
export class Decoder {
  #shapes = new Shapes()
  /** The sequence number of the next body, or undefined when only a fresh one can be read. */
  #expected: number | undefined

  /**
   * Decodes a body. Buffers of 4 KiB or more are views of `body`, and attachments come back as views without a
   * copy, so neither may be reused. Throws SIGNALBOX_CODEC_MALFORMED for anything that is not a body of this
   * version or follows a lost one; then only a fresh body (see {@link Encoder.reset}) can be read. Takes time and
   * memory in proportion to the bytes given, whatever they say.
   */
  decode(body: Uint8Array, attachments: readonly Uint8Array[] = []): WireMessage[] {
    try {
      const source = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
      const { sequence, dataBytes } = this.#readHeader(source)
      const batch = readBatch(source, dataBytes, this.#shapes, attachments)
      this.#expected = (sequence + 1) >>> 0
      return batch
    } catch (error) {
      this.#expected = undefined
      const reason = error instanceof Error ? error.message : String(error)
      throw new SignalboxError('SIGNALBOX_CODEC_MALFORMED', `A body cannot be decoded: ${reason}`, {
        cause: error,
      })
    }
  }

  #readHeader(source: Buffer): { sequence: number; dataBytes: number } {
    if (source.length < HEADER_BYTES) throw new Malformed('it is shorter than its header')
    if (source[0] !== VERSION) throw new Malformed(`format version ${source[0]}, not ${VERSION}`)
    if (source[1]! > FLAG_FRESH || source.readUInt16BE(2) !== 0) throw new Malformed('unknown flags')
    const sequence = source.readUInt32BE(4)
    const dataBytes = source.readUInt32BE(8)
    if (dataBytes > source.length - HEADER_BYTES) throw new Malformed('the data is longer than the body')
    if (source[1] === FLAG_FRESH) this.#shapes.list = []
    else if (sequence !== this.#expected)
      throw new Malformed('it relies on a body that was not read before it')
    return { sequence, dataBytes }
  }
}

function unencodable(batch: readonly WireMessage[], error: unknown): SignalboxError {
  const index = failedIndex()
  const fallback = { path: '', reason: error instanceof Error ? error.message : String(error) }
  const { path, reason } = findObstacle(batch[index]) ?? fallback
  return new SignalboxError(
    'SIGNALBOX_CODEC_UNENCODABLE',
    `Message ${index} of the batch cannot travel: ${reason} at '${path}'.`,
    { details: { index, path, reason }, cause: error },
  )
}
