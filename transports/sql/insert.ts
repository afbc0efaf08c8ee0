/** Inserts of many rows: statements with placeholders, names from the list of the options. */
import { SignalboxError } from '../../core/errors.ts'
import { nearest } from '../../core/schema.ts'
import type { Dialect, SqlConnectionSettings } from './options.ts'
import { statementBuilder, statementOf } from './query-layer.ts'
import type { Row } from './session.ts'
import type { Statement } from './statement.ts'

/** How many placeholders one statement may have, and how many rows. */
const LIMITS: Readonly<Record<Dialect, { values: number; rows: number }>> = {
  postgresql: { values: 65_000, rows: 5_000 },
  mysql: { values: 65_000, rows: 5_000 },
  mariadb: { values: 65_000, rows: 5_000 },
  mssql: { values: 2_000, rows: 1_000 },
  // One row for each statement: there is no list of rows before version 23.
  oracle: { values: 65_000, rows: 1 },
  sqlite: { values: 32_000, rows: 5_000 },
}

const RETURNING: ReadonlySet<Dialect> = new Set(['postgresql', 'mariadb', 'sqlite', 'mssql'])

/** The statements that insert `rows`. Throws SIGNALBOX_SQL_STATEMENT_INVALID for a name that is not in `tables`. */
export function insertStatements(
  { dialect, tables }: Pick<SqlConnectionSettings, 'dialect' | 'tables'>,
  table: string,
  rows: readonly Row[],
  returning: readonly string[] = [],
): Statement[] {
  const allowed = Object.hasOwn(tables, table) ? tables[table]! : undefined
  if (!allowed)
    throw unlisted(`table '${String(table)}' is not in the option tables`, table, Object.keys(tables))
  if (returning.length > 0 && !RETURNING.has(dialect))
    throw invalid(`${dialect} cannot return columns of inserted rows; see the README for generated keys`)
  const columns = rows.length === 0 ? [] : Object.keys(rows[0]!)
  if (rows.length > 0 && columns.length === 0) throw invalid(`a row for ${table} has no columns`)
  for (const column of [...columns, ...returning]) {
    if (!allowed.includes(column))
      throw unlisted(`column '${column}' of ${table} is not in the option tables`, column, allowed)
  }
  const builder = statementBuilder(dialect)
  const limit = LIMITS[dialect]
  const size = Math.max(1, Math.min(limit.rows, Math.floor(limit.values / Math.max(1, columns.length))))
  const statements: Statement[] = []
  for (let from = 0; from < rows.length; from += size) {
    const values = rows.slice(from, from + size).map((row, i) => checked(row, columns, table, from + i))
    const query = builder.insertInto(table).values(values)
    const wanted = returning as string[]
    const output = () => query.output(wanted.map(name => `inserted.${name}` as const))
    const full = wanted.length === 0 ? query : dialect === 'mssql' ? output() : query.returning(wanted)
    statements.push({ ...statementOf(full.compile()), source: `insert into ${table}` })
  }
  return statements
}

/** The row with its columns in one order, as a plain object: nothing in it is taken for an expression of Kysely. */
function checked(row: Row, columns: readonly string[], table: string, index: number): Row {
  if (Object.keys(row).length !== columns.length || !columns.every(name => Object.hasOwn(row, name)))
    throw invalid(`row ${index} for ${table} has other columns than the first`)
  return Object.fromEntries(columns.map(name => [name, plain(row[name], name, index)]))
}

function plain(value: unknown, column: string, index: number): unknown {
  if (value === undefined || typeof value === 'function' || typeof value === 'symbol')
    throw invalid(`row ${index}: ${column} is ${typeof value}; for NULL give null`)
  if (typeof value === 'object' && value !== null && 'toOperationNode' in value)
    throw invalid(`row ${index}: ${column} is an expression, not a value`)
  return value
}

function unlisted(message: string, name: string, known: readonly string[]): SignalboxError {
  const near = nearest(String(name), known)
  return invalid(`${message}${near ? `; did you mean '${near}'?` : ''}`)
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_SQL_STATEMENT_INVALID', message)
}
