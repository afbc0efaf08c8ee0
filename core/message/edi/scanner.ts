/** Cuts bytes that arrive in pieces of any size into segments. */
import { isAscii } from 'node:buffer'
import { invalid, type Place, tooLarge } from './errors.ts'

/** Pieces are collected up to this size before they are looked at, so that tiny ones cost no more than large ones. */
const MIN_BATCH = 4096
const SPACE = 0x20
const CR = 0x0d
const LF = 0x0a
const TAB = 0x09

/** What ends a segment. */
export interface Ending {
  /** One or two characters: each ends a segment. */
  terminators: string
  /** Takes the meaning from the terminator after it. */
  release?: string | undefined
  /** Whether the last segment may end with the body. Default: no. */
  openEnd?: boolean
  /** Whether spaces and tabs before a segment are skipped like line breaks. Default: yes. */
  skipSpaces?: boolean
}

export class SegmentScanner {
  readonly #format: string
  readonly #maxBytes: number
  #pieces: string[] = []
  #pending = 0
  #text = ''
  #at = 0
  #start = 0
  #line = 1
  #column = 1
  #ended = false
  #exhausted = false
  #ending: Ending = { terminators: '\n' }
  /** Where the second terminator comes next; behind all text when it does not. */
  #second = -1
  /** What a line ends with, for places in errors. */
  #lineBreak = '\n'
  /** Whether all bytes until now are ASCII. */
  ascii = true
  /** Number of the segment that was given last. */
  segment = 0

  constructor(format: string, maxBytes: number) {
    this.#format = format
    this.#maxBytes = maxBytes
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.isBuffer(chunk)
      ? chunk
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (this.ascii && !isAscii(bytes)) this.ascii = false
    this.#pieces.push(bytes.toString('latin1'))
    this.#pending += bytes.length
    // Waiting for as much as is left over makes the work for a long segment linear, however it arrives.
    if (this.#pending >= Math.max(MIN_BATCH, this.#text.length - this.#at)) this.#refill()
  }

  end(): void {
    this.#ended = true
    this.#refill()
  }

  endSegmentsBy(ending: Ending): void {
    this.#ending = ending
    this.#second = -1
    this.#exhausted = false
  }

  /** The next `count` characters without taking them; fewer at the end; undefined when more have to come. */
  peek(count: number): string | undefined {
    this.#skipSpace()
    if (this.#text.length - this.#at < count && !this.#ended) return undefined
    this.#start = this.#at
    return this.#text.slice(this.#at, this.#at + count)
  }

  /** Steps over characters that were peeked at. */
  skip(count: number): void {
    this.#at += count
  }

  /** Whether the body has ended and nothing but white space is left. */
  get finished(): boolean {
    this.#skipSpace()
    return this.#ended && this.#at >= this.#text.length
  }

  /** The next segment without its terminator, as binary; undefined when more bytes have to come, or at the end. */
  next(): string | undefined {
    // A search that found nothing finds nothing until there are more bytes.
    if (this.#exhausted) return undefined
    this.#skipSpace()
    const from = this.#at
    const left = this.#text.length - from
    if (left === 0) return undefined
    let end = this.#terminator(from)
    if ((end === -1 ? left : end - from) > this.#maxBytes) throw this.#segmentTooLong(from)
    if (end === -1) {
      if (!this.#ended) {
        this.#exhausted = true
        return undefined
      }
      if (!this.#ending.openEnd) throw this.#unended(from)
      end = this.#text.length
    }
    this.segment++
    this.#start = from
    this.#at = Math.min(end + 1, this.#text.length)
    if (this.segment === 1 && this.#ending.terminators.length === 2) this.#findLineBreak(end)
    return this.#text.slice(from, end)
  }

  /** The next `count` bytes as they are, as binary; undefined when more have to come. */
  take(count: number): string | undefined {
    if (this.#text.length - this.#at < count) {
      if (!this.#ended) return undefined
      throw invalid(this.#format, `the body ends within ${count} bytes of an object`, this.place())
    }
    const bytes = this.#text.slice(this.#at, this.#at + count)
    this.#at += count
    return bytes
  }

  /** Where the segment stands that was given last. */
  place(tag?: string): Place {
    const { line, column } = this.#position(this.#start)
    return { line, column, segment: Math.max(1, this.segment), ...(tag !== undefined && { tag }) }
  }

  #refill(): void {
    // The last segment stays, because an error may have to say where it is.
    const { line, column } = this.#position(this.#start)
    this.#line = line
    this.#column = column
    this.#text = this.#text.slice(this.#start) + this.#pieces.join('')
    this.#at -= this.#start
    this.#start = 0
    this.#second = -1
    this.#pieces = []
    this.#pending = 0
    this.#exhausted = false
  }

  #position(offset: number): { line: number; column: number } {
    let line = this.#line
    let lineStart = 1 - this.#column
    for (let at = this.#text.indexOf(this.#lineBreak); at !== -1 && at < offset; ) {
      line++
      lineStart = at + 1
      at = this.#text.indexOf(this.#lineBreak, at + 1)
    }
    return { line, column: offset - lineStart + 1 }
  }

  #skipSpace(): void {
    const text = this.#text
    const spaces = this.#ending.skipSpaces !== false
    for (; this.#at < text.length; this.#at++) {
      const code = text.charCodeAt(this.#at)
      if (code !== LF && code !== CR && !(spaces && (code === SPACE || code === TAB))) return
    }
  }

  #terminator(from: number): number {
    const { terminators, release } = this.#ending
    if (terminators.length === 2) return this.#eitherTerminator(from)
    let end = this.#text.indexOf(terminators, from)
    if (release === undefined) return end
    while (end !== -1 && this.#released(release, from, end)) end = this.#text.indexOf(terminators, end + 1)
    return end
  }

  #released(release: string, from: number, end: number): boolean {
    let at = end - 1
    while (at >= from && this.#text[at] === release) at--
    return (end - at) % 2 === 0
  }

  #eitherTerminator(from: number): number {
    const first = this.#text.indexOf(this.#ending.terminators[0]!, from)
    if (this.#second < from) {
      const second = this.#text.indexOf(this.#ending.terminators[1]!, from)
      this.#second = second === -1 ? Number.POSITIVE_INFINITY : second
    }
    if (first === -1) return this.#second === Number.POSITIVE_INFINITY ? -1 : this.#second
    return Math.min(first, this.#second)
  }

  /** What ends the first segment ends lines. */
  #findLineBreak(end: number): void {
    if (this.#text[end] === '\r' && this.#text[end + 1] !== '\n') this.#lineBreak = '\r'
  }

  #segmentTooLong(from: number): Error {
    this.segment++
    this.#start = from
    return tooLarge(
      this.#format,
      'maxSegmentBytes',
      this.#maxBytes,
      `bytes in segment ${this.segment}`,
      this.place(),
    )
  }

  #unended(from: number): Error {
    this.segment++
    this.#start = from
    return invalid(this.#format, 'the body ends within a segment: its terminator is missing', this.place())
  }
}
