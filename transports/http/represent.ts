/** How a payload becomes a body: by its kind, what the route produces, and what the client accepts (RFC 9110, 12). */
import type { IncomingHttpHeaders } from 'node:http'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import Negotiator from 'negotiator'
import { SignalboxError } from '../../core/errors.ts'
import { type BodyFormat, buildBody, formatOf } from '../../core/message/formats.ts'
import { bodyType, takesCharset } from './body.ts'
import type { HttpChannelSettings } from './channel-options.ts'

/** A body with its media type. */
export interface Representation {
  contentType: string
  body: string | Buffer
  /** Whether the Accept header decided. */
  negotiated: boolean
}

const OBJECT_TYPES = ['application/json', 'application/msgpack', 'application/xml']
const TEXT_TYPES = ['text/plain', 'application/json', 'application/msgpack']
const BYTES_TYPES = ['application/octet-stream']

/**
 * Makes the body of an answer. A Content-Type the service set is final: strings and Buffers are sent as they
 * are, other values are written in its format. Throws SIGNALBOX_NOT_ACCEPTABLE.
 */
export function represent(
  payload: unknown,
  given: string | undefined,
  accept: string | undefined,
  produces: readonly string[] | undefined,
): Representation {
  const raw = typeof payload === 'string' || payload instanceof Uint8Array
  if (given !== undefined)
    return { contentType: given, body: raw ? rawBody(payload) : build(payload, given), negotiated: false }
  const offers = offersFor(payload, produces)
  const preferred = offers[0]!
  const direct = accept === undefined || accept === '*/*' || accept === preferred
  const type = direct ? preferred : chooseType(accept, offers)
  const body = raw && !encodesText(payload, type) ? rawBody(payload) : build(payload, type)
  return {
    contentType: type.startsWith('text/') ? `${type}; charset=utf-8` : type,
    body,
    negotiated: !direct,
  }
}

/** The first offer that the client likes best. Throws SIGNALBOX_NOT_ACCEPTABLE when there is none. */
export function chooseType(accept: string | undefined, offers: readonly string[]): string {
  const chosen = new Negotiator({ headers: { accept } }).mediaType([...offers])
  if (chosen !== undefined) return chosen
  throw new SignalboxError(
    'SIGNALBOX_NOT_ACCEPTABLE',
    'no representation that the client accepts can be made',
    {
      details: { available: offers },
    },
  )
}

function offersFor(payload: unknown, produces: readonly string[] | undefined): readonly string[] {
  if (payload instanceof Uint8Array) return produces ?? BYTES_TYPES
  if (typeof payload === 'string') return produces ?? TEXT_TYPES
  if (produces === undefined) return OBJECT_TYPES
  const able = produces.filter(type => writesData(formatOf(type), payload))
  if (able.length > 0) return able
  throw new SignalboxError(
    'SIGNALBOX_ANSWER_INVALID',
    `the service returned data, but its route produces only ${produces.join(', ')}: return a string or a Buffer`,
  )
}

/** A string is itself in text formats, and a value in formats for data. */
function encodesText(payload: string | Uint8Array, type: string): boolean {
  if (typeof payload !== 'string') return false
  const format = formatOf(type)
  return format === 'json' || format === 'msgpack'
}

function rawBody(payload: string | Uint8Array): string | Buffer {
  if (typeof payload === 'string' || Buffer.isBuffer(payload)) return payload
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
}

/** Whether a format can carry a value; plain text carries numbers and booleans, but no objects. */
function writesData(format: BodyFormat | undefined, payload: unknown): format is BodyFormat {
  return format !== undefined && (format !== 'text' || typeof payload !== 'object')
}

function build(payload: unknown, contentType: string): string | Buffer {
  const format = formatOf(contentType.split(';', 1)[0]!.trim())
  if (writesData(format, payload)) {
    const charset = bodyType(contentType).charset
    return takesCharset(format) && charset
      ? buildBody(format, payload, { charset })
      : buildBody(format, payload)
  }
  throw new SignalboxError(
    'SIGNALBOX_ANSWER_INVALID',
    `data cannot be written as ${contentType}: return a string or a Buffer`,
  )
}

type Zip = (bytes: string | Buffer) => Promise<Buffer>
const brotli = promisify(zlib.brotliCompress)
const zstd = promisify(zlib.zstdCompress)
const ZIP: Record<string, Zip> = {
  // Brotli's default quality of 11 is for files that are compressed once; 4 is as fast as gzip and smaller.
  br: bytes => brotli(bytes, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }),
  gzip: promisify<string | Buffer, Buffer>(zlib.gzip),
  zstd: bytes => zstd(bytes),
}
const COMPRESSIBLE =
  /^(text\/|application\/(json|xml|javascript|x-ndjson|graphql|yaml)\b|image\/svg)|\+(json|xml|text)\b/i

/** What negotiator 1 has and its type declarations, written for 0.6, have not. */
interface EncodingNegotiator {
  encoding(available: string[], options?: { preferred: string[] }): string | undefined
}

/** The content encoding for a body, or undefined when it should stay as it is. */
export function chooseEncoding(
  options: HttpChannelSettings['compression'],
  request: IncomingHttpHeaders,
  contentType: string,
  bytes: number,
): string | undefined {
  const accepted = request['accept-encoding']
  if (accepted === undefined || bytes < options.thresholdBytes || options.encodings.length === 0)
    return undefined
  if (!COMPRESSIBLE.test(contentType)) return undefined
  const negotiator: EncodingNegotiator = new Negotiator({ headers: { 'accept-encoding': String(accepted) } })
  const chosen = negotiator.encoding([...options.encodings, 'identity'], {
    preferred: [...options.encodings],
  })
  return chosen === 'identity' ? undefined : chosen
}

/** Compresses a body off the event loop. */
export function compress(body: string | Buffer, encoding: string): Promise<Buffer> {
  return ZIP[encoding]!(body)
}
