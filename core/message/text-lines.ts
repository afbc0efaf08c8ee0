/** Text, in any character set, whole or line by line. */
import { SignalboxError } from '../errors.ts'
import { Type } from '../schema.ts'
import { CHARSET_OPTIONS, type CharsetOptions, charsetOf, decodeAll } from './charset.ts'
import { type BodyLimits, DEFAULT_MAX_LINE_BYTES, type FormatCodec } from './format.ts'
import { Pending, type RecordReader, recordsOf, textReader } from './records.ts'

/** Options of `text`. All have defaults. */
export interface TextOptions extends CharsetOptions {
  newline?: '\n' | '\r\n'
}

/** `text/plain`. `split` gives the lines without their ends, which are LF or CRLF; `join` ends each line. */
export const text: FormatCodec<TextOptions> = {
  mediaTypes: ['text/plain'],
  options: Type.Object(
    {
      ...CHARSET_OPTIONS,
      newline: Type.Optional(
        Type.Union([Type.Literal('\n'), Type.Literal('\r\n')], {
          default: '\n',
          description: 'Ends the lines that are written one by one',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  parse: (bytes, _limits, options) => decodeAll(bytes, charsetOf(options?.charset), 'text'),
  build: (value, options) => encode(textOf(value), options),
  split(source, limits, options) {
    const charset = charsetOf(options?.charset)
    return recordsOf(source, () => textReader(new LineReader(limits, 'text'), charset, 'text'))
  },
  async *join(records, options) {
    const newline = options?.newline ?? '\n'
    for await (const record of records) {
      const line = textOf(record)
      if (/[\r\n]/.test(line)) {
        throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', 'text: a line has a line break in it')
      }
      yield encode(line + newline, options)
    }
  },
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'object' && value !== null) {
    throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', 'text: an object is not a text')
  }
  return value === undefined || value === null ? '' : String(value)
}

function encode(text: string, options: TextOptions | undefined): string | Buffer {
  return charsetOf(options?.charset).encode(text, 'text', options?.unmappable)
}

/** Finds lines, without their ends, in pieces of a text. */
export class LineReader implements RecordReader<string> {
  readonly #max: number
  readonly #limit: string
  readonly #what: string
  readonly #pending = new Pending()
  readonly #keepCr: boolean
  /** The line that comes next, from 1. */
  line = 1

  /** Lines are limited by `limit`, which is a name in `limits`. With `keepCr` only LF ends them. */
  constructor(
    limits: BodyLimits,
    what: string,
    limit: 'maxLineBytes' | 'maxRecordBytes' = 'maxLineBytes',
    keepCr = false,
  ) {
    this.#max = limits[limit] ?? DEFAULT_MAX_LINE_BYTES
    this.#limit = limit
    this.#keepCr = keepCr
    this.#what = what
  }

  push(piece: string, out: unknown[]): void {
    let at = 0
    for (let end = piece.indexOf('\n'); end !== -1; end = piece.indexOf('\n', at)) {
      this.#add(this.#pending.take(piece.slice(at, end)), out)
      at = end + 1
    }
    this.#pending.add(piece.slice(at))
    this.#check(this.#pending.length)
  }

  end(out: unknown[]): void {
    if (this.#pending.length > 0) this.#add(this.#pending.take(''), out)
  }

  #add(line: string, out: unknown[]): void {
    this.#check(line.length)
    out.push(!this.#keepCr && line.endsWith('\r') ? line.slice(0, -1) : line)
    this.line++
  }

  #check(length: number): void {
    if (length <= this.#max) return
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_LIMIT',
      `${this.#what}: line ${this.line} is longer than ${this.#max} characters`,
      { details: { limit: this.#limit, max: this.#max, line: this.line } },
    )
  }
}
