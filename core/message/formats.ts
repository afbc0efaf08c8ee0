/** Formats of message bodies, by name and by media type. A new format is one file and one line here. */
import { SignalboxError } from '../errors.ts'
import { csv, tsv } from './csv.ts'
import { edifact } from './edi/edifact.ts'
import { hl7 } from './edi/hl7.ts'
import { x12 } from './edi/x12.ts'
import { fixed } from './fixed.ts'
import { form } from './form.ts'
import type { BodyLimits, FormatCodec } from './format.ts'
import { json } from './json.ts'
import { jsonl } from './jsonl.ts'
import { msgpack } from './msgpack.ts'
import { text } from './text-lines.ts'
import { buildXml, parseXml, xmlToObject } from './xml.ts'
import { yaml } from './yaml.ts'

export type { BodyLimits, FormatCodec } from './format.ts'

const xml: FormatCodec = {
  mediaTypes: ['application/xml', 'text/xml'],
  suffix: '+xml',
  parse: (bytes, limits) => xmlToObject(parseXml(bytes, limits)),
  build(value) {
    if (typeof value === 'object' && value !== null) return buildXml(value)
    throw new SignalboxError(
      'SIGNALBOX_CODEC_UNENCODABLE',
      'XML: only an object or an element can be written',
    )
  },
}

const FORMATS = {
  json,
  jsonl,
  xml,
  yaml,
  csv,
  tsv,
  fixed,
  form,
  text,
  msgpack,
  edifact,
  x12,
  hl7,
} as const satisfies Record<string, FormatCodec<never>>

/** The name of a format. */
export type BodyFormat = keyof typeof FORMATS

const BY_MEDIA_TYPE = new Map<string, BodyFormat>()
const BY_SUFFIX = new Map<string, BodyFormat>()
for (const [name, codec] of Object.entries<FormatCodec<never>>(FORMATS)) {
  for (const mediaType of codec.mediaTypes) BY_MEDIA_TYPE.set(mediaType, name as BodyFormat)
  if (codec.suffix !== undefined) BY_SUFFIX.set(codec.suffix, name as BodyFormat)
}

/** The format of a media type without parameters, in any case; undefined when there is none for it. */
export function formatOf(mediaType: string): BodyFormat | undefined {
  const type = mediaType.trim().toLowerCase()
  const exact = BY_MEDIA_TYPE.get(type) ?? BY_SUFFIX.get(type.slice(type.lastIndexOf('+')))
  return exact ?? (type.startsWith('text/') ? 'text' : undefined)
}

/** The media type to send a format as, without parameters. */
export function mediaTypeOf(format: BodyFormat): string {
  return FORMATS[format].mediaTypes[0]
}

/**
 * Reads a body. JSON and MessagePack give data, XML data as by `xmlToObject`, a form an object of strings and
 * arrays of strings, text a string, tables and JSON Lines an array of their records. Names that would reach a prototype are refused in all of them.
 *
 * Throws SIGNALBOX_FORMAT_INVALID (details `line` and `column`, `offset` in MessagePack) or SIGNALBOX_FORMAT_LIMIT.
 */
export function parseBody(format: BodyFormat, bytes: Buffer, limits: BodyLimits, options?: object): unknown {
  return codecOf(format).parse(bytes, limits, options)
}

/** Writes a body: text in UTF-8 as a string, MessagePack as bytes. Throws SIGNALBOX_CODEC_UNENCODABLE. */
export function buildBody(format: BodyFormat, value: unknown, options?: object): string | Buffer {
  return codecOf(format).build(value, options)
}

/**
 * Everything a format can do, by its name: options with their schema, and records as streams. Options must have
 * been checked against that schema.
 */
export function codecOf(format: BodyFormat): FormatCodec {
  return FORMATS[format] as FormatCodec
}
