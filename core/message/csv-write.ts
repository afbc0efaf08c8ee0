/** Writes CSV (RFC 4180). */
import { SignalboxError } from '../errors.ts'
import { type ColumnType, writeValue } from './columns.ts'
import type { CsvDialect } from './csv-options.ts'

const NUMBER = /^[+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?$/
/** What makes a spreadsheet run a cell, also in the wide forms it accepts (OWASP, CSV injection). */
const FORMULA = /^\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/
/** What a spreadsheet may take for the end of a cell whatever the delimiter is. */
const ENDS_CELL = /[,;\t|]/

/** Writes the records of one table, one after the other. */
export class CsvWriter {
  readonly #dialect: CsvDialect
  readonly #delimiter: string
  readonly #special: RegExp
  readonly #escapes: RegExp
  #names: readonly string[] | undefined
  #columns: ColumnType[] = []
  #known: Set<string> | undefined
  #count = 0
  #record = 0

  constructor(dialect: CsvDialect) {
    this.#dialect = dialect
    const { delimiter, quote, escapeChar } = dialect
    this.#delimiter = delimiter === 'auto' ? ',' : delimiter
    const parts = ['\r', '\n', this.#delimiter, ...(quote === '' ? [] : [quote])]
    this.#special = new RegExp(parts.map(part => RegExp.escape(part)).join('|'), 'u')
    this.#escapes = new RegExp([quote, escapeChar].map(part => RegExp.escape(part || '"')).join('|'), 'gu')
    if (Array.isArray(dialect.header)) this.#setNames(dialect.header)
  }

  /** The text of a record, with the header before it if it is the first. */
  record(value: unknown): string {
    const first = this.#record++ === 0
    if (typeof value !== 'object' || value === null) {
      throw this.#unencodable('is neither an object nor an array')
    }
    const cells = Array.isArray(value) ? this.#cells(value) : this.#cellsOf(value as Record<string, unknown>)
    const start = first ? this.start() : ''
    const header = first && this.#dialect.header === true && this.#names ? this.#line([...this.#names]) : ''
    return start + header + this.#line(cells)
  }

  /** What goes before everything: a byte order mark, if one is wanted. */
  start(): string {
    return this.#dialect.bom ? '\ufeff' : ''
  }

  #cells(values: readonly unknown[]): string[] {
    if (this.#dialect.header === true) throw this.#unencodable('is an array, but the header needs names')
    if (this.#count === 0) this.#setCount(values.length)
    if (values.length !== this.#count) {
      throw this.#unencodable(`has ${values.length} fields, but there are ${this.#count} columns`)
    }
    return values.map((value, column) => this.#cell(value, column, String(column)))
  }

  #cellsOf(record: Record<string, unknown>): string[] {
    if (this.#dialect.header === false) throw this.#unencodable('is an object, but there is no header')
    if (this.#names === undefined) this.#setNames(Object.keys(record))
    const names = this.#names!
    const own = Object.keys(record)
    const alike = own.length === names.length && own.every((name, column) => name === names[column])
    if (!alike) this.#checkNames(own)
    const cells: string[] = []
    for (let column = 0; column < names.length; column++) {
      const name = names[column]!
      const value = alike || Object.hasOwn(record, name) ? record[name] : undefined
      cells.push(this.#cell(value, column, name))
    }
    return cells
  }

  #checkNames(names: readonly string[]): void {
    const unknown = names.find(name => !this.#known!.has(name))
    if (unknown === undefined) return
    throw this.#unencodable(`has the field ${JSON.stringify(unknown.slice(0, 80))}, which is no column`)
  }

  #setNames(names: readonly string[]): void {
    if (names.length === 0) throw this.#unencodable('has no fields')
    if (names.includes('__proto__'))
      throw this.#unencodable("has the field '__proto__', which no reader accepts")
    this.#names = names
    this.#known = new Set(names)
    this.#setCount(names.length)
  }

  #setCount(count: number): void {
    if (count === 0) throw this.#unencodable('has no fields')
    const { columns } = this.#dialect
    this.#count = count
    this.#columns = Array.from({ length: count }, (_, column) => {
      const name = this.#names?.[column] ?? String(column)
      return Object.hasOwn(columns, name) ? columns[name]! : {}
    })
  }

  #cell(value: unknown, column: number, name: string): string {
    if (typeof value === 'string' && this.#columns[column]!.type === undefined) return value
    const where = `${this.#dialect.what}: record ${this.#record}, ${JSON.stringify(name)}`
    return writeValue(value, this.#columns[column]!, this.#dialect.nulls, where)
  }

  #line(cells: string[]): string {
    const { newline, comment } = this.#dialect
    for (let column = 0; column < cells.length; column++) {
      cells[column] = this.#field(cells[column]!, column === 0 ? comment : undefined)
    }
    // An empty line would be no record.
    if (cells.length === 1 && cells[0] === '') cells[0] = this.#quote('')
    return cells.join(this.#delimiter) + newline
  }

  #field(text: string, comment: string | undefined): string {
    const { quoteAll, formulas } = this.#dialect
    if (formulas === 'escape' && FORMULA.test(text) && !NUMBER.test(text)) return this.#quote(`'${text}`)
    const quoted =
      quoteAll ||
      !this.#isPlain(text) ||
      (comment !== undefined && text.startsWith(comment)) ||
      (formulas === 'escape' && ENDS_CELL.test(text))
    return quoted ? this.#quote(text) : text
  }

  /** Looks at the characters one by one: most fields are short, and a regular expression has a price for each. */
  #isPlain(text: string): boolean {
    const length = text.length
    if (length === 0) return true
    if (length > 100 || this.#delimiter.length > 1) return !this.#special.test(text) && !hasOuterSpace(text)
    const delimiter = this.#delimiter.charCodeAt(0)
    const quote = this.#dialect.quote.charCodeAt(0)
    for (let at = 0; at < length; at++) {
      const code = text.charCodeAt(at)
      if (code === delimiter || code === quote || code === 10 || code === 13) return false
    }
    return !hasOuterSpace(text)
  }

  #quote(text: string): string {
    const { quote, escapeChar } = this.#dialect
    if (quote !== '') return quote + text.replace(this.#escapes, found => escapeChar + found) + quote
    const { comment, trim } = this.#dialect
    const changes =
      text === '' ||
      this.#special.test(text) ||
      (comment !== undefined && text.startsWith(comment)) ||
      ((trim || text.startsWith('\ufeff')) && hasOuterSpace(text))
    if (!changes) return text
    throw this.#unencodable('has a field that can only be written with quotes, and quote is empty')
  }

  #unencodable(why: string): SignalboxError {
    return new SignalboxError(
      'SIGNALBOX_CODEC_UNENCODABLE',
      `${this.#dialect.what}: record ${this.#record} ${why}`,
      { details: { record: this.#record } },
    )
  }
}

/** Some readers drop white space around fields unless they are quoted. */
function hasOuterSpace(text: string): boolean {
  return isSpace(text.charCodeAt(0)) || isSpace(text.charCodeAt(text.length - 1))
}

/** All that `trim` drops, and some that it does not: quotes do no harm. */
function isSpace(code: number): boolean {
  if (code < 0x1680) return code <= 32 || code === 0xa0
  return code === 0x1680 || (code >= 0x2000 && code <= 0x205f) || code === 0x3000 || code === 0xfeff
}
