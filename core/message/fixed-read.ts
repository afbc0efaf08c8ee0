/** Reads fixed-width records from pieces of a text. */
import { SignalboxError } from '../errors.ts'
import { NotOfType, type ReadValue, valueReader } from './columns.ts'
import { alignOf, type FixedColumn, type FixedOptions } from './fixed-options.ts'
import { type BodyLimits, DEFAULT_MAX_ELEMENTS } from './format.ts'
import { Pending, type RecordReader } from './records.ts'
import { overLimit } from './safety.ts'
import { LineReader } from './text-lines.ts'

interface Field {
  name: string
  from: number
  to: number
  read: ReadValue | undefined
  strip: (text: string) => string
}

export class FixedReader implements RecordReader<string> {
  readonly #fields: readonly Field[]
  readonly #width: number
  readonly #ragged: 'error' | 'pad' | 'fit'
  readonly #lines: LineReader | undefined
  readonly #pending = new Pending()
  readonly #maxRecords: number
  readonly #maxElements: number
  #record = 0

  /** `whole`: `maxElements` counts the fields of all records, not of each. */
  constructor(options: FixedOptions, limits: BodyLimits, whole: boolean) {
    let from = 0
    this.#fields = options.columns.map(column => {
      const start = from
      from += column.width
      return fieldOf(column, start, from)
    })
    this.#width = from
    this.#ragged = options.ragged ?? 'error'
    this.#maxElements = limits.maxElements ?? DEFAULT_MAX_ELEMENTS
    this.#maxRecords = whole ? this.#maxElements / this.#fields.length : Number.POSITIVE_INFINITY
    if (this.#fields.length > this.#maxElements) throw this.#tooMany()
    if (options.separator !== 'none') this.#lines = new LineReader(limits, 'fixed', 'maxRecordBytes')
  }

  push(piece: string, out: unknown[]): void {
    if (this.#lines === undefined) this.#cut(piece, out)
    else {
      const lines: string[] = []
      try {
        this.#lines.push(piece, lines)
      } finally {
        this.#addLines(lines, out)
      }
    }
  }

  end(out: unknown[]): void {
    if (this.#lines) {
      const lines: string[] = []
      this.#lines.end(lines)
      this.#addLines(lines, out)
    } else if (this.#pending.length > 0) this.#add(this.#pending.take(''), out)
  }

  #addLines(lines: readonly string[], out: unknown[]): void {
    for (const line of lines) this.#add(line, out)
  }

  #cut(piece: string, out: unknown[]): void {
    let at = 0
    while (piece.length - at >= this.#width - this.#pending.length) {
      const end = at + this.#width - this.#pending.length
      this.#add(this.#pending.take(piece.slice(at, end)), out)
      at = end
    }
    this.#pending.add(piece.slice(at))
  }

  #add(text: string, out: unknown[]): void {
    this.#record++
    if (this.#record > this.#maxRecords) throw this.#tooMany()
    const length = text.length
    if (length !== this.#width) {
      if (this.#ragged === 'error' || (this.#ragged === 'pad' && length > this.#width)) {
        throw this.#invalid(`the record has ${length} characters, not ${this.#width}`, length + 1)
      }
    }
    const record: Record<string, unknown> = {}
    for (const field of this.#fields) record[field.name] = this.#value(field, text)
    out.push(record)
  }

  #value({ name, from, to, read, strip }: Field, text: string): unknown {
    const value = strip(text.slice(from, to))
    if (read === undefined) return value
    try {
      return read(value)
    } catch (error) {
      if (!(error instanceof NotOfType)) throw error
      throw this.#invalid(`the field ${JSON.stringify(name)} ${error.message}`, from + 1)
    }
  }

  #invalid(why: string, column: number): SignalboxError {
    const record = this.#record
    // Every line is a record.
    const place = this.#lines ? { line: record } : { offset: (record - 1) * this.#width + column - 1 }
    return new SignalboxError(
      'SIGNALBOX_FORMAT_INVALID',
      `fixed: ${why}, at record ${record}, column ${column}`,
      { details: { ...place, column, record } },
    )
  }

  #tooMany(): SignalboxError {
    return overLimit('fixed', 'maxElements', this.#maxElements, 'fields')
  }
}

function fieldOf(column: FixedColumn, from: number, to: number): Field {
  const { name, pad = ' ' } = column
  const number = column.type === 'number' || column.type === 'integer'
  const strip =
    alignOf(column) === 'left' ? (text: string) => stripEnd(text, pad) : startStripper(pad, number)
  return { name, from, to, read: valueReader(column), strip }
}

function stripEnd(text: string, pad: string): string {
  let end = text.length
  while (end > 0 && text[end - 1] === pad) end--
  return text.slice(0, end)
}

function startStripper(pad: string, number: boolean): (text: string) => string {
  // Zeros before digits are read as part of the number.
  if (number && pad === '0') return text => text
  return text => {
    let start = 0
    while (start < text.length && text[start] === pad) start++
    return text.slice(start)
  }
}
