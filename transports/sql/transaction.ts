/** Transactions: a session for one piece of work, committed when it ends well, rolled back otherwise. */
import type { Kysely } from 'kysely'
import { SignalboxError } from '../../core/errors.ts'
import { type Database, type Limits, stopped } from './database.ts'
import type { NamedQueries } from './named-queries.ts'
import { type Sql, SqlOperations, type StatementOptions } from './operations.ts'
import type { SqlConnectionSettings } from './options.ts'
import { type OutboxMessage, outboxStatement } from './outbox/write.ts'
import { kyselyIn } from './query-layer.ts'
import { openRowStream, type RowStream } from './row-stream.ts'
import type { Isolation, Result, Row, Session, TransactionMode } from './session.ts'
import type { Parameters, Statement } from './statement.ts'

export interface TransactionOptions extends StatementOptions {
  /** Default: that of the database. What a product does not offer is refused. */
  isolation?: Isolation
  /** The database refuses changes. */
  readOnly?: boolean
  /** How often the work is done again after SIGNALBOX_SQL_CONFLICT (deadlock, serialization). Default 0. */
  retries?: number
}

const LONGEST_PAUSE_MS = 1_000

/** A transaction under way. It is over when the work that got it has ended; whoever uses it then gets an error. */
export class SqlTransaction extends SqlOperations {
  readonly #database: Database
  readonly #session: Session
  readonly #options: TransactionOptions
  readonly #signal: AbortSignal
  #over = false
  #streaming = false
  #savepoints = 0
  /** The end of the last statement: they go one after the other. */
  #tail: Promise<unknown> = Promise.resolve()

  /** @internal */
  constructor(
    database: Database,
    session: Session,
    about: {
      settings: SqlConnectionSettings
      queries: () => NamedQueries
      options: TransactionOptions
      signal: AbortSignal
    },
  ) {
    super(about.settings, about.queries)
    this.#database = database
    this.#session = session
    this.#options = about.options
    this.#signal = about.signal
  }

  override kysely<Tables>(): Kysely<Tables> {
    return kyselyIn<Tables>(this.settings.dialect, statement => this.run(statement, {}))
  }

