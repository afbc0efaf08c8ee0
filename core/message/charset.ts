/**
 * Character sets, strictly: a byte that means nothing in the character set is refused, never replaced, and so is a
 * character that it does not have.
 */
import { isAscii } from 'node:buffer'
import iconv from 'iconv-lite'
import { SignalboxError } from '../errors.ts'
import { type Static, Type } from '../schema.ts'
import {
  type CharsetDecoder,
  MultiByteDecoder,
  REPLACEMENT,
  SingleByteDecoder,
  Utf8Decoder,
  Utf16Decoder,
} from './charset-decoders.ts'

export type { CharsetDecoder } from './charset-decoders.ts'

/** One character set. */
export interface Charset {
  /** In lower case, such as `utf-8` or `iso-8859-15`. */
  readonly name: string
  /** `what` starts the messages of errors. */
  decoder(what: string): CharsetDecoder
  /**
   * UTF-8 stays a string. A character that the set does not have becomes `replacement`, or without one throws
   * SIGNALBOX_CODEC_UNENCODABLE with its `offset`.
   */
  encode(text: string, what: string, replacement?: string): string | Buffer
}

/** The options of every text format that has a character set. */
export const CHARSET_OPTIONS = {
  charset: Type.Optional(
    Type.String({
      default: 'utf-8',
      description:
        'Character set by its IANA name: UTF-8, UTF-16, ISO-8859-x, windows-125x, cp437, Shift_JIS, GB18030...',
    }),
  ),
  unmappable: Type.Optional(
    Type.String({
      maxLength: 8,
      description:
        'Written for characters that the character set does not have; without it they are refused.',
    }),
  ),
}
const CharsetSchema = Type.Object(CHARSET_OPTIONS)
export type CharsetOptions = Static<typeof CharsetSchema>

const ALIASES: Record<string, string> = {
  utf8: 'utf-8',
  ascii: 'us-ascii',
  latin1: 'iso-8859-1',
  'iso8859-1': 'iso-8859-1',
  'iso_8859-1': 'iso-8859-1',
  utf16: 'utf-16',
  utf16le: 'utf-16le',
  utf16be: 'utf-16be',
  gb2312: 'gbk',
  sjis: 'shift_jis',
  'shift-jis': 'shift_jis',
  'windows-31j': 'shift_jis',
  eucjp: 'euc-jp',
  euckr: 'euc-kr',
}
/** More than one byte for some characters; the engine decodes them strictly, iconv-lite encodes them. */
const MULTI_BYTE = new Set(['shift_jis', 'euc-jp', 'euc-kr', 'big5', 'gbk', 'gb18030'])

const MAX_KNOWN = 256
const known = new Map<string, Charset>()

/** A character set by its name, in any case. Throws SIGNALBOX_FORMAT_UNSUPPORTED. */
export function charsetOf(label = 'utf-8'): Charset {
  const lower = label.trim().toLowerCase()
  const name = Object.hasOwn(ALIASES, lower) ? ALIASES[lower]! : lower
  const found = known.get(name) ?? load(name)
  if (found === undefined) {
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_UNSUPPORTED',
      `the character set ${JSON.stringify(label.slice(0, 60))} is not known`,
      { details: { charset: label.slice(0, 60) } },
    )
  }
  // iconv-lite knows each set by many spellings, and senders choose these names.
  if (known.size < MAX_KNOWN) known.set(name, found)
  return found
}

/** Decodes a whole text; a byte order mark is dropped. Throws SIGNALBOX_FORMAT_INVALID with offset, line and column. */
export function decodeAll(bytes: Buffer, charset: Charset, what: string): string {
  if (charset.name === 'utf-8' && isAscii(bytes)) return bytes.toString('latin1')
  const decoder = charset.decoder(what)
  const first = decoder.write(bytes)
  const text = first + (decoder.failure ? '' : decoder.end())
  if (decoder.failure) {
    const line = text.split('\n').length
    const column = text.length - text.lastIndexOf('\n')
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_INVALID',
      `${decoder.failure.message}: line ${line}, column ${column}`,
      {
        details: { ...decoder.failure.details, line, column },
      },
    )
  }
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

