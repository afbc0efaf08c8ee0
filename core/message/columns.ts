/** Values in columns of text: from text, strictly, and to text. CSV and fixed-width share them. */
import { SignalboxError } from '../errors.ts'
import { type Static, Type } from '../schema.ts'

/** What a column says about its values. */
export const COLUMN_TYPE = {
  type: Type.Optional(
    Type.Union(
      ['string', 'number', 'integer', 'boolean', 'date'].map(type => Type.Literal(type)),
      {
        default: 'string',
        description:
          'number: decimal digits; integer: at most 2^53 - 1; boolean: true, yes, y, 1 or false, no, n, 0; date: ISO 8601 date or date and time, as a Date',
      },
    ),
  ),
  nulls: Type.Optional(
    Type.Array(Type.String(), {
      description:
        'Texts that stand for null; the first is written for it. Default: none for strings, the empty text for other types',
    }),
  ),
  decimal: Type.Optional(
    Type.Union([Type.Literal('.'), Type.Literal(',')], {
      default: '.',
      description: 'What stands between the digits of numbers and their fraction',
    }),
  ),
}
const ColumnTypeSchema = Type.Object(COLUMN_TYPE)
export type ColumnType = Omit<Static<typeof ColumnTypeSchema>, 'type'> & {
  type?: 'string' | 'number' | 'integer' | 'boolean' | 'date'
}

/** From the text of a field to its value. Throws {@link NotOfType}. */
export type ReadValue = (text: string) => unknown

/** A field whose text is not of the type of its column; the reader that knows where it stands makes it an error. */
export class NotOfType extends Error {}

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,4})?$/
const INTEGER = /^[+-]?\d+$/
const DATE = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?$/
const YES = new Set(['true', 'yes', 'y', '1'])
const NO = new Set(['false', 'no', 'n', '0'])

const READ: Record<'number' | 'integer' | 'boolean' | 'date', ReadValue> = {
  number(text) {
    const value = NUMBER.test(text) ? Number(text) : Number.NaN
    if (!Number.isFinite(value)) throw new NotOfType('is not a number')
    return value
  },
  integer(text) {
    const value = INTEGER.test(text) ? Number(text) : Number.NaN
    if (!Number.isSafeInteger(value)) throw new NotOfType('is not an integer up to 2^53 - 1')
    return value
  },
  boolean(text) {
    const lower = text.toLowerCase()
    if (YES.has(lower)) return true
    if (NO.has(lower)) return false
    throw new NotOfType('is neither true nor false')
  },
  date(text) {
    const date = new Date(DATE.test(text) ? withZone(text) : Number.NaN)
    // The engine takes the 30th of February for the 1st or 2nd of March.
    if (Number.isNaN(date.getTime()) || !isDayOfMonth(text)) throw new NotOfType('is not an ISO 8601 date')
    return date
  },
}

/** Times without a zone are UTC: what a message means must not depend on where the bus runs. */
function withZone(text: string): string {
  const iso = text.replace(' ', 'T')
  return iso.length === 10 || /(?:Z|[+-]\d\d:?\d\d)$/.test(iso.slice(11)) ? iso : `${iso}Z`
}

function isDayOfMonth(text: string): boolean {
  const [year, month, day] = [text.slice(0, 4), text.slice(5, 7), text.slice(8, 10)].map(Number)
  return day! <= new Date(Date.UTC(2000 + (year! % 400), month!, 0)).getUTCDate()
}

/** Undefined: the text is the value. `plain`: texts for null of columns that say nothing themselves. */
export function valueReader(
  { type = 'string', nulls, decimal = '.' }: ColumnType,
  plain: readonly string[] = [],
): ReadValue | undefined {
  const read = type === 'string' ? undefined : READ[type]
  const absent = nulls ?? (plain.length > 0 || read === undefined ? plain : [''])
  if (read === undefined && absent.length === 0) return undefined
  const comma = decimal === ',' && type === 'number'
  return text => {
    if (absent.includes(text)) return null
    if (read === undefined) return text
    if (!comma) return read(text)
    if (text.includes('.')) throw new NotOfType('is not a number')
    return read(text.replace(',', '.'))
  }
}

/**
 * The text of a value; `where` says which one in errors. Throws SIGNALBOX_CODEC_UNENCODABLE for objects, and for
 * values that are not of the type of their column, because they could not be read again.
 */
export function writeValue(
  value: unknown,
  column: ColumnType,
  plain: readonly string[],
  where: string,
): string {
  const { type = 'string', nulls = plain, decimal } = column
  if (value === null || value === undefined) return nulls[0] ?? ''
  if (value instanceof Date) {
    if (!Number.isNaN(value.getTime())) return value.toISOString()
    throw unencodable(where, 'is not a valid date')
  }
  if (typeof value === 'object' || typeof value === 'function' || typeof value === 'symbol') {
    throw unencodable(where, 'is not a text, number, boolean or date')
  }
  const text = String(value)
  if (type === 'string') return text
  try {
    READ[type](text)
  } catch (error) {
    if (error instanceof NotOfType) throw unencodable(where, error.message)
    throw error
  }
  return decimal === ',' && type === 'number' ? text.replace('.', ',') : text
}

function unencodable(where: string, why: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `${where} ${why}`, { details: { path: where } })
}
