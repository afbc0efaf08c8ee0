/** Formats of message bodies by name and by media type. */
import { isUtf8 } from 'node:buffer'
import { Packr } from 'msgpackr'
import { SignalboxError } from '../errors.ts'

export type BodyFormat = 'json' | 'xml' | 'form' | 'text' | 'msgpack'

export interface BodyLimits {
  /** How deep values may be nested. */
  maxDepth: number
  maxElements?: number
}

const packr = new Packr({ useRecords: false, mapsAsObjects: true })

const BY_TYPE: Record<string, BodyFormat> = {
  'application/json': 'json',
  'text/json': 'json',
  'application/xml': 'xml',
  'text/xml': 'xml',
  'application/x-www-form-urlencoded': 'form',
  'application/msgpack': 'msgpack',
  'application/x-msgpack': 'msgpack',
  'application/vnd.msgpack': 'msgpack',
}

/** The format of a media type (no parameters), or undefined when it has none. */
export function formatOf(mediaType: string): BodyFormat | undefined {
  const type = mediaType.toLowerCase()
  if (Object.hasOwn(BY_TYPE, type)) return BY_TYPE[type]
  if (type.endsWith('+json')) return 'json'
  if (type.endsWith('+xml')) return 'xml'
  return type.startsWith('text/') ? 'text' : undefined
}

/** Reads a body. Throws SIGNALBOX_FORMAT_INVALID or SIGNALBOX_FORMAT_LIMIT. */
export function parseBody(format: BodyFormat, bytes: Buffer, limits: BodyLimits): unknown {
  if (format === 'json') return parseJson(bytes, limits.maxDepth)
  if (format === 'text') return utf8(bytes)
  if (format === 'form') return parseForm(utf8(bytes), limits.maxElements ?? 10_000)
  if (format === 'msgpack') return checked(unpack(bytes), limits.maxDepth)
  throw new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', `bodies of the format '${format}' cannot be read`)
}

/** Writes a body. Throws SIGNALBOX_CODEC_UNENCODABLE. */
export function buildBody(format: BodyFormat, value: unknown): string | Buffer {
  try {
    if (format === 'json') return JSON.stringify(value) ?? 'null'
    if (format === 'text') return String(value)
    if (format === 'msgpack') return packr.pack(value)
  } catch (error) {
    throw new SignalboxError(
      'SIGNALBOX_CODEC_UNENCODABLE',
      `cannot be written as ${format}: ${(error as Error).message}`,
    )
  }
  throw new SignalboxError(
    'SIGNALBOX_FORMAT_UNSUPPORTED',
    `bodies of the format '${format}' cannot be written`,
  )
}

function utf8(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString()
  throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', 'the text is not valid UTF-8')
}

function parseJson(bytes: Buffer, maxDepth: number): unknown {
  const text = utf8(bytes)
  if (bytes.length > maxDepth) checkJsonDepth(text, maxDepth)
  try {
    const value: unknown = JSON.parse(text)
    return /__proto__|constructor|\\u/.test(text) ? checked(value, maxDepth) : value
  } catch (error) {
    if (error instanceof SignalboxError) throw error
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `not valid JSON: ${(error as Error).message}`)
  }
}

function checkJsonDepth(text: string, maxDepth: number): void {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (inString) {
      if (code === 0x5c) i++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxDepth)
        throw new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `nested deeper than ${maxDepth} levels`)
    } else if (code === 0x7d || code === 0x5d) depth--
  }
}

function unpack(bytes: Buffer): unknown {
  try {
    return packr.unpack(bytes)
  } catch (error) {
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `not valid MessagePack: ${(error as Error).message}`)
  }
}

function parseForm(text: string, maxElements: number): unknown {
  const fields = Object.create(null) as Record<string, string | string[]>
  let count = 0
  for (const [name, value] of new URLSearchParams(text)) {
    if (++count > maxElements)
      throw new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `more than ${maxElements} fields`)
    if (name === '__proto__')
      throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', "the name '__proto__' is not allowed")
    const before = fields[name]
    fields[name] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value]
  }
  return fields
}

/** Refuses keys that would change prototypes when an object is copied or merged, and too deep values. */
function checked<T>(value: T, maxDepth: number): T {
  const queue: { value: unknown; depth: number }[] = [{ value, depth: 0 }]
  for (let item = queue.pop(); item; item = queue.pop()) {
    if (typeof item.value !== 'object' || item.value === null || ArrayBuffer.isView(item.value)) continue
    if (item.depth >= maxDepth)
      throw new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `nested deeper than ${maxDepth} levels`)
    for (const [key, inner] of Object.entries(item.value)) {
      const harmful =
        key === '__proto__' ||
        (key === 'constructor' &&
          Object.hasOwn(Object(inner) as object, 'prototype') &&
          typeof inner === 'object')
      if (harmful) throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `the name '${key}' is not allowed`)
      queue.push({ value: inner, depth: item.depth + 1 })
    }
  }
  return value
}
