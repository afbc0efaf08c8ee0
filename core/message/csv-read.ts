/** Reads CSV (RFC 4180) that comes in pieces of any size. */
import { SignalboxError } from '../errors.ts'
import { NotOfType, type ReadValue, valueReader } from './columns.ts'
import { RecordEnds } from './csv-ends.ts'
import { countOf, FieldProblem, FieldSplitter, guessDelimiter } from './csv-fields.ts'
import type { CsvDialect } from './csv-options.ts'
import {
  type Cursor,
  compileRow,
  MAX_COMPILED_COLUMNS,
  type MakeRecord,
  NOWHERE,
  type ReadRow,
} from './csv-row.ts'
import {
  type BodyLimits,
  DEFAULT_MAX_COLUMNS,
  DEFAULT_MAX_ELEMENTS,
  DEFAULT_MAX_RECORD_BYTES,
} from './format.ts'
import { Pending, type RecordReader } from './records.ts'
import { positionAt } from './text.ts'

const CR = 13
/** Tables shorter than this are not worth compiling for. */
const COMPILE_AFTER = 16

/**
 * Finds the ends of records by counting quotes, which needs no look at what was read before, so pieces may be as
 * small as they like; then reads each record by itself. Records without quotes are read by code made for the header.
 */
export class CsvReader implements RecordReader<string> {
  readonly #dialect: CsvDialect
  readonly #maxRecord: number
  readonly #maxColumns: number
  readonly #maxFields: number
  readonly #cursor: Cursor = { next: -1 }
  readonly #pending = new Pending()
  readonly #ends: RecordEnds
  #delimiter: string | undefined
  #splitter: FieldSplitter | undefined
  #names: readonly string[] | undefined
  #count = 0
  #readers: (ReadValue | undefined)[] = []
  #row: ReadRow | undefined
  #maker: MakeRecord | undefined
  /** Whether rows with quotes may be read where they are; otherwise they are cut out first. */
  #direct = false
  /** The start of a line that may turn out to be a comment. */
  #start = ''
  #inComment = false
  #line = 1
  #record = 0
  #fields = 0

  /** `whole`: `maxElements` counts the fields of all records, not of each. */
  constructor(dialect: CsvDialect, limits: BodyLimits, whole: boolean) {
    this.#dialect = dialect
    const { maxElements = DEFAULT_MAX_ELEMENTS } = limits
    this.#ends = new RecordEnds(dialect)
    this.#maxRecord = limits.maxRecordBytes ?? DEFAULT_MAX_RECORD_BYTES
    this.#maxColumns = Math.min(limits.maxColumns ?? DEFAULT_MAX_COLUMNS, maxElements)
    this.#maxFields = whole ? maxElements : Number.POSITIVE_INFINITY
    if (dialect.delimiter !== 'auto') this.#delimiter = dialect.delimiter
    if (Array.isArray(dialect.header)) this.#setNames(dialect.header)
  }

  push(piece: string, out: unknown[]): void {
    const { lineEnd, comment } = this.#dialect
    const text = this.#start === '' ? piece : this.#start + piece
    this.#start = ''
    let at = this.#inComment ? this.#toLineEnd(text, 0) : 0
    if (this.#pending.length > 0) {
      const end = this.#ends.find(text, 0)
      if (end === -1) {
        this.#wait(text)
        return
      }
      this.#quoted(this.#pending.take(text.slice(0, end)), out)
      at = end + 1
    }
    let quoteAt = -1
    this.#cursor.next = -1
    while (at < text.length) {
      if (comment !== undefined) {
        const after = this.#pastComment(text, at, comment)
        if (after !== at) {
          at = after
          continue
        }
      }
      const end = text.indexOf(lineEnd, at)
      if (quoteAt < at) quoteAt = this.#ends.nextQuote(text, at)
      if (quoteAt === NOWHERE || (end !== -1 && quoteAt > end)) {
        if (end === -1) break
        this.#plain(text, at, end, out)
        at = end + 1
      } else {
        let ends = this.#direct ? this.#inPlace(text, at, end, out) : -1
        if (ends === -1) {
          ends = this.#ends.find(text, at)
          if (ends === -1) break
          this.#quoted(text.slice(at, ends), out)
        }
        at = ends + 1
      }
    }
    if (at < text.length) this.#wait(text.slice(at))
  }

