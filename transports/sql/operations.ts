/** What can be done with a database, on its own or in a transaction. */
import type { Kysely } from 'kysely'
import { SignalboxError } from '../../core/errors.ts'
import { nearest } from '../../core/schema.ts'
import { insertStatements } from './insert.ts'
import type { NamedQueries } from './named-queries.ts'
import type { SqlConnectionSettings } from './options.ts'
import type { Result, Row } from './session.ts'
import { bind, type Parameters, type Statement } from './statement.ts'

/** SQL text, or the name of a query in the queries folder. */
export type Sql = string | { readonly name: string }

export interface StatementOptions {
  /** Longest time, in milliseconds. Default: timeoutMs of the connection. */
  timeoutMs?: number
  /** Cancels the statement on the server. Default: the call of the service that executes it. */
  signal?: AbortSignal
  /** Correlation id, for the log and the outbox. Default: that of the message. */
  cid?: string
  /** Trace context, for the outbox. Default: that of the message. */
  headers?: Readonly<Record<string, string>>
}

/** What a statement that changes rows did. */
export interface Changes {
  rowCount: number
  /** Generated key of the first inserted row: MySQL, MariaDB and SQLite. Elsewhere use `returning`. */
  insertId?: number | bigint
}

export interface InsertOptions extends StatementOptions {
  /** Columns of the inserted rows to give back, e.g. generated keys. Not with MySQL and Oracle. */
  returning?: readonly string[]
}

export interface Inserted extends Changes {
  /** What `returning` asked for, in the order of the rows. */
  rows: Row[]
}

/** What a stored procedure gave. */
export interface Called {
  rows: Row[]
  /** All its result sets. */
  sets: Row[][]
  rowCount: number
}

/** What a connection and a transaction have in common. */
export abstract class SqlOperations {
  protected readonly settings: SqlConnectionSettings
  protected readonly queries: () => NamedQueries

  constructor(settings: SqlConnectionSettings, queries: () => NamedQueries) {
    this.settings = settings
    this.queries = queries
  }

  /** @internal Executes one statement. */
  protected abstract run(statement: Statement, options: StatementOptions): Promise<Result>

  /** @internal Calls a stored procedure whose name was checked. */
  protected abstract runProcedure(
    name: string,
    values: readonly unknown[],
    options: StatementOptions,
  ): Promise<Result>

  /** @internal Runs statements that belong together. */
  protected abstract together<T>(
    work: (run: (statement: Statement) => Promise<Result>) => Promise<T>,
    options: StatementOptions,
  ): Promise<T>

  /** Kysely, typed by the interface of your tables, on this connection or in this transaction. */
  abstract kysely<Tables>(): Kysely<Tables>

  /**
   * The rows of a statement. Parameters: `:name` with an object, `$1` (or `?`, but for PostgreSQL) with a list.
   * Rejects with SIGNALBOX_SQL_STATEMENT_INVALID, _SQL_FAILED, _SQL_CONSTRAINT, _SQL_CONFLICT,
   * SIGNALBOX_TIMEOUT_DEADLINE, SIGNALBOX_CANCELLED, SIGNALBOX_NOT_CONNECTED, SIGNALBOX_OVERLOADED (no free session).
   */
  async query<R = Row>(sql: Sql, parameters?: Parameters, options: StatementOptions = {}): Promise<R[]> {
    const { rows } = await this.run(this.bound(sql, parameters), options)
    return rows as R[]
  }

  /** The only row; undefined when there is none. Rejects with SIGNALBOX_CONFLICT when there are several. */
  async one<R = Row>(
    sql: Sql,
    parameters?: Parameters,
    options: StatementOptions = {},
  ): Promise<R | undefined> {
    const rows = await this.query<R>(sql, parameters, options)
    if (rows.length > 1)
      throw new SignalboxError(
        'SIGNALBOX_CONFLICT',
        `one row was expected, there are ${rows.length}: ${labelOf(sql)}`,
      )
    return rows[0]
  }

  /** The first column of the only row; undefined when there is no row. */
  async value<V = unknown>(
    sql: Sql,
    parameters?: Parameters,
    options: StatementOptions = {},
  ): Promise<V | undefined> {
    const row = await this.one<Row>(sql, parameters, options)
    return row === undefined ? undefined : (Object.values(row)[0] as V)
  }

  /** Executes a statement that changes rows, and says how many. */
  async execute(sql: Sql, parameters?: Parameters, options: StatementOptions = {}): Promise<Changes> {
    return changesOf(await this.run(this.bound(sql, parameters), options))
  }

  /** The rows of a query of the queries folder. */
  named<R = Row>(name: string, parameters?: Parameters, options: StatementOptions = {}): Promise<R[]> {
    return this.query<R>({ name }, parameters, options)
  }

  /**
   * Inserts one row or many, all or none, in as few statements as the database allows. Table and columns must be in
   * the option `tables`; every row has the columns of the first.
   */
  async insert(table: string, rows: Row | readonly Row[], options: InsertOptions = {}): Promise<Inserted> {
    const list = Array.isArray(rows) ? (rows as readonly Row[]) : [rows as Row]
    const statements = insertStatements(this.settings, table, list, options.returning)
    if (statements.length === 0) return { rowCount: 0, rows: [] }
    return this.together(async run => {
      const results: Result[] = []
      for (const statement of statements) results.push(await run(statement))
      const rowCount = results.reduce((sum, result) => sum + result.rowCount, 0)
      return { ...changesOf(results[0]!), rowCount, rows: results.flatMap(result => result.rows) }
    }, options)
  }

  /** Calls a stored procedure of the option `procedures`, with its parameters in order. */
  async call(
    procedure: string,
    values: readonly unknown[] = [],
    options: StatementOptions = {},
  ): Promise<Called> {
    const { procedures } = this.settings
    if (!procedures.includes(procedure)) {
      const near = nearest(String(procedure), procedures)
      const hint = near ? `; did you mean '${near}'?` : ''
      throw refused(`the procedure '${String(procedure)}' is not in the option procedures${hint}`)
    }
    if (values.some(value => value === undefined || typeof value === 'function' || typeof value === 'symbol'))
      throw refused(`a parameter of ${procedure} is no value; for NULL give null`)
    const { rows, sets, rowCount } = await this.runProcedure(procedure, values, options)
    return { rows, sets: sets ?? [rows], rowCount }
  }

  /** @internal */
  protected bound(sql: Sql, parameters: Parameters | undefined): Statement {
    if (typeof sql === 'object' && sql !== null) return this.queries().bind(sql.name, parameters)
    return bind(this.settings.dialect, sql, parameters)
  }
}

function changesOf({ rowCount, insertId }: Result): Changes {
  return { rowCount, ...(insertId !== undefined && { insertId }) }
}

function labelOf(sql: Sql): string {
  return (typeof sql === 'string' ? sql : sql.name).slice(0, 200)
}

/** @internal */
export function refused(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_SQL_STATEMENT_INVALID', message)
}
