/** Bytes to the text of an XML document, piece by piece: what `decodeXml` does for a whole one. */
import { isAscii, isUtf8 } from 'node:buffer'
import { declaredEncoding, ENCODING_WITHIN } from './xml-decode.ts'

const GT = 0x3e
const CR = '\r'

type Encoding = 'utf8' | 'latin1' | 'utf16le' | 'utf16be'

/**
 * Takes bytes in pieces of any size and gives text with line ends made `\n`, without byte order mark. What is not
 * text ends it: {@link problem} then says why, and the text that was given so far reaches up to that place.
 */
export class XmlDecoder {
  #encoding: Encoding | undefined
  /** Bytes that are no character yet; at first those in which the encoding is looked for. */
  #rest: Buffer = Buffer.alloc(0)
  /** A carriage return or half a surrogate pair at the end of the text so far. */
  #held = ''
  #first = true
  /** Why there is no more text. */
  problem: string | undefined

  /** Throws SIGNALBOX_FORMAT_INVALID or SIGNALBOX_FORMAT_UNSUPPORTED for an encoding that is not supported. */
  write(piece: Buffer): string {
    return this.#decode(piece, false)
  }

  /** What is left when there are no more bytes. */
  end(): string {
    return this.#decode(Buffer.alloc(0), true)
  }

  #decode(piece: Buffer, last: boolean): string {
    let bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    if (this.#encoding === undefined) {
      this.#encoding = last || isEnough(bytes) ? detect(bytes) : undefined
      if (this.#encoding === undefined) {
        // A copy: the source may use the memory of its piece again.
        this.#rest = Buffer.from(bytes)
        return ''
      }
      if (this.#encoding.startsWith('utf16')) bytes = bytes.subarray(2)
    }
    const end = last ? bytes.length : wholeCharacters(bytes, this.#encoding)
    this.#rest = end === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(end))
    const held = this.#held
    this.#held = ''
    let text = this.#text(held, bytes.subarray(0, end))
    if (this.#first && text !== '') {
      this.#first = false
      // UTF-16 has lost its mark already; another one is a character, as in a whole document it would be.
      if (this.#encoding === 'utf8' && text.charCodeAt(0) === 0xfeff) text = text.slice(1)
    }
    if (this.problem === undefined) text = this.#holdBack(text, last)
    return text.includes(CR) ? text.replace(/\r\n?/g, '\n') : text
  }

  #text(held: string, bytes: Buffer): string {
    if (this.#encoding === 'latin1' || (this.#encoding === 'utf8' && isAscii(bytes))) {
      return held + bytes.toString('latin1')
    }
    if (this.#encoding !== 'utf8') return this.#utf16(held, bytes)
    return held + (isUtf8(bytes) ? bytes.toString() : this.#validUtf8(bytes))
  }

  #validUtf8(bytes: Buffer): string {
    // The longest start that is UTF-8: halved until the byte is found.
    let good = 0
    let bad = bytes.length
    while (bad - good > 1) {
      const middle = (good + bad) >> 1
      const end = wholeCharacters(bytes.subarray(0, middle), 'utf8')
      if (isUtf8(bytes.subarray(0, end))) good = middle
      else bad = middle
    }
    this.problem = 'not UTF-8'
    return bytes.toString('utf8', 0, wholeCharacters(bytes.subarray(0, good), 'utf8'))
  }

  #utf16(held: string, bytes: Buffer): string {
    if (bytes.length % 2 !== 0) {
      this.problem = 'UTF-16 with an odd number of bytes'
      return this.#utf16(held, bytes.subarray(0, -1))
    }
    const little = this.#encoding === 'utf16le' ? bytes : Buffer.from(bytes).swap16()
    const joined = held + little.toString('utf16le')
    if (joined.isWellFormed()) return joined
    const at = joined.search(/\p{Surrogate}/u)
    const isHigh = (joined.charCodeAt(at) & 0xfc00) === 0xd800
    // A first half at the very end may get its second half with the next piece.
    if (at === joined.length - 1 && isHigh) return joined
    this.problem = 'half of a surrogate pair'
    return joined.slice(0, at)
  }

  /** What may belong together with the next character waits for it. */
  #holdBack(text: string, last: boolean): string {
    const end = text.charCodeAt(text.length - 1)
    const isHalf = (end & 0xfc00) === 0xd800
    if (isHalf && last) this.problem = 'half of a surrogate pair'
    if (!isHalf && (end !== 0x0d || last)) return text
    this.#held = text.slice(-1)
    return text.slice(0, -1)
  }
}

function isEnough(bytes: Buffer): boolean {
  if (bytes.length >= ENCODING_WITHIN) return true
  if (bytes.length < 5) return false
  return bytes.toString('latin1', 0, 5) !== '<?xml' || bytes.includes(GT)
}

function detect(bytes: Buffer): Encoding {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf16le'
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf16be'
  return declaredEncoding(bytes)
}

/** How many of the bytes are whole characters, when the last one may be cut off. */
function wholeCharacters(bytes: Buffer, encoding: Encoding): number {
  const { length } = bytes
  if (encoding === 'latin1') return length
  if (encoding !== 'utf8') return length - (length % 2)
  for (let back = 1; back <= 3 && back <= length; back++) {
    const byte = bytes[length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return size > back ? length - back : length
  }
  return length
}