function load(name: string): Charset | undefined {
  if (name === 'utf-8') {
    return { name, decoder: what => new Utf8Decoder(what), encode: encodeUtf8 }
  }
  if (name === 'utf-16' || name === 'utf-16le' || name === 'utf-16be') {
    return {
      name,
      decoder: what => new Utf16Decoder(what, name),
      encode: (text, what, replacement) => encodeUtf16(name, wellFormed(text, what, replacement)),
    }
  }
  if (MULTI_BYTE.has(name)) {
    return {
      name,
      decoder: what => new MultiByteDecoder(what, name),
      encode: (text, what, replacement) => encodeMultiByte(name, text, what, replacement),
    }
  }
  const table = singleByteTable(name)
  return table === undefined ? undefined : singleByte(name, table)
}

/** The characters of the 256 bytes; U+FFFD where there is none. Undefined: not a single-byte character set. */
function singleByteTable(name: string): string | undefined {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  if (name === 'iso-8859-1') return bytes.toString('latin1')
  if (name === 'us-ascii') return bytes.toString('latin1', 0, 128) + '\ufffd'.repeat(128)
  if (!iconv.encodingExists(name)) return undefined
  // Encodings such as base64 and utf-7, which iconv-lite has as well, are no character sets of single bytes.
  if (iconv.getDecoder(name).constructor.name !== 'SBCSDecoder') return undefined
  return iconv.decode(bytes, name, { stripBOM: false })
}

function singleByte(name: string, table: string): Charset {
  const bytes = new Map<number, number>()
  for (let byte = 0; byte < 256; byte++) {
    const code = table.charCodeAt(byte)
    if (code !== REPLACEMENT) bytes.set(code, byte)
  }
  return {
    name,
    decoder: what => new SingleByteDecoder(what, name, table),
    encode(text, what, replacement) {
      const out = Buffer.allocUnsafe(text.length * Math.max(1, replacement?.length ?? 0))
      let length = 0
      for (let at = 0; at < text.length; at++) {
        const byte = bytes.get(text.charCodeAt(at))
        if (byte !== undefined) {
          out[length++] = byte
          continue
        }
        if (replacement === undefined) throw unmappable(what, name, text, at)
        for (let i = 0; i < replacement.length; i++) {
          const code = bytes.get(replacement.charCodeAt(i))
          if (code === undefined) throw unmappable(what, name, replacement, i)
          out[length++] = code
        }
        if (text.codePointAt(at)! > 0xffff) at++
      }
      return out.subarray(0, length)
    },
  }
}

function encodeUtf8(text: string, what: string, replacement?: string): string {
  return wellFormed(text, what, replacement)
}

/** Half of a surrogate pair is not a character, and so is in no character set. */
function wellFormed(text: string, what: string, replacement: string | undefined): string {
  if (text.isWellFormed()) return text
  if (replacement !== undefined) return text.replace(/\p{Surrogate}/gu, () => replacement)
  throw unmappable(what, 'unicode', text, text.search(/\p{Surrogate}/u))
}

function encodeUtf16(name: string, text: string): Buffer {
  const bytes = Buffer.from(text, 'utf16le')
  return name === 'utf-16be' ? bytes.swap16() : bytes
}

function encodeMultiByte(name: string, text: string, what: string, replacement?: string): Buffer {
  const bytes = iconv.encode(text, name)
  // iconv-lite writes `?` for what it does not have, so what it wrote is read again.
  if (iconv.decode(bytes, name, { stripBOM: false }) === text) return bytes
  let replaced = ''
  let offset = 0
  for (const char of text) {
    if (iconv.decode(iconv.encode(char, name), name, { stripBOM: false }) === char) replaced += char
    else if (replacement === undefined) throw unmappable(what, name, text, offset)
    else replaced += replacement
    offset += char.length
  }
  return iconv.encode(replaced, name)
}

function unmappable(what: string, charset: string, text: string, offset: number): SignalboxError {
  const code = text.codePointAt(offset)!.toString(16).toUpperCase().padStart(4, '0')
  return new SignalboxError(
    'SIGNALBOX_CODEC_UNENCODABLE',
    `${what}: ${charset} does not have the character U+${code}, at ${offset}`,
    { details: { offset, charset, character: `U+${code}` } },
  )
}
