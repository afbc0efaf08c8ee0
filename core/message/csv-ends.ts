/** Where records of CSV end, by counting quotes: that needs no look at the pieces before. */
import type { CsvDialect } from './csv-options.ts'
import { NOWHERE } from './csv-row.ts'

export class RecordEnds {
  readonly #dialect: CsvDialect
  /** Whether what comes next is inside a quoted field. */
  inQuotes = false
  #escaped = false

  constructor(dialect: CsvDialect) {
    this.#dialect = dialect
  }

  /** The next record starts. */
  reset(): void {
    this.inQuotes = this.#escaped = false
  }

  nextQuote(text: string, at: number): number {
    const { quote } = this.#dialect
    if (quote === '') return NOWHERE
    const found = text.indexOf(quote, at)
    return found === -1 ? NOWHERE : found
  }

  /** Where the record ends that goes on at an offset; -1: not in this piece. Keeps whether it is inside quotes. */
  find(text: string, from: number): number {
    const { lineEnd, quote, escapeChar } = this.#dialect
    let at = from
    let lineAt = -1
    let quoteAt = -1
    while (at < text.length) {
      if (this.inQuotes) {
        at = quote === escapeChar ? this.#closing(text, at) : this.#closingEscaped(text, at)
        continue
      }
      if (lineAt < at) lineAt = text.indexOf(lineEnd, at)
      if (quoteAt < at) quoteAt = this.nextQuote(text, at)
      if (lineAt !== -1 && lineAt < quoteAt) return lineAt
      if (quoteAt === NOWHERE) return -1
      this.inQuotes = true
      at = quoteAt + 1
    }
    return -1
  }

  // A doubled quote closes and opens again, which comes to the same.
  #closing(text: string, at: number): number {
    const end = text.indexOf(this.#dialect.quote, at)
    this.inQuotes = end === -1
    return end === -1 ? text.length : end + 1
  }

  #closingEscaped(text: string, from: number): number {
    const quote = this.#dialect.quote.charCodeAt(0)
    const escapeChar = this.#dialect.escapeChar.charCodeAt(0)
    for (let at = from; at < text.length; at++) {
      const code = text.charCodeAt(at)
      if (this.#escaped) this.#escaped = false
      else if (code === escapeChar) this.#escaped = true
      else if (code === quote) {
        this.inQuotes = false
        return at + 1
      }
    }
    return text.length
  }
}
