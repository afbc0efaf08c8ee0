/** Request bodies: collected within limits, decompressed within limits, read by their media type. */
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { parse as parseContentType } from 'content-type'
import { SignalboxError } from '../../core/errors.ts'
import { charsetOf, decodeAll } from '../../core/message/charset.ts'
import { type BodyFormat, codecOf, formatOf, parseBody } from '../../core/message/formats.ts'
import { Type } from '../../core/schema.ts'
import { BodyGuard, type BodySpeed } from './watchdog.ts'

/** What a Content-Type header says. */
export interface BodyType {
  mediaType: string
  format: BodyFormat | undefined
  /** Character set in lower case; undefined: the format's own rule, which is UTF-8. */
  charset: string | undefined
  multipart: boolean
}

/** Whether a request has a body (RFC 9112, 6). */
export function hasBody(headers: Record<string, string | string[] | undefined>): boolean {
  const length = headers['content-length']
  return length === undefined ? headers['transfer-encoding'] !== undefined : length !== '0'
}

/** Throws SIGNALBOX_FORMAT_LIMIT, before anything is read, when the announced length is too much. */
export function checkAnnouncedLength(length: string | undefined, maxBytes: number): void {
  if (length !== undefined && Number(length) > maxBytes) throw tooLarge(maxBytes)
}

function tooLarge(maxBytes: number): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `the body is larger than ${maxBytes} bytes`, {
    details: { limit: 'maxBodyBytes', maxBytes },
  })
}

const COLLECTOR = Symbol('collector')
type Collected = IncomingMessage & { [COLLECTOR]: BodyCollector }

// Shared by all requests and found through the request itself: no closures to make for each.
function onData(this: Collected, chunk: Buffer): void {
  this[COLLECTOR].data(chunk)
}
function onEnd(this: Collected): void {
  this[COLLECTOR].end()
}
function onBroken(this: Collected): void {
  this[COLLECTOR].broken()
}

class BodyCollector extends BodyGuard {
  readonly #maxBytes: number
  #first: Buffer | undefined
  #rest: Buffer[] | undefined
  #settled = false
  resolve!: (bytes: Buffer) => void
  reject!: (error: Error) => void

  constructor(request: IncomingMessage, maxBytes: number, speed: BodySpeed) {
    super(request, speed)
    this.#maxBytes = maxBytes
  }

