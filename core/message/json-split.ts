/** The elements of an array in a JSON text, one by one, while the text comes in. */
import { SignalboxError } from '../errors.ts'
import { PendingBytes } from './byte-pending.ts'
import { type BodyLimits, DEFAULT_MAX_RECORD_BYTES } from './format.ts'
import { nothingAt } from './json-pointer.ts'
import type { RecordReader } from './records.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const BACKSLASH = 0x5c
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const BOM = [0xef, 0xbb, 0xbf]

/**
 * What is expected next. On the way to the array: a `value` on its path, a `name` or an `item` of a composite on its
 * path, the `colon` after a name, the end of something to `skip`. Then the `elements`, and the `rest` of the text.
 */
type State = 'value' | 'name' | 'inName' | 'colon' | 'skip' | 'elements' | 'rest' | 'end'

/**
 * Each element is parsed by itself, so it is as strict as parsing a whole text. What stands beside the array is only
 * looked at for brackets and strings; of members with the same name the first one counts.
 */
export class JsonElementReader implements RecordReader<Buffer> {
  readonly #segments: readonly string[]
  readonly #parse: (bytes: Buffer) => unknown
  readonly #max: number
  readonly #pending = new PendingBytes()
  #state: State = 'value'
  /** How many segments have been matched. */
  #level = 0
  /** Of the composite that is searched: undefined for an object, where the next item is in an array. */
  #index: number | undefined
  #matched = false
  /** Brackets that are open inside what is skipped or collected. */
  #depth = 0
  #inString = false
  #escaped = false
  #count = 0
  /** Bytes, and line ends, in the pieces before. */
  #offset = 0
  #line = 1
  #lineStart = 0
  /** The line feed in this piece that is counted next. */
  #nextLine = -1
  #place = { line: 1, column: 1, offset: 0 }

  constructor(segments: readonly string[], limits: BodyLimits, parse: (bytes: Buffer) => unknown) {
    this.#segments = segments
    this.#parse = parse
    this.#max = limits.maxRecordBytes ?? DEFAULT_MAX_RECORD_BYTES
  }

