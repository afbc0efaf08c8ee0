/**
 * Character sets of segment formats. Bodies are scanned as one character for each byte (`binary` below), because
 * all delimiters are ASCII, and only what is not ASCII is decoded, segment by segment.
 */
import { isUtf8 } from 'node:buffer'

export interface Charset {
  readonly name: string
  /** Binary to text; undefined when a byte means nothing in this character set. */
  decode(binary: string): string | undefined
  /** Whether every character of the text can be written. */
  holds(text: string): boolean
  /** The bytes, or the text itself where its UTF-8 is the same. Only for texts that it holds. */
  encode(text: string): string | Buffer
}

/** Names of the character sets that can be chosen. */
export const CHARSETS = [
  'ascii',
  'utf-8',
  'iso-8859-1',
  'iso-8859-2',
  'iso-8859-3',
  'iso-8859-4',
  'iso-8859-5',
  'iso-8859-6',
  'iso-8859-7',
  'iso-8859-8',
  'iso-8859-9',
  'iso-8859-15',
  'windows-1252',
] as const

export type CharsetName = (typeof CHARSETS)[number]

const FIRST_HIGH = 0x80

export function isAsciiText(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= FIRST_HIGH) return false
  return true
}

const ascii: Charset = {
  name: 'ascii',
  decode: binary => (isAsciiText(binary) ? binary : undefined),
  holds: isAsciiText,
  encode: text => text,
}

const utf8: Charset = {
  name: 'utf-8',
  decode(binary) {
    const bytes = Buffer.from(binary, 'latin1')
    return isUtf8(bytes) ? bytes.toString() : undefined
  },
  holds: text => text.isWellFormed(),
  encode: text => text,
}

const loaded = new Map<CharsetName, Charset>([
  ['ascii', ascii],
  ['utf-8', utf8],
])

export function charset(name: CharsetName): Charset {
  let found = loaded.get(name)
  if (!found) {
    found = singleByte(name)
    loaded.set(name, found)
  }
  return found
}

/** The upper half of a set of one byte for each character, '' where a byte has no meaning. */
function upperHalf(name: CharsetName): string[] {
  const latin1 = Array.from({ length: FIRST_HIGH }, (_, i) => String.fromCharCode(FIRST_HIGH + i))
  if (name === 'iso-8859-1') return latin1
  // The label iso-8859-9 means windows-1254 to TextDecoder; the two agree from 0xa0 on.
  const decoder = new TextDecoder(name)
  const controls = name === 'windows-1252' ? 0 : 0x20
  return latin1.map((character, i) => {
    if (i < controls) return character
    const decoded = decoder.decode(Uint8Array.of(FIRST_HIGH + i))
    return decoded === '\ufffd' ? '' : decoded
  })
}

function singleByte(name: CharsetName): Charset {
  const upper = upperHalf(name)
  const bytes = new Map(upper.map((character, i) => [character, FIRST_HIGH + i]))
  bytes.delete('')
  return {
    name,
    decode(binary) {
      let text = ''
      for (let i = 0; i < binary.length; i++) {
        const code = binary.charCodeAt(i)
        const character = code < FIRST_HIGH ? binary[i]! : upper[code - FIRST_HIGH]!
        if (character === '') return undefined
        text += character
      }
      return text
    },
    holds(text) {
      for (let i = 0; i < text.length; i++) {
        if (text.charCodeAt(i) >= FIRST_HIGH && !bytes.has(text[i]!)) return false
      }
      return true
    },
    encode(text) {
      if (isAsciiText(text)) return text
      const encoded = Buffer.allocUnsafe(text.length)
      for (let i = 0; i < text.length; i++) {
        const code = text.charCodeAt(i)
        encoded[i] = code < FIRST_HIGH ? code : bytes.get(text[i]!)!
      }
      return encoded
    },
  }
}
