/** Options of CSV, and what the codec makes of them once. */
import { SignalboxError } from '../errors.ts'
import { Type } from '../schema.ts'
import { CHARSET_OPTIONS, type Charset, charsetOf } from './charset.ts'
import { COLUMN_TYPE, type ColumnType } from './columns.ts'

/** Options of `csv` and `tsv`. All have defaults. */
export interface CsvOptions {
  delimiter?: string
  quote?: string
  escape?: string
  header?: boolean | string[]
  columns?: Record<string, CsvColumn>
  nulls?: string[]
  comment?: string
  trim?: boolean
  skipEmptyLines?: boolean
  ragged?: 'error' | 'pad' | 'fit'
  newline?: '\r\n' | '\n' | '\r'
  quoteAll?: boolean
  formulas?: 'keep' | 'escape'
  bom?: boolean
  charset?: string
  unmappable?: string
}

/** A column by its name (without a header by its number from 0). */
export interface CsvColumn extends ColumnType {
  required?: boolean
}

const literals = (...values: string[]) => Type.Union(values.map(value => Type.Literal(value)))
const optional = Type.Optional

/** The schema of {@link CsvOptions}; `delimiter` is the default one. */
export function csvOptionsSchema(delimiter: string) {
  return Type.Object(
    {
      delimiter: optional(
        Type.String({
          default: delimiter,
          minLength: 1,
          maxLength: 16,
          description: "What stands between fields; 'auto': what the first record has most of , ; tab and |",
        }),
      ),
      quote: optional(
        Type.String({ default: '"', maxLength: 1, description: 'Encloses fields; empty: nothing does' }),
      ),
      escape: optional(
        Type.String({
          minLength: 1,
          maxLength: 1,
          description:
            'Stands before a quote, or another escape, that belongs to a quoted field. Default: the quote',
        }),
      ),
      header: optional(
        Type.Union([Type.Boolean(), Type.Array(Type.String(), { minItems: 1 })], {
          default: true,
          description:
            'true: the first record names the columns; false: records are arrays; names: there is no header, but records have these names',
        }),
      ),
      columns: optional(
        Type.Record(
          Type.String(),
          Type.Object(
            {
              ...COLUMN_TYPE,
              required: optional(
                Type.Boolean({ default: false, description: 'Refuse tables that do not have the column' }),
              ),
            },
            { additionalProperties: false },
          ),
          { default: {}, description: 'Types by name of the column; without a header by its number from 0' },
        ),
      ),
      nulls: optional(
        Type.Array(Type.String(), { default: [], description: 'Texts that stand for null in all columns' }),
      ),
      comment: optional(
        Type.String({ minLength: 1, maxLength: 16, description: 'Lines that start so are passed over' }),
      ),
      trim: optional(Type.Boolean({ default: false, description: 'Drop white space around fields' })),
      skipEmptyLines: optional(Type.Boolean({ default: true })),
      ragged: optional(
        Type.Union([Type.Literal('error'), Type.Literal('pad'), Type.Literal('fit')], {
          default: 'error',
          description:
            'Records with another number of fields than columns: error: refuse; pad: add empty fields; fit: add empty fields or drop those too many',
        }),
      ),
      newline: optional(
        Type.Union([literals('\r\n', '\n', '\r')], {
          default: '\r\n',
          description: 'Ends records that are written. Those read end with LF or CRLF; with CR if this is CR',
        }),
      ),
      quoteAll: optional(Type.Boolean({ default: false, description: 'Quote every field that is written' })),
      formulas: optional(
        Type.Union([Type.Literal('keep'), Type.Literal('escape')], {
          default: 'keep',
          description:
            "escape: texts that a spreadsheet would run as a formula are written with a ' before them (OWASP, CSV injection)",
        }),
      ),
      bom: optional(Type.Boolean({ default: false, description: 'Write a byte order mark, for Excel' })),
      ...CHARSET_OPTIONS,
    },
    { additionalProperties: false },
  )
}

/** Options with everything decided. */
export interface CsvDialect {
  /** `CSV` or `TSV`, for messages. */
  what: string
  delimiter: string
  quote: string
  escapeChar: string
  header: boolean | readonly string[]
  columns: Readonly<Record<string, CsvColumn>>
  nulls: readonly string[]
  comment: string | undefined
  trim: boolean
  skipEmptyLines: boolean
  ragged: 'error' | 'pad' | 'fit'
  newline: string
  /** What ends a record that is read; a CR before LF belongs to it. */
  lineEnd: string
  quoteAll: boolean
  formulas: 'keep' | 'escape'
  bom: boolean
  charset: Charset
  unmappable: string | undefined
}

type Defaults = Required<Pick<CsvOptions, 'header' | 'ragged' | 'newline' | 'formulas' | 'quote'>>

/** Throws SIGNALBOX_OPTIONS_INVALID for options that contradict each other. */
export function csvDialect(
  what: string,
  schema: ReturnType<typeof csvOptionsSchema>,
  options: CsvOptions = {},
): CsvDialect {
  const defaults = Object.fromEntries(
    Object.entries(schema.properties).map(([name, property]) => [
      name,
      (property as { default?: unknown }).default,
    ]),
  ) as Defaults & Required<Pick<CsvOptions, 'delimiter'>>
  const { charset, ...all } = { ...defaults, ...options }
  const quote = all.quote
  const dialect: CsvDialect = {
    what,
    delimiter: all.delimiter,
    quote,
    escapeChar: all.escape ?? quote,
    header: all.header,
    columns: all.columns ?? {},
    nulls: all.nulls ?? [],
    comment: all.comment,
    trim: all.trim ?? false,
    skipEmptyLines: all.skipEmptyLines ?? true,
    ragged: all.ragged,
    newline: all.newline,
    lineEnd: all.newline === '\r' ? '\r' : '\n',
    quoteAll: all.quoteAll ?? false,
    formulas: all.formulas,
    bom: all.bom ?? false,
    charset: charsetOf(charset),
    unmappable: all.unmappable,
  }
  checkDialect(dialect)
  return dialect
}

function checkDialect({
  delimiter,
  quote,
  escapeChar,
  quoteAll,
  comment,
  header,
  unmappable = '',
  what,
}: CsvDialect): void {
  const wrong = (why: string) => new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `${what}: ${why}`)
  const breaks = /[\r\n]/
  if (breaks.test(delimiter)) throw wrong('delimiter must not have line breaks')
  if (breaks.test(quote + escapeChar + (comment ?? ''))) {
    throw wrong('quote, escape and comment must not be line breaks')
  }
  if (quote !== '' && delimiter.includes(quote)) throw wrong('delimiter and quote must differ')
  if (delimiter.includes(escapeChar) && quote !== '') throw wrong('delimiter and escape must differ')
  if (breaks.test(unmappable) || (quote && unmappable.includes(quote)) || unmappable.includes(delimiter)) {
    throw wrong('unmappable must not have line breaks, delimiter or quote')
  }
  if (Array.isArray(header)) {
    if (header.includes('__proto__')) throw wrong("the column name '__proto__' is not allowed")
    if (new Set(header).size < header.length) throw wrong('a column name is in header twice')
  }
  if (quote === '' && quoteAll) throw wrong('quoteAll needs a quote')
  if (comment !== undefined && quote !== '' && comment.startsWith(quote)) {
    throw wrong('comment must not start with the quote')
  }
}
