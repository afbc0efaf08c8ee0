/** Cuts one record of CSV into its fields. */
import type { CsvDialect } from './csv-options.ts'

const DELIMITERS = [',', ';', '\t', '|']

/** What is wrong in a record, and where in it. */
export class FieldProblem extends Error {
  readonly offset: number

  constructor(why: string, offset: number) {
    super(why)
    this.offset = offset
  }
}

/** Looks at everything, to say what is wrong. */
export class FieldSplitter {
  readonly #dialect: CsvDialect
  readonly #delimiter: string
  readonly #maxColumns: number
  readonly #unescape: RegExp

  constructor(dialect: CsvDialect, delimiter: string, maxColumns: number) {
    this.#dialect = dialect
    this.#delimiter = delimiter
    this.#maxColumns = maxColumns
    this.#unescape = new RegExp(`${RegExp.escape(dialect.escapeChar || '"')}(.)`, 'gsu')
  }

  /** The fields of a record; `starts` gets their offsets. At most one more than there may be. */
  split(text: string, starts: number[]): string[] {
    const { quote, trim } = this.#dialect
    const delimiter = this.#delimiter
    const fields: string[] = []
    let quoteAt = -1
    for (let at = 0; ; at += delimiter.length) {
      if (fields.length > this.#maxColumns) return fields
      const start = trim ? skipSpace(text, at, delimiter) : at
      starts.push(start)
      if (quote !== '' && text.startsWith(quote, start)) {
        const close = this.#closeOf(text, start)
        fields.push(this.#inside(text.slice(start + 1, close)))
        at = trim ? skipSpace(text, close + 1, delimiter) : close + 1
        if (at < text.length && !text.startsWith(delimiter, at)) {
          throw new FieldProblem('a quoted field goes on after its closing quote', at)
        }
      } else {
        const found = text.indexOf(delimiter, at)
        const end = found === -1 ? text.length : found
        if (quoteAt < at) quoteAt = indexOrEnd(text, quote, at)
        if (quoteAt < end) throw new FieldProblem('a quote inside a field that is not quoted', quoteAt)
        fields.push(trim ? text.slice(at, end).trim() : text.slice(at, end))
        at = end
      }
      if (at >= text.length) return fields
    }
  }

  /** The closing quote of the field whose opening one is at an offset. */
  #closeOf(text: string, open: number): number {
    const { quote, escapeChar } = this.#dialect
    let at = open + 1
    if (quote === escapeChar) {
      for (;;) {
        const found = text.indexOf(quote, at)
        if (found === -1) break
        if (!text.startsWith(quote, found + 1)) return found
        at = found + 2
      }
    } else {
      for (; at < text.length; at++) {
        if (text[at] === escapeChar) at++
        else if (text[at] === quote) return at
      }
    }
    throw new FieldProblem('a quoted field is not closed', open)
  }

  #inside(text: string): string {
    const { quote, escapeChar } = this.#dialect
    if (!text.includes(escapeChar)) return text
    return quote === escapeChar ? text.replaceAll(quote + quote, quote) : text.replace(this.#unescape, '$1')
  }
}

/** What a record has most of, outside of quotes. */
export function guessDelimiter(text: string, quote: string): string {
  const bare =
    quote === ''
      ? text
      : text
          .split(quote)
          .filter((_, index) => index % 2 === 0)
          .join('')
  const counts = DELIMITERS.map(delimiter => countOf(bare, delimiter))
  const most = Math.max(...counts)
  return DELIMITERS[counts.indexOf(most)]!
}

/** Where a quote is; past the end if there is none. */
function indexOrEnd(text: string, quote: string, from: number): number {
  const found = quote === '' ? -1 : text.indexOf(quote, from)
  return found === -1 ? text.length : found
}

function skipSpace(text: string, from: number, delimiter: string): number {
  let at = from
  while ((text[at] === ' ' || text[at] === '\t') && !text.startsWith(delimiter, at)) at++
  return at
}

/** How often a part is in a text. */
export function countOf(text: string, part: string): number {
  let count = 0
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + part.length)) count++
  return count
}