  data(chunk: Buffer): void {
    if (this.#settled) return
    this.received += chunk.length
    if (this.received > this.#maxBytes) this.fail(tooLarge(this.#maxBytes))
    else if (this.#first === undefined) this.#first = chunk
    else if (this.#rest === undefined) this.#rest = [this.#first, chunk]
    else this.#rest.push(chunk)
  }

  end(): void {
    if (this.#settled) return
    this.#settled = true
    this.unwatch()
    this.resolve(this.#rest ? Buffer.concat(this.#rest, this.received) : (this.#first ?? Buffer.alloc(0)))
  }

  /** The request has closed: an error only when that was too early, for making one costs more than the body. */
  broken(): void {
    if (this.#settled) return
    this.fail(new SignalboxError('SIGNALBOX_CANCELLED', 'the client went away while it sent its request'))
  }

  fail(error: Error): void {
    if (this.#settled) return
    this.#settled = true
    this.#first = this.#rest = undefined
    this.unwatch()
    this.reject(error)
  }
}

/**
 * Collects a body. Rejects with SIGNALBOX_FORMAT_LIMIT past `maxBytes`, SIGNALBOX_REQUEST_TIMEOUT when it comes
 * too slowly and SIGNALBOX_CANCELLED when the client goes away; what comes after a rejection is discarded.
 */
export function collectBody(request: IncomingMessage, maxBytes: number, speed: BodySpeed): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const collector = new BodyCollector(request, maxBytes, speed)
    collector.resolve = resolve
    collector.reject = reject
    ;(request as Collected)[COLLECTOR] = collector
    request.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken)
  })
}

/** Small bodies may grow to this size whatever their ratio: a few bytes compress absurdly well. */
const ALWAYS_ALLOWED_BYTES = 64 * 1024

type Unzip = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>
const UNZIP: Record<string, Unzip> = {
  gzip: promisify(zlib.gunzip),
  'x-gzip': promisify(zlib.gunzip),
  br: promisify(zlib.brotliDecompress),
  zstd: promisify(zlib.zstdDecompress),
  // RFC 9110 means the zlib format, but some clients send the bare deflate stream.
  deflate: (bytes, options) => (isZlib(bytes) ? inflate(bytes, options) : inflateRaw(bytes, options)),
}
const inflate: Unzip = promisify(zlib.inflate)
const inflateRaw: Unzip = promisify(zlib.inflateRaw)

function isZlib(bytes: Buffer): boolean {
  return bytes.length >= 2 && (bytes[0]! & 0x0f) === 8 && bytes.readUInt16BE(0) % 31 === 0
}

/** Undoes a Content-Encoding. Stops at `maxBytes` and at `maxRatio` times the size on the wire. */
export async function decompress(
  bytes: Buffer,
  encoding: string,
  maxBytes: number,
  maxRatio: number,
): Promise<Buffer> {
  const unzip = contentDecoder(encoding)
  if (unzip === undefined) return bytes
  const maxOutputLength = Math.min(maxBytes, Math.max(ALWAYS_ALLOWED_BYTES, bytes.length * maxRatio))
  try {
    return await unzip(bytes, { maxOutputLength: Math.max(1, maxOutputLength) })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new SignalboxError(
        'SIGNALBOX_FORMAT_LIMIT',
        `the ${encoding} body inflates to more than ${maxOutputLength} bytes`,
        {
          details: {
            limit: maxOutputLength === maxBytes ? 'maxBodyBytes' : 'maxInflationRatio',
            maxBytes: maxOutputLength,
          },
        },
      )
    }
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `the body is not valid ${encoding} data`, {
      cause: error,
    })
  }
}

/** Throws SIGNALBOX_FORMAT_UNSUPPORTED for an encoding that cannot be undone; undefined: nothing to undo. */
export function contentDecoder(encoding: string): Unzip | undefined {
  const name = encoding.trim().toLowerCase()
  if (name === '' || name === 'identity') return undefined
  if (Object.hasOwn(UNZIP, name)) return UNZIP[name]
  throw new SignalboxError(
    'SIGNALBOX_FORMAT_UNSUPPORTED',
    `the content encoding ${JSON.stringify(encoding)} is not accepted`,
    {
      details: { accepted: ['gzip', 'deflate', 'br', 'zstd', 'identity'] },
    },
  )
}

const JSON_TYPE: BodyType = {
  mediaType: 'application/json',
  format: 'json',
  charset: undefined,
  multipart: false,
}
const NO_TYPE: BodyType = {
  mediaType: 'application/octet-stream',
  format: undefined,
  charset: undefined,
  multipart: false,
}
const known = new Map<string, BodyType>()
/** Senders choose these strings, so only so many are remembered. */
const MAX_KNOWN = 256

/** Reads a Content-Type header; a body without one is bytes. */
export function bodyType(header: string | undefined): BodyType {
  if (header === 'application/json') return JSON_TYPE
  if (header === undefined) return NO_TYPE
  const remembered = known.get(header)
  if (remembered) return remembered
  const { type, parameters } = parseContentType(header)
  if (!/^[^\s/]+\/[^\s/]+$/.test(type)) {
    throw new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', 'the Content-Type is not a media type')
  }
  const mediaType = type.toLowerCase()
  const multipart = mediaType === 'multipart/form-data'
  const charset = parameters.charset?.toLowerCase()
  const read = { mediaType, format: multipart ? undefined : formatOf(mediaType), charset, multipart }
  if (!multipart && known.size < MAX_KNOWN && header.length < 128) known.set(header, read)
  return read
}

/** Reads a body in a format, or as its Content-Type says; bytes of unknown type stay a Buffer. */
export function readBody(format: string, type: BodyType, bytes: Buffer, maxDepth: number): unknown {
  const chosen = format === 'auto' ? type.format : format === 'raw' ? undefined : (format as BodyFormat)
  if (chosen === undefined) return bytes
  const { charset } = type
  const utf8 = charset === undefined || charset === 'utf-8' || charset === 'utf8'
  // XML says its encoding itself; its parser knows better than the header.
  if (utf8 || chosen === 'xml' || chosen === 'msgpack') return parseBody(chosen, bytes, { maxDepth })
  if (takesCharset(chosen)) return parseBody(chosen, bytes, { maxDepth }, { charset })
  return parseBody(chosen, Buffer.from(decodeAll(bytes, charsetOf(charset), 'the body')), { maxDepth })
}

/** Whether a body that is read in this format has texts for values, whatever they stand for. */
export function isForm(format: string, type: BodyType): boolean {
  return (format === 'auto' ? type.format : format) === 'form'
}

/** Whether a format is text that can be in any character set. */
export function takesCharset(format: BodyFormat): boolean {
  const { options } = codecOf(format)
  return options !== undefined && Type.IsObject(options) && 'charset' in options.properties
}
