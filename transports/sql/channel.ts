/** The SQL channel: polls a table or a query, relays an outbox, or listens for notifications. */
import { SignalboxError } from '../../core/errors.ts'
import type { Channel, Receive, TransportContext } from '../../core/transport.ts'
import type { SqlChannelSettings } from './channel-options.ts'
import { Database } from './database.ts'
import { Listener } from './listener.ts'
import { NamedQueries } from './named-queries.ts'
import { OutboxSource } from './outbox/relay.ts'
import { Poller } from './poll/poller.ts'
import { QuerySource } from './poll/query.ts'
import { type Source, targetOf } from './poll/source.ts'
import { TableSource } from './poll/table.ts'

/** How long a close waits until the database has taken what has succeeded, in milliseconds. */
const SETTLE_MS = 2_000

export class SqlChannel implements Channel {
  readonly #settings: SqlChannelSettings
  readonly #context: TransportContext
  readonly #database: Database
  #state: 'idle' | 'connecting' | 'open' | 'draining' | 'closed' = 'idle'
  #closing: Promise<void> | undefined
  #poller: Poller | undefined
  #listener: Listener | undefined

  constructor(settings: SqlChannelSettings, context: TransportContext) {
    this.#settings = settings
    this.#context = context
    this.#database = new Database(settings, context)
  }

  async connect(receive: Receive): Promise<void> {
    if (this.#state !== 'idle')
      throw new SignalboxError('SIGNALBOX_USAGE', `sql channel ${this.#context.name}: connect is called once`)
    this.#state = 'connecting'
    checkOptions(this.#settings)
    const source = await this.#source()
    await this.#database.connect()
    if (source) await this.#startPolling(source, receive)
    else {
      this.#listener = new Listener(this.#database, this.#settings, this.#context, receive)
      await this.#listener.start()
    }
    if ((this.#state as string) === 'closed') throw this.#notConnected()
    this.#state = 'open'
    this.#poller?.start()
  }

  async drain(): Promise<void> {
    if (this.#state !== 'open' && this.#state !== 'draining') return
    this.#state = 'draining'
    await Promise.all([this.#poller?.drain(), this.#listener?.drain()])
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    this.#closing ??= this.#close()
    await this.#closing
  }

  /** The source learns what has succeeded: otherwise it would be delivered again. */
  async #close(): Promise<void> {
    await this.#poller?.stop(SETTLE_MS)
    await this.#database.close()
  }

  async ping(): Promise<void> {
    if (this.#state !== 'open' && this.#state !== 'draining') throw this.#notConnected()
    await this.#database.ping()
  }

  endpoint(): string {
    return this.#database.endpoint
  }

  async #source(): Promise<Source | undefined> {
    const { dialect, queriesFolder, table, query, outbox } = this.#settings
    if (table) return new TableSource(this.#settings, table)
    if (outbox) return new OutboxSource(this.#settings, outbox)
    if (!query) return undefined
    return new QuerySource(this.#settings, query, await NamedQueries.load(dialect, queriesFolder))
  }

  async #startPolling(source: Source, receive: Receive): Promise<void> {
    const poller = new Poller(this.#database, source, this.#settings, this.#context, receive)
    const { wakeOn } = this.#settings
    if (wakeOn !== undefined) await this.#database.listen([wakeOn], () => poller.wake())
    this.#poller = poller
  }

  #notConnected(): SignalboxError {
    return new SignalboxError(
      'SIGNALBOX_NOT_CONNECTED',
      `sql channel ${this.#context.name} is ${this.#state}`,
    )
  }
}

/** What the schema cannot say. Throws SIGNALBOX_OPTIONS_INVALID with all of it. */
function checkOptions(settings: SqlChannelSettings): void {
  const { dialect, databaseFile, wakeOn, listen, runOn, holdTransaction, outbox, pool } = settings
  const { query, queriesFolder } = settings
  const sources = (['table', 'query', 'outbox', 'listen'] as const).filter(
    name => settings[name] !== undefined,
  )
  const sessions = wakeOn === undefined ? 1 : 2
  const isSqlite = dialect === 'sqlite'
  const problems = [
    sources.length !== 1 && 'give exactly one of table, query, outbox and listen',
    isSqlite && databaseFile === undefined && 'a channel of SQLite needs databaseFile',
    dialect !== 'postgresql' && (wakeOn ?? listen) !== undefined && 'wakeOn and listen need PostgreSQL',
    runOn === 'everyWorker' &&
      (listen ?? outbox) !== undefined &&
      'listen and outbox run on one worker alone',
    runOn === 'everyWorker' &&
      (isSqlite || !holdTransaction) &&
      'everyWorker needs holdTransaction, which SQLite has not',
    pool.max < sessions && `pool.max must be at least ${sessions} for these options`,
    queriesFolder !== undefined && query === undefined && 'queriesFolder is for query',
  ].filter(problem => problem !== false)
  if (problems.length > 0) throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', problems.join('; '))
  targetOf(settings)
}
