/** From fields to records: the code for one header, made once for a table. */
import type { ReadValue } from './columns.ts'

/** Where the next delimiter is: what was searched once is not searched again. */
export interface Cursor {
  /** Offset of the first delimiter that has not been passed; {@link NOWHERE}: there is none. */
  next: number
}

/** Past every offset. */
export const NOWHERE = 2 ** 30

/** Makes a record of the text between two offsets; undefined: it has not as many fields as there are columns. */
export type ReadRow = (text: string, from: number, end: number, cursor: Cursor) => unknown

/** Makes a record of as many fields as there are columns. */
export type MakeRecord = (fields: readonly string[]) => unknown

/** What a table looks like. */
export interface RowShape {
  /** Undefined: records are arrays. */
  names: readonly string[] | undefined
  count: number
  delimiter: string
  trim: boolean
  /** By column; undefined: the text is the value. */
  readers: readonly (ReadValue | undefined)[]
}

/** More columns than this are read in a loop: code for them would cost more than it saves. */
export const MAX_COMPILED_COLUMNS = 256

/**
 * Compiles the reader of rows without quotes, and the maker of records. Names come from outside; in the code they
 * stand only as JSON strings.
 */
export function compileRow(shape: RowShape): { row: ReadRow; make: MakeRecord } {
  const code = `'use strict'\nreturn { row: ${rowCode(shape)}, make: f => (${makeCode(shape)}) }`
  return new Function('r', 'd', code)(shape.readers, shape.delimiter) as { row: ReadRow; make: MakeRecord }
}

function makeCode({ names, count, readers }: RowShape): string {
  const fields = Array.from({ length: count }, (_, column) =>
    readers[column] ? `r[${column}](f[${column}])` : `f[${column}]`,
  )
  return recordCode(names, fields)
}

function recordCode(names: RowShape['names'], values: readonly string[]): string {
  if (names === undefined) return `[${values.join(', ')}]`
  return `{ ${values.map((value, column) => `${JSON.stringify(names[column])}: ${value}`).join(', ')} }`
}

function rowCode({ names, count, delimiter, trim, readers }: RowShape): string {
  const field = (column: number, from: string, to: string) => {
    const text = `t.substring(${from}, ${to})${trim ? '.trim()' : ''}`
    return readers[column] ? `r[${column}](${text})` : text
  }
  const step = delimiter.length
  const body: string[] = ['let p0 = c.next']
  const values: string[] = []
  for (let column = 0; column < count; column++) {
    const from = column === 0 ? 'a' : `p${column - 1} + ${step}`
    const last = column === count - 1
    if (!last) {
      body.push(`if (p${column} >= z) return undefined`)
      body.push(`let p${column + 1} = t.indexOf(d, p${column} + ${step})`)
      body.push(`if (p${column + 1} === -1) p${column + 1} = ${NOWHERE}`)
    } else {
      body.push(`if (p${column} < z) return undefined`)
    }
    values.push(field(column, from, last ? 'z' : `p${column}`))
  }
  body.push(`c.next = p${count - 1}`)
  body.push(`return ${recordCode(names, values)}`)
  return `(t, a, z, c) => {\n${body.join('\n')}\n}`
}
