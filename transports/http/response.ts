/** From the wire to what a service gets: decompression, limits, and parsing by content type. */
import { pipeline, Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { parse as parseContentType } from 'content-type'
import type { Dispatcher } from 'undici'
import { SignalboxError } from '../../core/errors.ts'
import { toFailure } from './failure.ts'

/** An answer that was read whole. */
export interface HttpResponse<Payload = unknown> {
  status: number
  /** Names in lower case; several fields of one name are joined by a comma. */
  headers: Record<string, string>
  /** Each Set-Cookie field by itself, as commas do not separate them. */
  setCookie: string[]
  /** Parsed JSON, text, or a Buffer, by content type; undefined when there is no body. */
  payload: Payload
  /** The URL that answered, after redirects. */
  url: string
}

/** More codings than this on one body is an attack. */
const MAX_CODINGS = 2

const DECODERS: Record<string, () => Transform> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
}

/** What the connection tells servers it can decode. */
export const ACCEPT_ENCODING = 'gzip, br, zstd, deflate'

/** Response headers as a plain record. */
export function plainHeaders(headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  const entries = Object.entries(headers).filter(([, value]) => value !== undefined)
  return Object.fromEntries(
    entries.map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value!]),
  )
}

/** Set-Cookie fields, one by one. */
export function setCookies(headers: Dispatcher.ResponseData['headers']): string[] {
  const value = headers['set-cookie']
  return value === undefined ? [] : [value].flat()
}

/** The body without its content codings (RFC 9110, section 8.4), as a stream with back-pressure. */
export function decodedBody(body: Readable, headers: Record<string, string>, hasBody: boolean): Readable {
  const codings = (headers['content-encoding'] ?? '')
    .split(',')
    .map(coding => coding.trim().toLowerCase())
    .filter(coding => coding !== '' && coding !== 'identity')
  if (codings.length === 0 || !hasBody || headers['content-length'] === '0') return body
  const unknown = codings.find(coding => !Object.hasOwn(DECODERS, coding))
  if (unknown !== undefined || codings.length > MAX_CODINGS) {
    body.destroy()
    const what = unknown === undefined ? `${codings.length} content codings` : `content-encoding ${unknown}`
    throw new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', `answer with ${what}`, {
      status: 502,
      details: { supported: Object.keys(DECODERS), maxCodings: MAX_CODINGS },
    })
  }
  // The last coding was applied last and comes off first. Errors reach whoever reads the last stream.
  const decoders = codings.toReversed().map(coding => DECODERS[coding]!())
  return pipeline([body, ...decoders], () => {}) as unknown as Readable
}

/** The same bytes with typed errors, for a caller outside the connection. Destroying it destroys the source. */
export function typedErrors(source: Readable, what: string): Readable {
  async function* chunks() {
    try {
      for await (const chunk of source) yield chunk as Buffer
    } catch (thrown) {
      throw toFailure(thrown, what)
    }
  }
  // A generator that was never started has no finally block to run, so the end is wired by hand.
  return Readable.from(chunks(), { objectMode: false }).once('close', () => source.destroy())
}

/** Reads a stream whole; rejects with SIGNALBOX_FORMAT_LIMIT, and stops reading, above `maxBytes`. */
export async function readAll(body: Readable, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBytes) throw tooLarge(maxBytes)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, bytes)
}

/**
 * Reads a body whole and takes its content codings off. `maxBytes` holds before and after decompression. An empty
 * body is empty whatever coding it claims: servers do that.
 */
export async function readDecoded(
  body: Readable,
  headers: Record<string, string>,
  hasBody: boolean,
  maxBytes: number,
): Promise<Buffer> {
  const wire = await readAll(body, maxBytes)
  if (headers['content-encoding'] === undefined || wire.length === 0) return wire
  return await readAll(decodedBody(Readable.from([wire]), headers, hasBody), maxBytes)
}

/** Parses bytes by their content type: JSON, text, otherwise a Buffer; undefined when there are none. */
export function parsePayload(bytes: Buffer, contentType: string | undefined): unknown {
  if (bytes.length === 0) return undefined
  if (contentType === undefined) return bytes
  const { type, parameters } = parseContentType(contentType)
  if (type === 'application/json' || type.endsWith('+json')) return parseJson(bytes)
  if (isText(type)) return decodeText(bytes, parameters.charset ?? 'utf-8')
  return bytes
}

function isText(type: string): boolean {
  return (
    type.startsWith('text/') ||
    type === 'application/xml' ||
    type.endsWith('+xml') ||
    type === 'application/x-www-form-urlencoded'
  )
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    const message = `answer is not JSON as it claims: ${(cause as Error).message}`
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', message, { status: 502, cause })
  }
}

/** Text in its charset; bytes whose charset this platform does not know stay bytes. */
function decodeText(bytes: Buffer, charset: string): string | Buffer {
  try {
    return new TextDecoder(charset).decode(bytes)
  } catch (error) {
    if (error instanceof RangeError) return bytes
    throw error
  }
}

function tooLarge(maxBytes: number): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `answer is larger than ${maxBytes} bytes`, {
    status: 502,
    details: { maxResponseBytes: maxBytes },
  })
}