  end(out: unknown[]): void {
    if (this.#start !== '') this.#pending.add(this.#start)
    this.#start = ''
    if (this.#pending.length > 0) this.#quoted(this.#pending.take(''), out)
    const { header, columns } = this.#dialect
    if (header !== true || this.#count > 0) return
    if (Object.values(columns).some(({ required }) => required))
      throw this.#invalid('there is no header', '', 0)
  }

  /** Keeps the start of a record, whose end comes with later pieces. */
  #wait(text: string): void {
    this.#pending.add(text)
    if (this.#pending.length > this.#maxRecord) throw this.#tooLong()
  }

  /** The offset after a comment that starts here; the same one when none does. */
  #pastComment(text: string, at: number, comment: string): number {
    if (text.startsWith(comment, at)) return this.#toLineEnd(text, at)
    const left = text.length - at
    if (left >= comment.length || !comment.startsWith(text.slice(at))) return at
    this.#start = text.slice(at)
    return text.length
  }

  #toLineEnd(text: string, at: number): number {
    const end = text.indexOf(this.#dialect.lineEnd, at)
    this.#inComment = end === -1
    if (end === -1) return text.length
    this.#line++
    return end + 1
  }

  /** A record without quotes, between two offsets of a piece. */
  #plain(text: string, from: number, end: number, out: unknown[]): void {
    const stop = end > from && text.charCodeAt(end - 1) === CR ? end - 1 : end
    if (this.#row === undefined || stop === from) {
      this.#whole(text.slice(from, stop), out)
      return
    }
    if (stop - from > this.#maxRecord) throw this.#tooLong()
    const cursor = this.#cursor
    if (cursor.next < from) {
      const next = text.indexOf(this.#delimiter!, from)
      cursor.next = next === -1 ? NOWHERE : next
    }
    let record: unknown
    try {
      record = this.#row(text, from, stop, cursor)
    } catch (error) {
      if (!(error instanceof NotOfType)) throw error
    }
    // Without one the row has to be looked at more closely, to say what is wrong with it.
    if (record === undefined) this.#whole(text.slice(from, stop), out)
    else this.#add(record, 1, out)
  }

  #add(record: unknown, lines: number, out: unknown[]): void {
    this.#record++
    this.#line += lines
    this.#fields += this.#count
    if (this.#fields > this.#maxFields) throw this.#tooMany('maxElements', this.#maxFields, 'fields')
    out.push(record)
  }

  /**
   * A record with quotes, read where it is. The offset of its end; -1: it does not end in this piece, or something
   * about it is unusual.
   */
  #inPlace(text: string, from: number, lineAt: number, out: unknown[]): number {
    const separator = this.#delimiter!
    const { quote, lineEnd } = this.#dialect
    const delimiter = separator.charCodeAt(0)
    const quoteCode = quote.charCodeAt(0)
    const lineCode = lineEnd.charCodeAt(0)
    const fields: string[] = []
    let nextLine = lineAt
    let nextQuote = -1
    for (let at = from; ; ) {
      let end: number
      if (text.charCodeAt(at) === quoteCode) {
        let value = ''
        let start = at + 1
        for (end = text.indexOf(quote, start); ; end = text.indexOf(quote, start)) {
          if (end === -1) return -1
          if (text.charCodeAt(end + 1) !== quoteCode) break
          value += text.substring(start, end + 1)
          start = end + 2
        }
        fields.push(value + text.substring(start, end++))
        if (text.charCodeAt(end) === CR) end++
        else if (text.charCodeAt(end) === delimiter) {
          at = end + 1
          continue
        }
        if (text.charCodeAt(end) !== lineCode) return -1
        return this.#accept(fields, text, from, end, lineAt, out)
      }
      // What was searched once is not searched again for each field.
      if (nextLine < at) nextLine = text.indexOf(lineEnd, at)
      if (nextQuote < at) nextQuote = this.#ends.nextQuote(text, at)
      if (nextLine === -1) return -1
      end = text.indexOf(separator, at)
      const last = end === -1 || end > nextLine
      if (last) end = nextLine
      // A quote where none may be.
      if (nextQuote < end) return -1
      const stop = last && end > at && text.charCodeAt(end - 1) === CR ? end - 1 : end
      fields.push(text.substring(at, stop))
      if (last) return this.#accept(fields, text, from, end, lineAt, out)
      at = end + 1
    }
  }

  #accept(
    fields: readonly string[],
    text: string,
    from: number,
    end: number,
    lineAt: number,
    out: unknown[],
  ): number {
    if (fields.length !== this.#count || end - from > this.#maxRecord) return -1
    const lines = lineAt === end ? 1 : 1 + countOf(text.slice(from, end), this.#dialect.lineEnd)
    try {
      this.#add(this.#maker!(fields), lines, out)
    } catch (error) {
      if (error instanceof NotOfType) return -1
      throw error
    }
    return end
  }

  /** A record that may have quotes, with the CR of its end. */
  #quoted(text: string, out: unknown[]): void {
    const ended =
      !this.#ends.inQuotes && this.#dialect.lineEnd === '\n' && text.charCodeAt(text.length - 1) === CR
    this.#ends.reset()
    this.#whole(ended ? text.slice(0, -1) : text, out)
  }

  /** A record by itself. */
  #whole(text: string, out: unknown[]): void {
    if (text.length > this.#maxRecord) throw this.#tooLong()
    if (text === '' && this.#dialect.skipEmptyLines) {
      this.#line++
      return
    }
    this.#delimiter ??= guessDelimiter(text, this.#dialect.quote)
    this.#splitter ??= new FieldSplitter(this.#dialect, this.#delimiter, this.#maxColumns)
    const starts: number[] = []
    const fields = this.#split(text, starts)
    if (fields.length > this.#maxColumns) throw this.#tooMany('maxColumns', this.#maxColumns, 'columns')
    if (this.#dialect.header === true && this.#count === 0) this.#readHeader(fields, text, starts)
    else {
      this.#record++
      if (this.#count === 0) this.#setCount(fields.length)
      this.#fields += fields.length
      if (this.#fields > this.#maxFields) throw this.#tooMany('maxElements', this.#maxFields, 'fields')
      out.push(this.#make(this.#fit(fields, text), text, starts))
      if (this.#record === COMPILE_AFTER) this.#compile()
    }
    this.#line += 1 + countOf(text, this.#dialect.lineEnd)
  }

  #split(text: string, starts: number[]): string[] {
    try {
      return this.#splitter!.split(text, starts)
    } catch (error) {
      if (error instanceof FieldProblem) throw this.#invalid(error.message, text, error.offset)
      throw error
    }
  }

  #readHeader(fields: string[], text: string, starts: number[]): void {
    const seen = new Set<string>()
    for (const [column, name] of fields.entries()) {
      // Records would have it as their prototype.
      const wrong = name === '__proto__' ? 'is not allowed' : seen.has(name) ? 'is there twice' : undefined
      if (wrong)
        throw this.#invalid(`the column name ${quoteName(name)} ${wrong}`, text, starts[column]!, { name })
      seen.add(name)
    }
    this.#setNames(fields, text)
  }

  #setNames(names: readonly string[], text = ''): void {
    this.#names = names
    this.#setCount(names.length)
    for (const [name, { required }] of Object.entries(this.#dialect.columns)) {
      if (required && !names.includes(name)) {
        throw this.#invalid(`the column ${quoteName(name)} is missing`, text, 0, { name })
      }
    }
  }

  #setCount(count: number): void {
    const { columns, nulls } = this.#dialect
    this.#count = count
    this.#readers = Array.from({ length: count }, (_, column) => {
      const name = this.#names?.[column] ?? String(column)
      return valueReader(Object.hasOwn(columns, name) ? columns[name]! : {}, nulls)
    })
  }

  #compile(): void {
    if (this.#count > MAX_COMPILED_COLUMNS) return
    const { trim, quote, escapeChar, lineEnd } = this.#dialect
    const { row, make } = compileRow({
      names: this.#names,
      count: this.#count,
      delimiter: this.#delimiter!,
      trim,
      readers: this.#readers,
    })
    this.#row = row
    this.#maker = make
    this.#direct = !trim && quote === escapeChar && lineEnd === '\n' && this.#delimiter!.length === 1
  }

  /** As many fields as there are columns. */
  #fit(fields: string[], text: string): string[] {
    const missing = this.#count - fields.length
    if (missing === 0) return fields
    const { ragged } = this.#dialect
    if (ragged === 'error' || (ragged === 'pad' && missing < 0)) {
      const why = `the record has ${fields.length} fields, but there are ${this.#count} columns`
      throw this.#invalid(why, text, 0)
    }
    return missing < 0 ? fields.slice(0, this.#count) : [...fields, ...Array<string>(missing).fill('')]
  }

  #make(fields: string[], text: string, starts: readonly number[]): unknown {
    const values = fields.map((field, column) => this.#value(field, column, text, starts))
    const names = this.#names
    if (names === undefined) return values
    const record: Record<string, unknown> = {}
    for (let column = 0; column < names.length; column++) record[names[column]!] = values[column]
    return record
  }

  #value(field: string, column: number, text: string, starts: readonly number[]): unknown {
    const read = this.#readers[column]
    if (read === undefined) return field
    try {
      return read(field)
    } catch (error) {
      if (!(error instanceof NotOfType)) throw error
      const name = this.#names?.[column] ?? String(column)
      throw this.#invalid(
        `the field ${quoteName(name)} ${error.message}`,
        text,
        starts[column] ?? text.length,
        {
          name,
        },
      )
    }
  }

  #invalid(why: string, text: string, offset: number, more: Record<string, unknown> = {}): SignalboxError {
    const place = positionAt(this.#dialect.lineEnd === '\r' ? text.replaceAll('\r', '\n') : text, offset)
    const line = this.#line + place.line - 1
    return new SignalboxError(
      'SIGNALBOX_FORMAT_INVALID',
      `${this.#dialect.what}: ${why}, at line ${line}, column ${place.column}`,
      { details: { line, column: place.column, record: this.#record, ...more } },
    )
  }

  #tooLong(): SignalboxError {
    return this.#tooMany('maxRecordBytes', this.#maxRecord, 'characters in a record')
  }

  #tooMany(limit: string, max: number, things: string): SignalboxError {
    return new SignalboxError(
      'SIGNALBOX_FORMAT_LIMIT',
      `${this.#dialect.what}: more than ${max} ${things}, at line ${this.#line}`,
      { details: { limit, max, line: this.#line, record: this.#record } },
    )
  }
}

/** Names come from outside, so they are cut. */
function quoteName(name: string): string {
  return JSON.stringify(name.slice(0, 80))
}
