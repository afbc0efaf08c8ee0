/** Payloads and headers as bytes, and back. */
import { SignalboxError } from '../../core/errors.ts'
import { buildBody, formatOf, mediaTypeOf, parseBody } from '../../core/message/formats.ts'
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
  payloadField: string,
  settings: ReadSettings,
): ReadMessage {
  let bytes = 0
  for (const field of fields) bytes += field.length
  checkSize(bytes, settings.maxPayloadBytes)
  let payload: Buffer | undefined
  const texts: [string, string][] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!.toString()
    if (name === payloadField) payload = fields[i + 1]!
    else texts.push([name, fields[i + 1]!.toString()])
  }
  if (payload === undefined) return { ...plainEntry(texts), bytes }
  const headers = Object.fromEntries(texts.map(([name, value]) => [name.toLowerCase(), value]))
  const type = Object.hasOwn(headers, CONTENT_TYPE) ? headers[CONTENT_TYPE] : settings.contentType
  return { payload: parsed(payload, type, settings), headers, ...known(headers), bytes }
}

function plainEntry(texts: readonly [string, string][]): ReadMessage {
  const forbidden = texts.find(([name]) => FORBIDDEN.has(name))
  if (forbidden)
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `an entry must not have a field ${forbidden[0]}`)
  const payload = Object.fromEntries(texts)
  return { payload, headers: {}, textAt: '', ...known(payload) }
}

function known(headers: Record<string, string>): Pick<ReadMessage, 'cid' | 'traceparent'> {
  const own = (name: string) => (Object.hasOwn(headers, name) ? headers[name] : undefined)
  const cid = own(CID)
  const traceparent = own('traceparent')
  return {
    ...(cid !== undefined && CID_SHAPE.test(cid) && { cid }),
    ...(traceparent !== undefined && { traceparent }),
  }
}

function parsed(bytes: Buffer, contentType: string | undefined, { maxDepth }: ReadSettings): unknown {
  if (contentType === undefined) return bytes
  const [mediaType = '', ...parameters] = contentType.toLowerCase().split(';')
  const format = formatOf(mediaType)
  if (format === undefined) return bytes
  const charset = parameters.map(one => /^\s*charset\s*=\s*"?([^"\s]+)"?\s*$/.exec(one)?.[1]).find(Boolean)
  if (charset !== undefined && !/^(utf-?8|us-ascii)$/.test(charset))
    throw new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', `the character set ${charset} is not read here`)
  return parseBody(format, bytes, { maxDepth })
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
