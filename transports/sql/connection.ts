/** The SQL connection: a pool of sessions, and what services do with a database. */
import type { Kysely } from 'kysely'
import { idSource } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Connection, Outbound, OutgoingMessage, TransportContext } from '../../core/transport.ts'
import { Database, type Limits } from './database.ts'
import { NamedQueries } from './named-queries.ts'
import { type Sql, SqlOperations, type StatementOptions } from './operations.ts'
import type { SqlConnectionSettings } from './options.ts'
import { outboxDefinition } from './outbox/write.ts'
import { pooledKysely } from './query-layer.ts'
import { openRowStream, type RowStream } from './row-stream.ts'
import { sendParameters } from './send.ts'
import type { Result, Row } from './session.ts'
import type { Parameters, Statement } from './statement.ts'
import { runTransaction, type SqlTransaction, type TransactionOptions } from './transaction.ts'

const makeCid = idSource()

/**
 * ```ts
 * const db = this.connection<SqlConnection>('orders-db')
 * const open = await db.query('select * from orders where customer = :customer', { customer })
 * await db.transaction(async tx => {
 *   await tx.execute('update stock set free = free - :n where sku = :sku', { n, sku })
 *   await tx.outbox({ to: 'topic/stock', key: sku, payload: { sku, n } })
 * })
 * ```
 */
export class SqlConnection extends SqlOperations implements Connection {
  readonly #context: TransportContext
  readonly #database: Database
  #queries: NamedQueries | undefined
  #state: 'idle' | 'connecting' | 'open' | 'closed' = 'idle'

  constructor(settings: SqlConnectionSettings, context: TransportContext) {
    super(settings, () => this.#loaded())
    this.#context = context
    this.#database = new Database(settings, context)
  }

  async connect(): Promise<void> {
    if (this.#state !== 'idle')
      throw new SignalboxError(
        'SIGNALBOX_USAGE',
        `sql connection ${this.#context.name}: connect is called once`,
      )
    this.#state = 'connecting'
    const { dialect, queriesFolder, sendQuery } = this.settings
    const queries = await NamedQueries.load(dialect, queriesFolder)
    if (sendQuery !== undefined) queries.sql(sendQuery)
    await this.#database.connect()
    if ((this.#state as string) === 'closed') throw this.#notConnected()
    this.#queries = queries
    this.#state = 'open'
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    await this.#database.close()
  }

  async ping(): Promise<void> {
    this.#loaded()
    await this.#database.ping()
  }

  endpoint(): string {
    return this.#database.endpoint
  }

  /**
   * Executes a named query: that of `attributes.query`, else the option `sendQuery`. Its parameters are the members of
   * the payload when that is an object, else `payload`; beside them `headers` (JSON) and `cid`. The answer is the rows,
   * or what was changed when there are none. Rejects as {@link SqlOperations.query} does.
   */
  async send(message: OutgoingMessage): Promise<Outbound> {
    const cid = message.cid ?? makeCid()
    const name = message.attributes?.query ?? this.settings.sendQuery
    if (typeof name !== 'string')
      throw new SignalboxError(
        'SIGNALBOX_SQL_STATEMENT_INVALID',
        'send needs the option sendQuery, or attributes.query, with the name of a query',
      )
    const queries = this.#loaded()
    const parameters = sendParameters(this.settings.dialect, queries.sql(name), message, cid)
    const { timeoutMs, signal } = message
    const options = { cid, ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) }
    const { rows, rowCount, insertId } = await this.run(queries.bind(name, parameters), options)
    const changes = { rowCount, ...(insertId !== undefined && { insertId }) }
    return { payload: rows.length > 0 ? rows : changes, headers: {}, cid }
  }

  /**
   * Rows as they are asked for, read in batches of `streamBatch` (a cursor where the database has one):
   * `for await (const row of await db.stream(...))`. Leaving the loop ends the query.
   */
  async stream<R = Row>(
    sql: Sql,
    parameters?: Parameters,
    options: StatementOptions = {},
  ): Promise<RowStream<R>> {
    const statement = this.bound(sql, parameters)
    this.#loaded()
    const { streamBatch, streamTimeoutMs } = this.settings
    const limits = {
      timeoutMs: options.timeoutMs ?? streamTimeoutMs,
      signal: options.signal,
      cid: options.cid,
    }
    const session = await this.#database.acquire(limits.signal)
    const batches = this.#database.streamIn(session, statement, streamBatch, limits)
    return openRowStream<R>(statement, batches, limits, () => this.#database.release(session))
  }

  /**
   * Runs `work` in a transaction: committed when it resolves, rolled back when it throws, when `timeoutMs` (default:
   * transactionTimeoutMs) is over, and when the call of the service ends before it. Statements on the connection itself
   * are not part of it.
   */
  transaction<T>(work: (tx: SqlTransaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    this.#loaded()
    const host = { database: this.#database, settings: this.settings, queries: this.queries }
    return runTransaction(host, work, options)
  }

  /** Makes the outbox table of the options. Rejects with SIGNALBOX_SQL_FAILED when it is there already. */
  async createOutbox(options: StatementOptions = {}): Promise<void> {
    const { dialect, outboxTable } = this.settings
    for (const text of outboxDefinition(dialect, outboxTable))
      await this.run({ text, values: [], source: text }, options)
  }

  override kysely<Tables>(): Kysely<Tables> {
    this.#loaded()
    return pooledKysely<Tables>(this.#database, () => this.#limits({}))
  }

  protected override async run(statement: Statement, options: StatementOptions): Promise<Result> {
    this.#loaded()
    return this.#database.run(statement, this.#limits(options))
  }

  protected override async runProcedure(
    name: string,
    values: readonly unknown[],
    options: StatementOptions,
  ): Promise<Result> {
    const limits = this.#limits(options)
    const session = await this.#database.acquire(limits.signal)
    try {
      const call = () => session.call(name, values, limits.timeoutMs)
      return await this.#database.timed(session, { source: `call ${name}` }, limits, call)
    } finally {
      this.#database.release(session)
    }
  }

  protected override together<T>(
    work: (run: (statement: Statement) => Promise<Result>) => Promise<T>,
    options: StatementOptions,
  ): Promise<T> {
    return this.transaction(tx => work(statement => tx.runStatement(statement)), options)
  }

  #limits({ timeoutMs = this.settings.timeoutMs, signal, cid }: StatementOptions): Limits {
    return { timeoutMs, signal, cid }
  }

  #loaded(): NamedQueries {
    if (this.#queries && this.#state === 'open') return this.#queries
    throw this.#notConnected()
  }

  #notConnected(): SignalboxError {
    return new SignalboxError(
      'SIGNALBOX_NOT_CONNECTED',
      `sql connection ${this.#context.name} is ${this.#state === 'closed' ? 'closed' : 'not open'}`,
    )
  }
}
