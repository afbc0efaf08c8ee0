/** The documents of a YAML stream, one by one, while the text comes in. */
import { SignalboxError } from '../errors.ts'
import { type BodyLimits, DEFAULT_MAX_RECORD_BYTES } from './format.ts'
import type { RecordReader } from './records.ts'
import { LineReader } from './text-lines.ts'

/** A line that starts or ends a document, wherever it stands (YAML 1.2.2, section 9.1.2). */
const MARKER = /^(?:---|\.\.\.)(?:[ \t\r]|$)/

export class YamlDocumentReader implements RecordReader<string> {
  readonly #parse: (text: string, line: number) => unknown
  readonly #max: number
  readonly #lines: LineReader
  #document: string[] = []
  #length = 0
  #firstLine = 1
  #line = 0
  /** Whether there is a document: a line that starts one, or one of content. */
  #open = false
  #record = 0

  /** `parse` gets the text of a document and the line where it starts. */
  constructor(limits: BodyLimits, parse: (text: string, line: number) => unknown) {
    this.#parse = parse
    this.#max = limits.maxRecordBytes ?? DEFAULT_MAX_RECORD_BYTES
    this.#lines = new LineReader({ ...limits, maxRecordBytes: this.#max }, 'YAML', 'maxRecordBytes', true)
  }

  push(piece: string, out: unknown[]): void {
    const lines: string[] = []
    this.#lines.push(piece, lines)
    for (const line of lines) this.#add(line, out)
  }

  end(out: unknown[]): void {
    const lines: string[] = []
    this.#lines.end(lines)
    for (const line of lines) this.#add(line, out)
    this.#give(out, lines.length > 0 ? '' : '\n')
  }

  #add(line: string, out: unknown[]): void {
    this.#line++
    const marker = MARKER.test(line)
    const starts = marker && line.startsWith('-')
    // Directives and comments before a document belong to it.
    if (starts && this.#open) {
      this.#give(out)
      this.#firstLine = this.#line
    }
    this.#document.push(line)
    this.#length += line.length + 1
    if (this.#length > this.#max) throw this.#tooLarge()
    this.#open ||= starts || (!marker && !/^(?:\s*(?:#|$)|%)/.test(line))
    if (marker && !starts) {
      if (this.#open) this.#give(out)
      else this.#forget()
    }
  }

  #give(out: unknown[], lastEnd = '\n'): void {
    if (!this.#open) return
    const text = this.#document.join('\n') + lastEnd
    const line = this.#firstLine
    this.#record++
    this.#forget()
    try {
      out.push(this.#parse(text, line))
    } catch (error) {
      if (!(error instanceof SignalboxError)) throw error
      const details = { line, ...error.details, record: this.#record }
      throw new SignalboxError(error.code, error.message, { details, cause: error.cause })
    }
  }

  #forget(): void {
    this.#document = []
    this.#length = 0
    this.#open = false
    this.#firstLine = this.#line + 1
  }

  #tooLarge(): SignalboxError {
    return new SignalboxError(
      'SIGNALBOX_FORMAT_LIMIT',
      `YAML: the document at line ${this.#firstLine} is larger than ${this.#max} characters`,
      {
        details: {
          limit: 'maxRecordBytes',
          max: this.#max,
          line: this.#firstLine,
          record: this.#record + 1,
        },
      },
    )
  }
}