  push(piece: Buffer, out: unknown[]): void {
    let at = 0
    while (at < piece.length) {
      if (this.#state === 'elements') at = this.#elements(piece, at, out)
      else if (this.#state === 'skip' || this.#state === 'rest') at = this.#skip(piece, at)
      else if (this.#state === 'inName') at = this.#name(piece, at)
      else {
        const byte = piece[at]!
        if (!isSpace(byte) && !this.#isBom(byte, at)) this.#step(byte, piece, at)
        at++
      }
    }
    this.#countLines(piece, piece.length)
    this.#offset += piece.length
    this.#nextLine = -1
  }

  end(): void {
    if (this.#state === 'end') return
    throw invalid('the text ends too early', {
      line: this.#line,
      column: this.#offset - this.#lineStart + 1,
      offset: this.#offset,
      record: this.#count + 1,
    })
  }

  #isBom(byte: number, at: number): boolean {
    return this.#level === 0 && this.#state === 'value' && BOM[this.#offset + at] === byte
  }

  /** One byte that is not white space, outside of strings. */
  #step(byte: number, piece: Buffer, at: number): void {
    if (this.#state === 'value') this.#open(byte, piece, at)
    else if (this.#state === 'colon' && byte === COLON) this.#enter()
    else if (this.#state === 'name' && byte === QUOTE) {
      this.#state = 'inName'
      this.#pending.add(piece.subarray(at, at + 1))
    } else if (this.#state === 'name' && byte === CLOSE_OBJECT) throw nothingAt(this.#segments, 'array')
    else throw this.#wrong(piece, at)
  }

  #open(byte: number, piece: Buffer, at: number): void {
    const target = this.#level === this.#segments.length
    if (byte === OPEN_ARRAY && target) {
      this.#state = 'elements'
      this.#mark(piece, at + 1)
    } else if (byte === OPEN_OBJECT && !target) {
      this.#index = undefined
      this.#state = 'name'
    } else if (byte === OPEN_ARRAY) {
      this.#index = 0
      this.#item()
    } else throw nothingAt(this.#segments, 'array')
  }

  #item(): void {
    this.#matched = String(this.#index) === this.#segments[this.#level]
    this.#enter()
  }

  #enter(): void {
    this.#state = this.#matched ? 'value' : 'skip'
    if (this.#matched) this.#level++
  }

  #name(piece: Buffer, from: number): number {
    const end = this.#stringEnd(piece, from)
    this.#pending.add(piece.subarray(from, end === -1 ? piece.length : end))
    if (this.#pending.length > this.#max) throw this.#tooLarge()
    if (end === -1) return piece.length
    const bytes = this.#pending.take(Buffer.alloc(0))
    this.#matched = this.#parse(bytes) === this.#segments[this.#level]
    this.#state = 'colon'
    return end
  }

  /** The offset after the quote that ends a string; -1: not in this piece. */
  #stringEnd(piece: Buffer, from: number): number {
    for (let at = from; at < piece.length; at++) {
      const byte = piece[at]
      if (this.#escaped) this.#escaped = false
      else if (byte === BACKSLASH) this.#escaped = true
      else if (byte === QUOTE) return at + 1
    }
    return -1
  }

  /** Passes over bytes up to a comma or bracket outside of everything that was opened. */
  #toEnd(piece: Buffer, from: number): number {
    let at = from
    while (at < piece.length) {
      if (this.#inString) {
        const end = this.#stringEnd(piece, at)
        if (end === -1) return -1
        this.#inString = false
        at = end
        continue
      }
      const byte = piece[at]!
      if (byte === QUOTE) this.#inString = true
      else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) this.#depth++
      else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
        if (this.#depth === 0) return at
        this.#depth--
      } else if (byte === COMMA && this.#depth === 0) return at
      at++
    }
    return -1
  }

  #skip(piece: Buffer, from: number): number {
    const end = this.#toEnd(piece, from)
    if (end === -1) return piece.length
    const comma = piece[end] === COMMA
    if (this.#state === 'rest') {
      if (!comma) this.#leave()
    } else if (!comma) throw nothingAt(this.#segments, 'array')
    else if (this.#index === undefined) this.#state = 'name'
    else {
      this.#index++
      this.#item()
    }
    return end + 1
  }

  /** A composite around the array has ended. */
  #leave(): void {
    this.#level--
    this.#state = this.#level < 0 ? 'end' : 'rest'
  }

  #elements(piece: Buffer, from: number, out: unknown[]): number {
    const end = this.#toEnd(piece, from)
    if (end === -1) {
      this.#pending.add(piece.subarray(from))
      if (this.#pending.length > this.#max) throw this.#tooLarge()
      return piece.length
    }
    const bytes = this.#pending.take(piece.subarray(from, end))
    if (bytes.length > this.#max) throw this.#tooLarge()
    const closes = piece[end] !== COMMA
    if (piece[end] === CLOSE_OBJECT) throw this.#wrong(piece, end)
    const empty = closes && this.#count === 0 && bytes.every(isSpace)
    if (!empty) this.#add(bytes, out)
    this.#mark(piece, end + 1)
    if (closes) {
      this.#level = this.#segments.length - 1
      this.#state = this.#level < 0 ? 'end' : 'rest'
    }
    return end + 1
  }

  #add(bytes: Buffer, out: unknown[]): void {
    this.#count++
    try {
      out.push(this.#parse(bytes))
    } catch (error) {
      if (!(error instanceof SignalboxError)) throw error
      throw this.#placed(error)
    }
  }

  /** The error of one element, with its place in the whole text. */
  #placed(error: SignalboxError): SignalboxError {
    const { line, column } = (error.details ?? {}) as { line?: number; column?: number }
    const place = { ...error.details, ...this.#place, record: this.#count }
    if (line !== undefined && column !== undefined) {
      place.line += line - 1
      place.column = line === 1 ? place.column + column - 1 : column
    }
    const why = error.message.replace(/^JSON: /, '').replace(/,? at line \d+, column \d+$/, '')
    return new SignalboxError(
      error.code,
      `JSON: ${why}, at line ${place.line}, column ${place.column}, in element ${this.#count}`,
      { details: place, cause: error.cause },
    )
  }

  /** Notes where the next element starts; columns count bytes up to there. */
  #mark(piece: Buffer, at: number): void {
    this.#countLines(piece, at)
    const offset = this.#offset + at
    this.#place = { line: this.#line, column: offset - this.#lineStart + 1, offset }
  }

  #countLines(piece: Buffer, to: number): void {
    while (this.#nextLine < to) {
      if (this.#nextLine >= 0) {
        this.#line++
        this.#lineStart = this.#offset + this.#nextLine + 1
      }
      const next = piece.indexOf(0x0a, this.#nextLine + 1)
      this.#nextLine = next === -1 ? Number.POSITIVE_INFINITY : next
    }
  }

  #wrong(piece: Buffer, at: number): SignalboxError {
    this.#countLines(piece, at)
    const offset = this.#offset + at
    const column = offset - this.#lineStart + 1
    return invalid('not well-formed', { line: this.#line, column, offset, record: this.#count + 1 })
  }

  #tooLarge(): SignalboxError {
    const details = { limit: 'maxRecordBytes', max: this.#max, ...this.#place, record: this.#count + 1 }
    const message = `JSON: an element is larger than ${this.#max} bytes, at line ${details.line}`
    return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', message, { details })
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function invalid(why: string, details: { line: number; column: number; offset: number; record: number }) {
  const message = `JSON: ${why}, at line ${details.line}, column ${details.column}`
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', message, { details })
}
