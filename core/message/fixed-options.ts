/** Options of fixed-width records. */
import { Type } from '../schema.ts'
import { CHARSET_OPTIONS, type CharsetOptions } from './charset.ts'
import { COLUMN_TYPE, type ColumnType } from './columns.ts'

/** A column; columns stand one after the other. */
export interface FixedColumn extends ColumnType {
  name: string
  width: number
  align?: 'left' | 'right'
  pad?: string
}

/** Options of `fixed`; it means nothing without `columns`. */
export interface FixedOptions extends CharsetOptions {
  columns: FixedColumn[]
  separator?: 'line' | 'none'
  newline?: '\r\n' | '\n'
  ragged?: 'error' | 'pad' | 'fit'
}

const optional = Type.Optional

/** The schema of {@link FixedOptions}. */
export const FixedOptionsSchema = Type.Object(
  {
    columns: Type.Array(
      Type.Object(
        {
          name: Type.String({ pattern: '^(?!__proto__$)' }),
          width: Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'In UTF-16 code units' }),
          align: optional(
            Type.Union([Type.Literal('left'), Type.Literal('right')], {
              description: 'Default: right for numbers and integers, left for the others',
            }),
          ),
          pad: optional(
            Type.String({ default: ' ', minLength: 1, maxLength: 1, description: 'Fills what is left' }),
          ),
          ...COLUMN_TYPE,
        },
        { additionalProperties: false },
      ),
      { minItems: 1, maxItems: 10_000 },
    ),
    separator: optional(
      Type.Union([Type.Literal('line'), Type.Literal('none')], {
        default: 'line',
        description: 'line: a record is a line, that ends with LF or CRLF; none: records follow each other',
      }),
    ),
    newline: optional(
      Type.Union([Type.Literal('\r\n'), Type.Literal('\n')], {
        default: '\n',
        description: 'Ends lines that are written',
      }),
    ),
    ragged: optional(
      Type.Union([Type.Literal('error'), Type.Literal('pad'), Type.Literal('fit')], {
        default: 'error',
        description:
          'Records of another length: error: refuse; pad: fields that are missing are empty; fit: and what is too much is dropped',
      }),
    ),
    ...CHARSET_OPTIONS,
  },
  { additionalProperties: false },
)

/** On which side of its place a field stands. */
export function alignOf({ align, type }: FixedColumn): 'left' | 'right' {
  return align ?? (type === 'number' || type === 'integer' ? 'right' : 'left')
}
