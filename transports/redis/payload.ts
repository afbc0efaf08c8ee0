/** Payloads and headers as bytes, and back. */
import { SignalboxError } from '../../core/errors.ts'
import { type BodyFormat, buildBody, formatOf, mediaTypeOf, parseBody } from '../../core/message/formats.ts'
import type { Inbound } from '../../core/transport.ts'

/** Fields that the bus itself writes and reads. */
const CID = 'cid'
const CONTENT_TYPE = 'content-type'
/** What a correlation id of a stranger may look like; with any other the bus makes its own. */
const CID_SHAPE = /^[\x21-\x7e]{1,200}$/
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype'])

/** How a channel reads payloads. */
export interface ReadSettings {
  contentType?: string
  maxPayloadBytes: number
  maxDepth: number
}

/** What a message from Redis is to the bus, apart from its attributes. */
export type ReadMessage = Pick<Inbound, 'payload' | 'headers' | 'cid' | 'traceparent' | 'textAt' | 'bytes'>

/**
 * Reads a payload without headers, of a list or a subscription. Throws SIGNALBOX_FORMAT_INVALID,
 * SIGNALBOX_FORMAT_LIMIT or SIGNALBOX_FORMAT_UNSUPPORTED.
 */
export function readPayload(bytes: Buffer, settings: ReadSettings): ReadMessage {
  checkSize(bytes.length, settings.maxPayloadBytes)
  return { payload: parsed(bytes, settings.contentType, settings), headers: {}, bytes: bytes.length }
}

/**
 * Reads the fields of a stream entry: names and values in turn. The payload is in one of them, the others are headers;
 * without that field the payload is an object of all fields, as text. Throws as {@link readPayload}.
 */
export function readEntry(
  fields: readonly Buffer[],
  payloadField: Buffer,
  settings: ReadSettings,
): ReadMessage {
  let bytes = 0
  for (const field of fields) bytes += field.length
  checkSize(bytes, settings.maxPayloadBytes)
  let payload: Buffer | undefined
  const texts: [string, string][] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!
    if (payload === undefined && name.length === payloadField.length && name.equals(payloadField))
      payload = fields[i + 1]!
    else texts.push([name.toString(), fields[i + 1]!.toString()])
  }
  if (payload === undefined) return plainEntry(texts, bytes)
  const headers = headersOf(texts)
  const message: ReadMessage = { payload: undefined, headers, bytes }
  know(message, headers)
  const type = Object.hasOwn(headers, CONTENT_TYPE) ? headers[CONTENT_TYPE] : settings.contentType
  message.payload = parsed(payload, type, settings)
  return message
}

function headersOf(texts: readonly [string, string][]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of texts) {
    const lower = name.toLowerCase()
    if (FORBIDDEN.has(lower)) refuse(lower)
    headers[lower] = value
  }
  return headers
}

function refuse(name: string): never {
  throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `an entry must not have a field ${name}`)
}

function plainEntry(texts: readonly [string, string][], bytes: number): ReadMessage {
  const payload: Record<string, string> = {}
  for (const [name, value] of texts) {
    if (FORBIDDEN.has(name)) refuse(name)
    payload[name] = value
  }
  const message: ReadMessage = { payload, headers: {}, textAt: '', bytes }
  know(message, payload)
  return message
}

function know(message: ReadMessage, fields: Record<string, string>): void {
  const own = (name: string) => (Object.hasOwn(fields, name) ? fields[name] : undefined)
  const cid = own(CID)
  const traceparent = own('traceparent')
  if (cid !== undefined && CID_SHAPE.test(cid)) message.cid = cid
  if (traceparent !== undefined) message.traceparent = traceparent
}

/** What a content type says; `bytes`: nothing here reads it. */
type Reading = BodyFormat | 'bytes' | 'unreadable'

/** What the content types that came along say: there are few, and they come with each message. */
const readings = new Map<string, Reading>()
const MAX_READINGS = 256

function readingOf(contentType: string): Reading {
  const known = readings.get(contentType)
  if (known !== undefined) return known
  const [mediaType = '', ...parameters] = contentType.toLowerCase().split(';')
  const charset = parameters.map(one => /^\s*charset\s*=\s*"?([^"\s]+)"?\s*$/.exec(one)?.[1]).find(Boolean)
  const foreign = charset !== undefined && !/^(utf-?8|us-ascii)$/.test(charset)
  const format = formatOf(mediaType)
  const reading = format === undefined ? 'bytes' : foreign ? 'unreadable' : format
  if (readings.size < MAX_READINGS) readings.set(contentType, reading)
  return reading
}

function parsed(bytes: Buffer, contentType: string | undefined, { maxDepth }: ReadSettings): unknown {
  if (contentType === undefined) return bytes
  const reading = readingOf(contentType)
  if (reading === 'bytes') return bytes
  if (reading !== 'unreadable') return parseBody(reading, bytes, { maxDepth })
  const message = `${contentType.slice(0, 100)}: only UTF-8 is read here`
  throw new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', message)
}

/** A payload as it is written, and its media type where the bus has chosen one. */
export interface Written {
  bytes: string | Buffer
  contentType?: string
}

/**
 * Writes a payload: text and bytes as they are, anything else in the format of its media type, JSON without one.
 * Throws SIGNALBOX_CODEC_UNENCODABLE or SIGNALBOX_FORMAT_LIMIT.
 */
export function writePayload(
  payload: unknown,
  contentType: string | undefined,
  maxPayloadBytes: number,
): Written {
  const written = encoded(payload, contentType)
  checkSize(Buffer.byteLength(written.bytes), maxPayloadBytes)
  return written
}

function encoded(payload: unknown, contentType: string | undefined): Written {
  if (payload === undefined || payload === null) return { bytes: '' }
  if (typeof payload === 'string') return { bytes: payload }
  if (payload instanceof Uint8Array)
    return { bytes: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength) }
  const format = contentType === undefined ? 'json' : formatOf(contentType.split(';', 1)[0]!)
  if (format === undefined)
    throw new SignalboxError(
      'SIGNALBOX_CODEC_UNENCODABLE',
      `nothing here writes ${contentType}: send text or bytes instead`,
    )
  const bytes = buildBody(format, payload)
  return contentType === undefined ? { bytes, contentType: mediaTypeOf(format) } : { bytes }
}

/** What goes into a stream entry beside the payload. */
export interface EntryHeaders {
  headers?: Record<string, string> | undefined
  cid?: string | undefined
}

/** Fields of a stream entry. Throws as {@link writePayload}, and SIGNALBOX_USAGE for a header named as the payload. */
export function writeEntry(
  payload: unknown,
  { headers = {}, cid }: EntryHeaders,
  payloadField: string,
  maxPayloadBytes: number,
): (string | Buffer)[] {
  const names = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]))
  if (names.has(payloadField))
    throw new SignalboxError('SIGNALBOX_USAGE', `a header must not be named ${payloadField}: the payload is`)
  const { bytes, contentType } = writePayload(payload, names.get(CONTENT_TYPE), maxPayloadBytes)
  if (contentType !== undefined) names.set(CONTENT_TYPE, contentType)
  if (cid !== undefined) names.set(CID, cid)
  const fields: (string | Buffer)[] = [payloadField, bytes]
  for (const [name, value] of names) fields.push(name, value)
  return fields
}

function checkSize(bytes: number, maxBytes: number): void {
  if (bytes <= maxBytes) return
  throw new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `${bytes} bytes are more than the ${maxBytes} allowed`, {
    details: { limit: 'maxPayloadBytes', maxBytes },
  })
}
