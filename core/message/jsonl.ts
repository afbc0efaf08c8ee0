/** JSON Lines, also called NDJSON: a JSON value on each line. */
import { SignalboxError } from '../errors.ts'
import { PendingBytes } from './byte-pending.ts'
import {
  type BodyLimits,
  DEFAULT_MAX_ELEMENTS,
  DEFAULT_MAX_RECORD_BYTES,
  type FormatCodec,
} from './format.ts'
import { checkJsonLimits, json } from './json.ts'
import { type RecordReader, recordsOf } from './records.ts'
import { overLimit } from './safety.ts'

const LF = 0x0a

/** `application/x-ndjson`, always UTF-8. An array of the values; empty lines are passed over. */
export const jsonl: FormatCodec = {
  mediaTypes: ['application/x-ndjson', 'application/jsonl', 'application/ndjson', 'application/x-jsonlines'],
  parse(bytes, limits) {
    const elements = checkJsonLimits(bytes, { ...limits, maxDepth: Number.POSITIVE_INFINITY }, 'JSON Lines')
    const records: unknown[] = []
    const reader = new JsonLineReader(limits)
    reader.push(bytes, records)
    reader.end(records)
    const { maxElements = DEFAULT_MAX_ELEMENTS } = limits
    // Nothing stands between the values of lines, so those were not counted.
    if (Math.max(1, elements) + records.length - 1 > maxElements)
      throw overLimit('JSON Lines', 'maxElements', maxElements, 'values')
    return records
  },
  build(value) {
    if (Array.isArray(value)) return value.map(lineOf).join('')
    throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', 'JSON Lines: only an array can be written')
  },
  split: (source, limits) => recordsOf(source, () => new JsonLineReader(limits)),
  async *join(records) {
    for await (const record of records) yield lineOf(record)
  },
}

function lineOf(value: unknown): string {
  return `${json.build(value)}\n`
}

class JsonLineReader implements RecordReader<Buffer> {
  readonly #limits: BodyLimits
  readonly #max: number
  readonly #pending = new PendingBytes()
  #line = 1
  #record = 0

  constructor(limits: BodyLimits) {
    this.#limits = limits
    this.#max = limits.maxRecordBytes ?? DEFAULT_MAX_RECORD_BYTES
  }

  push(piece: Buffer, out: unknown[]): void {
    let at = 0
    for (let end = piece.indexOf(LF); end !== -1; end = piece.indexOf(LF, at)) {
      this.#add(this.#pending.take(piece.subarray(at, end)), out)
      at = end + 1
    }
    this.#pending.add(piece.subarray(at))
    if (this.#pending.length > this.#max) throw this.#tooLong()
  }

  end(out: unknown[]): void {
    if (this.#pending.length > 0) this.#add(this.#pending.take(Buffer.alloc(0)), out)
  }

  #add(line: Buffer, out: unknown[]): void {
    if (line.length > this.#max) throw this.#tooLong()
    if (!isBlank(line)) {
      this.#record++
      out.push(this.#read(line))
    }
    this.#line++
  }

  #read(line: Buffer): unknown {
    try {
      return json.parse(line, this.#limits)
    } catch (error) {
      if (!(error instanceof SignalboxError)) throw error
      const { column } = error.details ?? {}
      const place = `line ${this.#line}${column === undefined ? '' : `, column ${column}`}`
      const why = error.message.replace(/^JSON: /, '').replace(/,? at line \d+, column \d+$/, '')
      throw new SignalboxError(error.code, `JSON Lines: ${why}, at ${place}`, {
        details: { ...error.details, line: this.#line, record: this.#record },
        cause: error.cause,
      })
    }
  }

  #tooLong(): SignalboxError {
    const details = { limit: 'maxRecordBytes', max: this.#max, line: this.#line, record: this.#record + 1 }
    const message = `JSON Lines: line ${this.#line} is longer than ${this.#max} bytes`
    return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', message, { details })
  }
}

/** Nothing but the white space of JSON. */
function isBlank(line: Buffer): boolean {
  return line.every(byte => byte === 0x20 || byte === 0x09 || byte === 0x0d)
}
