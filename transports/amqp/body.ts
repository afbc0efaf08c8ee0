/** Bodies of messages: read by their content type within limits, written by what the payload is. */
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { parse as parseContentType } from 'content-type'
import { SignalboxError } from '../../core/errors.ts'
import { type BodyFormat, buildBody, formatOf, parseBody } from '../../core/message/formats.ts'

/** Options that say how bodies are read. */
export interface BodySettings {
  format: 'auto' | 'raw' | BodyFormat
  maxBytes: number
  maxDepth: number
  maxInflationRatio: number
}

/** Small bodies may grow to this size whatever their ratio: a few bytes compress absurdly well. */
const ALWAYS_ALLOWED_BYTES = 64 * 1024

type Unzip = (bytes: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>
const UNZIP: Record<string, Unzip> = {
  gzip: promisify(zlib.gunzip),
  deflate: promisify(zlib.inflate),
  br: promisify(zlib.brotliDecompress),
  zstd: promisify(zlib.zstdDecompress),
}

/**
 * Reads a body. It answers at once unless the body is compressed. Throws SIGNALBOX_FORMAT_LIMIT,
 * SIGNALBOX_FORMAT_INVALID and SIGNALBOX_FORMAT_UNSUPPORTED.
 */
export function readBody(
  bytes: Buffer,
  contentType: unknown,
  encoding: unknown,
  settings: BodySettings,
): unknown | Promise<unknown> {
  if (bytes.length > settings.maxBytes) throw tooLarge('the body', settings.maxBytes)
  if (typeof encoding !== 'string' || encoding === '' || !Object.hasOwn(UNZIP, encoding.toLowerCase())) {
    // Some senders put a character set there (utf-8); it changes no bytes.
    return parse(bytes, contentType, settings)
  }
  return unzip(bytes, encoding.toLowerCase(), settings).then(plain => parse(plain, contentType, settings))
}

async function unzip(bytes: Buffer, encoding: string, settings: BodySettings): Promise<Buffer> {
  const { maxBytes, maxInflationRatio } = settings
  const limit = Math.min(maxBytes, Math.max(ALWAYS_ALLOWED_BYTES, bytes.length * maxInflationRatio))
  try {
    return await UNZIP[encoding]!(bytes, { maxOutputLength: limit })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw tooLarge(`the ${encoding} body inflated`, limit)
    }
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `the body is not valid ${encoding} data`, {
      cause: error,
    })
  }
}

function tooLarge(what: string, maxBytes: number): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `${what} is larger than ${maxBytes} bytes`, {
    details: { limit: 'maxBytes', maxBytes },
  })
}

function parse(bytes: Buffer, contentType: unknown, { format, maxDepth }: BodySettings): unknown {
  if (format === 'raw') return bytes
  // The usual case, without a parser.
  if (contentType === 'application/json' && format === 'auto') return parseBody('json', bytes, { maxDepth })
  const { type, parameters } = parseContentType(typeof contentType === 'string' ? contentType : '')
  const chosen = format === 'auto' ? formatOf(type) : format
  if (chosen === undefined) return bytes
  const charset = parameters.charset?.toLowerCase() ?? 'utf-8'
  // XML says its encoding itself; its parser knows better.
  if (/^(utf-?8|us-ascii)$/.test(charset) || chosen === 'xml' || chosen === 'msgpack')
    return parseBody(chosen, bytes, { maxDepth })
  return parseBody(chosen, Buffer.from(decode(bytes, charset)), { maxDepth })
}

function decode(bytes: Buffer, charset: string): string {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes)
  } catch (error) {
    const known = (error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
    throw new SignalboxError(
      known ? 'SIGNALBOX_FORMAT_INVALID' : 'SIGNALBOX_FORMAT_UNSUPPORTED',
      known
        ? `the text is not valid ${charset}`
        : `the character set ${JSON.stringify(charset)} is not known`,
      { cause: error },
    )
  }
}

/** A body ready to be sent. */
export interface WrittenBody {
  content: Buffer
  contentType: string | undefined
}

/**
 * Writes a payload: bytes and texts as they are, other values in the format of the content type, as JSON when there
 * is none. Throws SIGNALBOX_CODEC_UNENCODABLE.
 */
export function writeBody(payload: unknown, contentType: string | undefined): WrittenBody {
  if (payload === undefined) return { content: Buffer.alloc(0), contentType }
  if (typeof payload === 'string') {
    return { content: Buffer.from(payload), contentType: contentType ?? 'text/plain; charset=utf-8' }
  }
  if (payload instanceof Uint8Array) {
    const content = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
    return { content, contentType }
  }
  if (typeof payload === 'object' && payload !== null && Symbol.asyncIterator in payload) {
    throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', 'AMQP: a stream is not a message')
  }
  const type = contentType ?? 'application/json'
  const body = buildBody(formatOf(type.split(';', 1)[0]!) ?? 'json', payload)
  return { content: typeof body === 'string' ? Buffer.from(body) : body, contentType: type }
}
