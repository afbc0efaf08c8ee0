/** What a driver of a database product gives to the rest of this folder: sessions that execute one statement at a time. */
import type { Logger } from '../../core/telemetry/log.ts'
import type { DatabaseSettings } from './options.ts'
import type { Statement } from './statement.ts'

/** A row, by the names of its columns. */
export type Row = Record<string, unknown>

export const ISOLATION_LEVELS = [
  'read uncommitted',
  'read committed',
  'repeatable read',
  'serializable',
  'snapshot',
] as const

/** How much a transaction sees of others. Products differ in what they offer; what they do not is refused. */
export type Isolation = (typeof ISOLATION_LEVELS)[number]

export interface TransactionMode {
  isolation?: Isolation | undefined
  readOnly?: boolean | undefined
}

/** What a statement gave. */
export interface Result {
  rows: Row[]
  /** Rows that were changed, or returned. */
  rowCount: number
  /** Generated key of the first inserted row, where the database tells: MySQL, MariaDB, SQLite. */
  insertId?: number | bigint
  /** All result sets of a stored procedure that gave several. */
  sets?: Row[][]
}

/** One connection to the database. Statements are given to it one after the other, never two at once. */
export interface Session {
  /** It is closed, or its state is not known any more: it is not used again. */
  readonly broken: boolean
  /** Executes a statement; the driver sends the values apart from the text. Rejects with the error of the library. */
  run(statement: Statement, timeoutMs: number): Promise<Result>
  /** Executes a statement and gives its rows in batches; the next batch is read when it is asked for. */
  stream(statement: Statement, batchRows: number): AsyncGenerator<Row[], void>
  /** Calls a stored procedure; `name` has been checked and is quoted by the driver. */
  call(name: string, values: readonly unknown[], timeoutMs: number): Promise<Result>
  begin(mode: TransactionMode): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Asks the server to give up the statement under way. Resolves when it was asked, or it is broken now. */
  cancel(): Promise<void>
  /** PostgreSQL: sends notifications of these channels to {@link SessionEvents.notified}. */
  listen?(channels: readonly string[]): Promise<void>
  /** PostgreSQL: reads nothing from the server until it is told to go on. */
  flow?(on: boolean): void
  close(): Promise<void>
}

/** What a session tells of itself while nobody asks. */
export interface SessionEvents {
  log: Logger
  /** The server or the network ended it. */
  lost(error: Error): void
  /** PostgreSQL: a notification arrived. */
  notified?(channel: string, payload: string): void
}

/** A database product. Made by the function `load` of its file, which loads the client library. */
export interface Driver {
  /** Opens a session. Rejects with the error of the library. */
  open(settings: DatabaseSettings, events: SessionEvents): Promise<Session>
}
