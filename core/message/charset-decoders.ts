/** Strict decoders of texts that come in pieces, one for each kind of character set. */
import { isAscii, isUtf8 } from 'node:buffer'
import { SignalboxError } from '../errors.ts'
import { firstInvalidUtf8 } from './utf8.ts'

/** Decodes a text that comes in pieces. */
export interface CharsetDecoder {
  /** What of the text can be told from the pieces so far. Past an invalid byte there is no more: see `failure`. */
  write(bytes: Buffer): string
  /** The text has ended: an unfinished character is a failure. */
  end(): string
  /** SIGNALBOX_FORMAT_INVALID with the `offset` of the first byte that is not of the character set. */
  failure: SignalboxError | undefined
}

/** Stands in tables for bytes that mean nothing. */
export const REPLACEMENT = 0xfffd

export class SingleByteDecoder implements CharsetDecoder {
  readonly #what: string
  readonly #name: string
  readonly #table: string
  readonly #latin1: boolean
  #offset = 0
  failure: SignalboxError | undefined

  constructor(what: string, name: string, table: string) {
    this.#what = what
    this.#name = name
    this.#table = table
    this.#latin1 = name === 'iso-8859-1'
  }

  write(bytes: Buffer): string {
    if (this.#latin1 || isAsciiIn(this.#table, bytes)) {
      this.#offset += bytes.length
      return bytes.toString('latin1')
    }
    const units = Buffer.allocUnsafe(bytes.length * 2)
    for (let at = 0; at < bytes.length; at++) {
      const code = this.#table.charCodeAt(bytes[at]!)
      if (code === REPLACEMENT) {
        this.failure = invalid(this.#what, this.#name, this.#offset + at)
        return units.toString('utf16le', 0, at * 2)
      }
      units.writeUInt16LE(code, at * 2)
    }
    this.#offset += bytes.length
    return units.toString('utf16le')
  }

  end(): string {
    return ''
  }
}

const ASCII = String.fromCharCode(...Array.from({ length: 128 }, (_, code) => code))

function isAsciiIn(table: string, bytes: Buffer): boolean {
  return table.startsWith(ASCII) && isAscii(bytes)
}

export class Utf8Decoder implements CharsetDecoder {
  readonly #what: string
  #carry: Buffer | undefined
  #offset = 0
  failure: SignalboxError | undefined

  constructor(what: string) {
    this.#what = what
  }

  write(piece: Buffer): string {
    if (this.#carry === undefined && isAscii(piece)) {
      this.#offset += piece.length
      return piece.toString('latin1')
    }
    const bytes = this.#carry === undefined ? piece : Buffer.concat([this.#carry, piece])
    this.#carry = undefined
    if (isUtf8(bytes)) {
      this.#offset += bytes.length
      return bytes.toString('utf8')
    }
    const { at, unfinished } = firstInvalidUtf8(bytes)
    this.#offset += at
    if (unfinished) this.#carry = Buffer.from(bytes.subarray(at))
    else this.failure = invalid(this.#what, 'utf-8', this.#offset)
    return bytes.toString('utf8', 0, at)
  }

  end(): string {
    if (this.#carry !== undefined) this.failure = invalid(this.#what, 'utf-8', this.#offset)
    return ''
  }
}

/** Without a byte order mark `utf-16` is little-endian, as everywhere on the web (Encoding Standard). */
export class Utf16Decoder implements CharsetDecoder {
  readonly #what: string
  #name: 'utf-16' | 'utf-16le' | 'utf-16be'
  #carry = Buffer.alloc(0)
  #offset = 0
  failure: SignalboxError | undefined

  constructor(what: string, name: 'utf-16' | 'utf-16le' | 'utf-16be') {
    this.#what = what
    this.#name = name
  }

  write(piece: Buffer): string {
    let bytes = Buffer.concat([this.#carry, piece])
    this.#carry = bytes
    if (bytes.length < 2) return ''
    if (this.#name === 'utf-16') {
      this.#name = bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-16le'
    }
    let usable = bytes.length & ~1
    // Half of a pair waits for the other half.
    const high = bytes[usable - (this.#name === 'utf-16be' ? 2 : 1)]! & 0xfc
    if (high === 0xd8) usable -= 2
    this.#carry = Buffer.from(bytes.subarray(usable))
    bytes = bytes.subarray(0, usable)
    const units = this.#name === 'utf-16be' ? Buffer.from(bytes).swap16() : bytes
    const text = units.toString('utf16le')
    if (!text.isWellFormed()) {
      const at = text.search(/\p{Surrogate}/u)
      this.failure = invalid(this.#what, this.#name, this.#offset + at * 2)
      return text.slice(0, at)
    }
    this.#offset += usable
    return text
  }

  end(): string {
    if (this.#carry.length > 0) this.failure = invalid(this.#what, this.#name, this.#offset)
    return ''
  }
}

export class MultiByteDecoder implements CharsetDecoder {
  readonly #what: string
  readonly #name: string
  readonly #decoder: InstanceType<typeof TextDecoder>
  #carry = Buffer.alloc(0)
  #offset = 0
  failure: SignalboxError | undefined

  constructor(what: string, name: string) {
    this.#what = what
    this.#name = name
    this.#decoder = new TextDecoder(name, { fatal: true, ignoreBOM: true })
  }

  write(piece: Buffer): string {
    const bytes = this.#carry.length === 0 ? piece : Buffer.concat([this.#carry, piece])
    // An unfinished character at the end has at most three bytes, and those alone are never valid.
    for (let tail = 0; tail <= Math.min(3, bytes.length); tail++) {
      const text = this.#tryDecode(bytes.subarray(0, bytes.length - tail))
      if (text === undefined) continue
      this.#offset += bytes.length - tail
      this.#carry = Buffer.from(bytes.subarray(bytes.length - tail))
      return text
    }
    return this.#fail(bytes)
  }

  end(): string {
    if (this.#carry.length > 0) this.failure = invalid(this.#what, this.#name, this.#offset)
    return ''
  }

  #tryDecode(bytes: Buffer): string | undefined {
    try {
      return this.#decoder.decode(bytes)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_ENCODING_INVALID_ENCODED_DATA') throw error
      return undefined
    }
  }

  /** Byte by byte up to the one that is refused; the text before it is good. */
  #fail(bytes: Buffer): string {
    const decoder = new TextDecoder(this.#name, { fatal: true, ignoreBOM: true })
    let text = ''
    let start = 0
    for (let at = 0; at < bytes.length; at++) {
      try {
        const char = decoder.decode(bytes.subarray(at, at + 1), { stream: true })
        if (char === '') continue
        text += char
        start = at + 1
      } catch (error) {
        this.failure = invalid(this.#what, this.#name, this.#offset + start, error)
        return text
      }
    }
    this.failure = invalid(this.#what, this.#name, this.#offset + start)
    return text
  }
}

function invalid(what: string, charset: string, offset: number, cause?: unknown): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', `${what}: not ${charset} at byte ${offset}`, {
    details: { offset, charset },
    cause,
  })
}
