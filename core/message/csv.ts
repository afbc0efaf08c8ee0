/** CSV (RFC 4180) and other delimited text, as objects by the header or as arrays. */
import { SignalboxError } from '../errors.ts'
import { decodeAll } from './charset.ts'
import { type CsvDialect, type CsvOptions, csvDialect, csvOptionsSchema } from './csv-options.ts'
import { CsvReader } from './csv-read.ts'
import { CsvWriter } from './csv-write.ts'
import type { FormatCodec } from './format.ts'
import { recordsOf, textReader } from './records.ts'

export type { CsvOptions } from './csv-options.ts'

/**
 * `text/csv` with a header. Objects have the fields as strings, or as `columns` says. Errors have `line`, `column` and
 * `record`, counted from 1; the header is record 0.
 */
export const csv: FormatCodec<CsvOptions> = delimited('CSV', ['text/csv', 'application/csv'], ',')

/** `text/tab-separated-values`: CSV with tabs. */
export const tsv: FormatCodec<CsvOptions> = delimited('TSV', ['text/tab-separated-values', 'text/tsv'], '\t')

function delimited(
  what: string,
  mediaTypes: [string, ...string[]],
  delimiter: string,
): FormatCodec<CsvOptions> {
  const schema = csvOptionsSchema(delimiter)
  const usual = csvDialect(what, schema)
  // Options that were checked are frozen, so what was made of them once still holds.
  const made = new WeakMap<CsvOptions, CsvDialect>()
  const dialectOf = (options?: CsvOptions) => {
    if (options === undefined) return usual
    const dialect = made.get(options) ?? csvDialect(what, schema, options)
    if (Object.isFrozen(options)) made.set(options, dialect)
    return dialect
  }
  return {
    mediaTypes,
    options: schema,
    parse(bytes, limits, options) {
      const dialect = dialectOf(options)
      const records: unknown[] = []
      const reader = new CsvReader(dialect, limits, true)
      const text = decodeAll(bytes, dialect.charset, what)
      if (text !== '') reader.push(text, records)
      reader.end(records)
      return records
    },
    build(value, options) {
      const dialect = dialectOf(options)
      if (!Array.isArray(value)) {
        throw new SignalboxError(
          'SIGNALBOX_CODEC_UNENCODABLE',
          `${what}: only an array of records can be written`,
        )
      }
      const writer = new CsvWriter(dialect)
      return encode(
        dialect,
        value.length === 0 ? emptyTable(dialect) : value.map(r => writer.record(r)).join(''),
      )
    },
    split(source, limits, options) {
      const dialect = dialectOf(options)
      return recordsOf(source, () => textReader(new CsvReader(dialect, limits, false), dialect.charset, what))
    },
    join: (records, options) => joined(records, dialectOf(options)),
  }
}

async function* joined(records: AsyncIterable<unknown> | Iterable<unknown>, dialect: CsvDialect) {
  const writer = new CsvWriter(dialect)
  let any = false
  for await (const record of records) {
    any = true
    yield encode(dialect, writer.record(record))
  }
  if (!any) yield encode(dialect, emptyTable(dialect))
}

/** Nothing tells the names when there is no record. */
function emptyTable({ bom }: CsvDialect): string {
  return bom ? '\ufeff' : ''
}

function encode({ charset, what, unmappable }: CsvDialect, text: string): string | Buffer {
  return charset.encode(text, what, unmappable)
}
