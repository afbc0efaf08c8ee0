/** Fixed-width text: every column has its place in a record. */
import { SignalboxError } from '../errors.ts'
import { charsetOf, decodeAll } from './charset.ts'
import { writeValue } from './columns.ts'
import { alignOf, type FixedColumn, type FixedOptions, FixedOptionsSchema } from './fixed-options.ts'
import { FixedReader } from './fixed-read.ts'
import type { FormatCodec } from './format.ts'
import { recordsOf, textReader } from './records.ts'

export type { FixedOptions } from './fixed-options.ts'

/** Objects by the names of the columns. Errors have `line` (without lines: `offset`), `column` and `record`. */
export const fixed: FormatCodec<FixedOptions> = {
  mediaTypes: ['text/x-fixed-width'],
  options: FixedOptionsSchema,
  parse(bytes, limits, given) {
    const options = checked(given)
    const records: unknown[] = []
    const reader = new FixedReader(options, limits, true)
    reader.push(decodeAll(bytes, charsetOf(options.charset), 'fixed'), records)
    reader.end(records)
    return records
  },
  build(value, given) {
    const options = checked(given)
    if (!Array.isArray(value)) {
      throw new SignalboxError(
        'SIGNALBOX_CODEC_UNENCODABLE',
        'fixed: only an array of records can be written',
      )
    }
    return encode(value.map((record, index) => recordText(record, index + 1, options)).join(''), options)
  },
  split(source, limits, given) {
    const options = checked(given)
    const charset = charsetOf(options.charset)
    return recordsOf(source, () => textReader(new FixedReader(options, limits, false), charset, 'fixed'))
  },
  async *join(records, given) {
    const options = checked(given)
    let index = 0
    for await (const record of records) yield encode(recordText(record, ++index, options), options)
  },
}

function checked(options: FixedOptions | undefined): FixedOptions {
  if (!options?.columns?.length) {
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_UNSUPPORTED',
      'fixed: records of fixed width mean nothing without the option columns',
    )
  }
  const names = new Set(options.columns.map(({ name }) => name))
  if (names.size < options.columns.length || names.has('__proto__')) {
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', 'fixed: the names of columns must differ')
  }
  return options
}

function encode(text: string, { charset, unmappable }: FixedOptions): string | Buffer {
  return charsetOf(charset).encode(text, 'fixed', unmappable)
}

function recordText(record: unknown, number: number, options: FixedOptions): string {
  const { columns, separator = 'line', newline = '\n' } = options
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    throw unencodable(number, 'is not an object')
  }
  const names = new Set(columns.map(({ name }) => name))
  const unknown = Object.keys(record).find(name => !names.has(name))
  if (unknown !== undefined) {
    throw unencodable(number, `has the field ${JSON.stringify(unknown.slice(0, 80))}, which is no column`)
  }
  const fields = columns.map(column => {
    const value = Object.hasOwn(record, column.name) ? (record as Record<string, unknown>)[column.name] : null
    return fieldText(value, number, column, separator === 'line')
  })
  return fields.join('') + (separator === 'line' ? newline : '')
}

function fieldText(value: unknown, number: number, column: FixedColumn, lines: boolean): string {
  const { name, width, pad = ' ' } = column
  const text = writeValue(value, column, [], `fixed: record ${number}, ${JSON.stringify(name)}`)
  if (text.length > width) throw unencodable(number, `has in '${name}' more than ${width} characters`)
  if (lines && /[\r\n]/.test(text)) throw unencodable(number, `has a line break in '${name}'`)
  if (alignOf(column) === 'left') return text.padEnd(width, pad)
  // Zeros go between the sign and the digits.
  const signed =
    pad === '0' && /^[+-]\d/.test(text) && (column.type === 'number' || column.type === 'integer')
  return signed ? text[0] + text.slice(1).padStart(width - 1, pad) : text.padStart(width, pad)
}

function unencodable(record: number, why: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `fixed: record ${record} ${why}`, {
    details: { record },
  })
}