  /** Rows as they are asked for; end it before the next statement: it holds the session. */
  async stream<R = Row>(
    sql: Sql,
    parameters?: Parameters,
    options: StatementOptions = {},
  ): Promise<RowStream<R>> {
    const statement = this.bound(sql, parameters)
    const { streamBatch, streamTimeoutMs } = this.settings
    const limits = this.#limits({ timeoutMs: streamTimeoutMs, ...options })
    return this.#turn(async () => {
      this.#streaming = true
      const batches = this.#database.streamIn(this.#session, statement, streamBatch, limits)
      return openRowStream<R>(statement, batches, limits, () => {
        this.#streaming = false
      })
    })
  }

  /**
   * Runs a part of the transaction that can fail alone: when `work` throws, its changes are undone (savepoint) and the
   * transaction may go on.
   */
  async savepoint<T>(work: (tx: this) => Promise<T>): Promise<T> {
    const name = `signalbox_${++this.#savepoints}`
    const isMssql = this.settings.dialect === 'mssql'
    await this.#plain(isMssql ? `save transaction ${name}` : `savepoint ${name}`)
    try {
      return await work(this)
    } catch (error) {
      if (!this.#over && !this.#session.broken)
        await this.#plain(isMssql ? `rollback transaction ${name}` : `rollback to savepoint ${name}`)
      throw error
    }
  }

  /**
   * Puts a message into the outbox table, in this transaction: it is published if, and only if, the transaction is
   * committed. See the outbox channel.
   */
  async outbox(message: OutboxMessage): Promise<void> {
    const { cid, headers } = this.#options
    await this.run(outboxStatement(this.settings, message, { cid, headers }), {})
  }

  /** @internal */
  runStatement(statement: Statement): Promise<Result> {
    return this.run(statement, {})
  }

  /** @internal Waits for what is under way, and takes nothing more. */
  async finish(): Promise<void> {
    if (this.#streaming)
      throw usage('a stream of the transaction is still open: read it to its end or leave its loop')
    await this.#tail
    this.#over = true
  }

  /** @internal */
  abandon(): void {
    this.#over = true
  }

  protected override run(statement: Statement, options: StatementOptions): Promise<Result> {
    return this.#turn(() => this.#database.runIn(this.#session, statement, this.#limits(options)))
  }

  protected override runProcedure(
    name: string,
    values: readonly unknown[],
    options: StatementOptions,
  ): Promise<Result> {
    const limits = this.#limits(options)
    const call = () => this.#session.call(name, values, limits.timeoutMs)
    return this.#turn(() => this.#database.timed(this.#session, { source: `call ${name}` }, limits, call))
  }

  protected override together<T>(
    work: (run: (statement: Statement) => Promise<Result>) => Promise<T>,
    options: StatementOptions,
  ): Promise<T> {
    return work(statement => this.run(statement, options))
  }

  #plain(text: string): Promise<Result> {
    return this.run({ text, values: [], source: text }, {})
  }

  /** After the statement before. */
  #turn<T>(execute: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(async () => {
      if (this.#over) throw usage('the transaction is over')
      if (this.#streaming) throw usage('a stream of the transaction is open: read it to its end first')
      return await execute()
    })
    this.#tail = turn.catch(() => undefined)
    return turn
  }

  #limits({
    timeoutMs = this.settings.timeoutMs,
    signal,
    cid = this.#options.cid,
  }: StatementOptions): Limits {
    return { timeoutMs, signal: signal ? AbortSignal.any([signal, this.#signal]) : this.#signal, cid }
  }
}

/** What {@link runTransaction} needs beside the work. */
export interface TransactionHost {
  database: Database
  settings: SqlConnectionSettings
  queries: () => NamedQueries
}

/** Runs `work` in a transaction, again after a conflict if the options say so. */
export async function runTransaction<T>(
  host: TransactionHost,
  work: (tx: SqlTransaction) => Promise<T>,
  options: TransactionOptions,
): Promise<T> {
  const { retries = 0 } = options
  for (let attempt = 0; ; attempt++) {
    try {
      return await once(host, work, options)
    } catch (error) {
      const conflict = error instanceof SignalboxError && error.code === 'SIGNALBOX_SQL_CONFLICT'
      if (!conflict || attempt >= retries || options.signal?.aborted) throw error
      await pause(Math.min(LONGEST_PAUSE_MS, 10 * 2 ** attempt) * (0.5 + Math.random()))
    }
  }
}

async function once<T>(
  { database, settings, queries }: TransactionHost,
  work: (tx: SqlTransaction) => Promise<T>,
  options: TransactionOptions,
): Promise<T> {
  const { timeoutMs = settings.transactionTimeoutMs, signal, isolation, readOnly, cid } = options
  const over = new AbortController()
  const all = AbortSignal.any([over.signal, database.signal, ...(signal ? [signal] : [])])
  const timer = setTimeout(() => over.abort(tooLong(timeoutMs)), timeoutMs)
  const aborted = Promise.withResolvers<never>()
  const onAbort = () => aborted.reject(stopped(all))
  aborted.promise.catch(() => undefined)
  all.addEventListener('abort', onAbort, { once: true })
  try {
    const session = await database.acquire(all)
    const tx = new SqlTransaction(database, session, { settings, queries, options, signal: all })
    try {
      await begin(database, session, { isolation, readOnly }, { timeoutMs, signal: all, cid })
      const result = await Promise.race([work(tx), aborted.promise])
      await tx.finish()
      await commit(database, session, { timeoutMs: settings.timeoutMs, signal: all, cid })
      return result
    } catch (error) {
      tx.abandon()
      await rollback(database, session, settings.timeoutMs)
      throw error
    } finally {
      database.release(session)
    }
  } finally {
    clearTimeout(timer)
    all.removeEventListener('abort', onAbort)
  }
}

/** @internal */
export function begin(
  database: Database,
  session: Session,
  mode: TransactionMode,
  limits: Limits,
): Promise<void> {
  return database.timed(session, { source: 'begin' }, limits, () => session.begin(mode))
}

/** @internal When the answer to a commit does not come, nobody knows whether it was done. */
export async function commit(database: Database, session: Session, limits: Limits): Promise<void> {
  try {
    await database.timed(session, { source: 'commit' }, limits, () => session.commit())
  } catch (thrown) {
    const error = database.error(thrown)
    if (!session.broken) throw error
    throw new SignalboxError(error.code, `the outcome of the commit is not known: ${error.message}`, {
      details: { ...error.details, outcome: 'unknown' },
      retryable: false,
      cause: thrown,
    })
  }
}

/** @internal What cannot be rolled back is closed, which does the same. */
export async function rollback(database: Database, session: Session, timeoutMs: number): Promise<void> {
  if (session.broken) return
  try {
    await database.timed(session, { source: 'rollback' }, { timeoutMs }, () => session.rollback())
  } catch {
    await session.close()
  }
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

function tooLong(timeoutMs: number): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_TIMEOUT_DEADLINE',
    `the transaction did not end within ${timeoutMs} ms and was rolled back`,
  )
}

function usage(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_USAGE', message)
}
