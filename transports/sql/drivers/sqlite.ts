/**
 * SQLite, by the module of Node.js. It works in the thread that calls it, so a statement holds up its worker; what it
 * waits for a lock, it waits without doing so.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DatabaseSettings } from '../options.ts'
import type { Driver, Result, Row, Session, TransactionMode } from '../session.ts'
import type { Statement } from '../statement.ts'
import { type BigintMode, bytesIn, integerOf, isJson } from '../values.ts'

type Sqlite = typeof import('node:sqlite')
type SqlValue = null | number | bigint | string | Uint8Array

const SQLITE_BUSY = 5
const FIRST_PAUSE_MS = 1
const LONGEST_PAUSE_MS = 50
const MAX_STATEMENTS = 200
const INSERT = /^\s*(insert|replace)\b/i

export async function load(): Promise<Driver> {
  const sqlite = await import('node:sqlite')
  return { open: async settings => new SqliteSession(sqlite, settings) }
}

class SqliteSession implements Session {
  readonly #database: DatabaseSync
  readonly #settings: DatabaseSettings
  readonly #statements = new Map<string, StatementSync>()
  #broken = false
  #cancelled = false

  constructor(sqlite: Sqlite, settings: DatabaseSettings) {
    this.#settings = settings
    this.#database = new sqlite.DatabaseSync(settings.databaseFile ?? ':memory:', { timeout: 0 })
    // Readers and one writer do not wait for each other, and what is committed survives a crash of the machine.
    this.#database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
  }

  get broken(): boolean {
    return this.#broken
  }

  run({ text, values }: Statement, timeoutMs: number): Promise<Result> {
    return this.#patiently(timeoutMs, end => this.#execute(text, values, end))
  }

  async *stream({ text, values }: Statement, batchRows: number): AsyncGenerator<Row[], void> {
    this.#cancelled = false
    // A statement of its own: one from the cache could be executed again before this one has ended.
    const statement = this.#prepare(text)
    const rows = statement.iterate(...values.map(parameter)) as unknown as Iterator<Row>
    try {
      for (;;) {
        const batch: Row[] = []
        while (batch.length < batchRows) {
          const { value, done } = rows.next()
          if (done) break
          batch.push(rowOf(value, this.#settings.values.bigints))
        }
        if (batch.length > 0) yield batch
        if (this.#cancelled) throw interrupted()
        if (batch.length < batchRows) return
        await nextTurn()
      }
    } finally {
      rows.return?.()
    }
  }

  async call(name: string): Promise<Result> {
    throw Object.assign(new Error(`SQLite has no stored procedures, so none is called ${name}`), {
      code: 'UNSUPPORTED',
    })
  }

  /** A transaction that may write takes the lock at once: two that had read could not both go on. */
  async begin({ readOnly }: TransactionMode): Promise<void> {
    await this.#patiently(this.#settings.timeoutMs, () =>
      this.#database.exec(readOnly ? 'begin deferred' : 'begin immediate'),
    )
    if (readOnly) this.#database.exec('pragma query_only = on')
  }

  async commit(): Promise<void> {
    await this.#patiently(this.#settings.timeoutMs, () => this.#database.exec('commit'))
    this.#database.exec('pragma query_only = off')
  }

  async rollback(): Promise<void> {
    // Some errors have rolled it back already.
    if (this.#database.isTransaction) this.#database.exec('rollback')
    this.#database.exec('pragma query_only = off')
  }

  /** Ends what waits for a lock, and streams between two batches; nothing can interrupt a statement that runs. */
  async cancel(): Promise<void> {
    this.#cancelled = true
  }

  async close(): Promise<void> {
    this.#broken = true
    this.#cancelled = true
    if (this.#database.isOpen) this.#database.close()
  }

  #execute(text: string, values: readonly unknown[], end: number): Result {
    const statement = this.#cached(text)
    const { bigints } = this.#settings.values
    const bound = values.map(parameter)
    if (statement.columns().length === 0) {
      const { changes, lastInsertRowid } = statement.run(...bound)
      const rowCount = Number(changes)
      // SQLite tells of the last insert, whatever came after it.
      if (!INSERT.test(text)) return { rows: [], rowCount }
      return { rows: [], rowCount, insertId: integerOf(BigInt(lastInsertRowid), 'safe') as number | bigint }
    }
    const rows: Row[] = []
    for (const row of statement.iterate(...bound)) {
      rows.push(rowOf(row as Row, bigints))
      if ((rows.length & 1023) === 0 && performance.now() > end) throw interrupted()
    }
    return { rows, rowCount: rows.length }
  }

  #cached(text: string): StatementSync {
    let statement = this.#statements.get(text)
    if (statement === undefined) {
      statement = this.#prepare(text)
      if (this.#statements.size >= MAX_STATEMENTS)
        this.#statements.delete(this.#statements.keys().next().value!)
      this.#statements.set(text, statement)
    }
    return statement
  }

  #prepare(text: string): StatementSync {
    const statement = this.#database.prepare(text)
    statement.setReadBigInts(true)
    statement.setAllowBareNamedParameters(false)
    return statement
  }

  /** Tries again while another session holds the lock, and leaves the thread to others meanwhile. */
  async #patiently<T>(timeoutMs: number, execute: (end: number) => T): Promise<T> {
    this.#cancelled = false
    const end = performance.now() + timeoutMs
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        return execute(end)
      } catch (error) {
        if (!isBusy(error) || performance.now() > end) throw error
        await sleep(pauseMs)
        if (this.#cancelled) throw interrupted()
      }
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function isBusy(error: unknown): boolean {
  return ((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY
}

function interrupted(): Error {
  return Object.assign(new Error('interrupted'), { errcode: 9 })
}

/** An object in the first place would be taken for named parameters, so it must never get there. */
function parameter(value: unknown): SqlValue {
  if (value === null) return null
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof Date) return value.toISOString()
  const bytes = bytesIn(value)
  if (bytes) return bytes
  if (isJson(value)) return JSON.stringify(value)
  return value as SqlValue
}

function rowOf(row: Row, mode: BigintMode): Row {
  const copy: Row = {}
  for (const name of Object.keys(row)) {
    const value = row[name]
    if (typeof value === 'bigint') copy[name] = integerOf(value, mode)
    else copy[name] = bytesIn(value) ?? value
  }
  return copy
}
