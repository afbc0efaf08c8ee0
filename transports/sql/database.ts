/** The sessions of one database in one worker: a pool, statements within their time, and who notices a lost server. */
import type { AbortSource } from '../../core/abort.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { TransportContext } from '../../core/transport.ts'
import { loadDriver } from './drivers/index.ts'
import { isLost, sqlError } from './errors.ts'
import type { DatabaseSettings, Dialect } from './options.ts'
import { PoolAborted, PoolTimeout, SessionPool } from './pool.ts'
import type { Driver, Result, Row, Session, SessionEvents } from './session.ts'
import { type Statement, shorten } from './statement.ts'

/** Limits of one call. */
export interface Limits {
  timeoutMs: number
  signal?: AbortSource | undefined
  /** Of the message, for the log. */
  cid?: string | undefined
}

/** How long the server may take to give up a statement before its session is closed, in milliseconds. */
const CANCEL_MS = 2_000

const PINGS: Partial<Record<Dialect, string>> = { oracle: 'select 1 from dual' }

export class Database {
  readonly dialect: Dialect
  readonly settings: DatabaseSettings
  readonly #context: TransportContext
  readonly #closed = new AbortController()
  readonly #sessions = new Map<Session, { openedAt: number }>()
  #driver: Driver | undefined
  #pool: SessionPool<Session> | undefined
  #closing: Promise<void> | undefined
  #probing = false
  /** Ends what runs, when this closes. */
  readonly #underWay = new Set<() => void>()
  /** Statements that the server was asked to give up. */
  readonly #cancelling = new Set<Promise<void>>()
  /** The session that listens: when it is lost, so is what it would have heard. */
  #listener: Session | undefined
  #notified: SessionEvents['notified']

  constructor(settings: DatabaseSettings, context: TransportContext) {
    this.settings = settings
    this.dialect = settings.dialect
    this.#context = context
  }

  /** Where the database is, without user and password. */
  get endpoint(): string {
    const { dialect, host, port, database, databaseFile } = this.settings
    if (dialect === 'sqlite') return `sqlite:${databaseFile ?? ':memory:'}`
    const place = host.includes(':') ? `[${host}]` : host
    return `${dialect}://${place}${port === undefined ? '' : `:${port}`}${database === undefined ? '' : `/${database}`}`
  }

  /** Aborted when it is closed. */
  get signal(): AbortSignal {
    return this.#closed.signal
  }

  /** Loads the driver, makes the pool and opens the first sessions. Rejects with a typed error. */
  async connect(): Promise<void> {
    if (this.#pool || this.#closing) throw this.#notOpen()
    const { pool } = this.settings
    const most = this.dialect === 'sqlite' && this.settings.databaseFile === undefined ? 1 : pool.max
    this.#pool = new SessionPool<Session>({
      open: () => this.#open(),
      close: session => this.#forget(session),
      isUsable: session => !session.broken && this.#isYoung(session),
      min: Math.min(pool.min, most),
      max: most,
      idleTimeoutMs: pool.idleTimeoutMs,
    })
    this.#driver = await loadDriver(this.dialect)
    const timeoutMs = Math.max(pool.acquireTimeoutMs, this.settings.connectTimeoutMs + 1_000)
    const count = Math.max(1, Math.min(pool.min, most))
    const first = await Promise.all(Array.from({ length: count }, () => this.acquire(undefined, timeoutMs)))
    for (const session of first) this.release(session)
  }

  /** Lends a session. Rejects when none is free in time, at an abort, and when no new one opens. */
  async acquire(signal?: AbortSource, timeoutMs = this.settings.pool.acquireTimeoutMs): Promise<Session> {
    const pool = this.#pool
    if (!pool || this.#closing) throw this.#notOpen()
    if (signal?.aborted) throw stopped(signal)
    try {
      return await pool.acquire(timeoutMs, signal)
    } catch (error) {
      if (this.#closing) throw this.#notOpen()
      if (error instanceof PoolAborted && signal) throw stopped(signal)
      throw this.#acquireError(error, timeoutMs)
    }
  }

  /** Takes a session back; a broken one is closed. */
  release(session: Session): void {
    this.#pool!.release(session)
  }

  /** Executes one statement in a session of its own. */
  async run(statement: Statement, limits: Limits): Promise<Result> {
    const session = this.#closing ? undefined : this.#pool?.takeFree()
    const lent = session ?? (await this.acquire(limits.signal))
    try {
      return await this.runIn(lent, statement, limits)
    } finally {
      this.release(lent)
    }
  }

  /** Executes a statement in a session that is lent already. */
  runIn(session: Session, statement: Statement, limits: Limits): Promise<Result> {
    return this.timed(session, statement, limits, () => session.run(statement, limits.timeoutMs))
  }

  /**
   * Runs one operation of a session within its time. At its end, and when the call is aborted or this closes, the
   * server is asked to give up; the session is not used again then. Slow statements are logged, without values.
   */
  timed<T>(
    session: Session,
    statement: Pick<Statement, 'source'>,
    { timeoutMs, signal, cid }: Limits,
    operation: () => Promise<T>,
  ): Promise<T> {
    if (this.#closing) return Promise.reject(this.#notOpen())
    if (signal?.aborted) return Promise.reject(stopped(signal))
    const { slowQueryMs } = this.settings
    const startedAt = slowQueryMs === undefined ? 0 : performance.now()
    return new Promise((resolve, reject) => {
      let reason: SignalboxError | undefined
      let cancelling: Promise<void> | undefined
      let hasEnded = false
      const giveUp = (why: SignalboxError) => {
        if (reason || hasEnded) return
        reason = why
        cancelling = this.#cancel(session, running)
        this.#cancelling.add(cancelling)
        void cancelling.then(() => {
          this.#cancelling.delete(cancelling!)
          // A statement that cannot be ended is not waited for.
          if (!hasEnded) end(() => reject(why))
        })
      }
      const onAbort = () => giveUp(stopped(signal!))
      const onClose = () => giveUp(this.#notOpen())
      // The session is given back only when what cancels is done with it.
      const end = (settle: () => void) => {
        hasEnded = true
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        this.#underWay.delete(onClose)
        if (slowQueryMs !== undefined)
          this.#logSlow(performance.now() - startedAt, slowQueryMs, statement, cid)
        if (cancelling) void cancelling.then(settle)
        else settle()
      }
      const timer = setTimeout(() => giveUp(tooSlow(statement, timeoutMs)), timeoutMs)
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#underWay.add(onClose)
      const running = operation()
      running.then(
        value => end(() => resolve(value)),
        error => end(() => reject(reason ?? this.#failed(error, statement, session))),
      )
    })
  }

  /** Rows in batches, each read when it is asked for; the session goes back when the rows end or are not wanted. */
  async *streamIn(
    session: Session,
    statement: Statement,
    batchRows: number,
    limits: Limits,
  ): AsyncGenerator<Row[], void> {
    const batches = session.stream(statement, batchRows)
    const end = performance.now() + limits.timeoutMs
    try {
      for (;;) {
        const leftMs = Math.max(1, end - performance.now())
        const { value, done } = await this.timed(session, statement, { ...limits, timeoutMs: leftMs }, () =>
          batches.next(),
        )
        if (done) return
        yield value
      }
    } finally {
      // A generator that waits for a broken session would not end before it does.
      const ending = batches.return().catch(error => this.#note(error, 'a stream did not end'))
      if (!session.broken && !this.#closing) await ending
    }
  }

  /** PostgreSQL: keeps a session that listens. Its loss is the loss of the database. */
  async listen(
    channels: readonly string[],
    notified: (channel: string, payload: string) => void,
  ): Promise<{ flow(on: boolean): void }> {
    this.#notified = notified
    const session = await this.acquire()
    if (!session.listen || !session.flow) throw this.#notOpen()
    this.#listener = session
    const { timeoutMs } = this.settings
    await this.timed(session, { source: 'listen' }, { timeoutMs }, () => session.listen!(channels))
    return { flow: on => session.flow!(on) }
  }

  async ping(timeoutMs = this.settings.timeoutMs): Promise<void> {
    const text = PINGS[this.dialect] ?? 'select 1'
    await this.run({ text, values: [], source: text }, { timeoutMs })
  }

  /** Ends everything that runs and closes all sessions. Idempotent. */
  close(): Promise<void> {
    if (!this.#closing) {
      const closing = Promise.withResolvers<void>()
      this.#closing = closing.promise
      this.#close().then(closing.resolve, closing.reject)
    }
    return this.#closing
  }

  /** @internal The error of the bus for what a session threw. */
  error(thrown: unknown): SignalboxError {
    return sqlError(this.dialect, thrown, 'use')
  }

  async #close(): Promise<void> {
    this.#closed.abort(this.#notOpen())
    for (const giveUp of [...this.#underWay]) giveUp()
    await Promise.all(this.#cancelling)
    // Sessions that are lent out are closed under their users, who get an error.
    await this.#pool?.close()
    await Promise.all([...this.#sessions.keys()].map(session => this.#forget(session)))
  }

  async #open(): Promise<Session> {
    const settings = this.settings
    const session: { opened?: Session } = {}
    const events: SessionEvents = {
      log: this.#context.log,
      lost: error => void this.#lost(session.opened, error),
      notified: (channel, payload) => {
        if (session.opened && session.opened === this.#listener) this.#notified?.(channel, payload)
      },
    }
    try {
      const opened = await this.#driver!.open(settings, events)
      session.opened = opened
      this.#sessions.set(opened, { openedAt: performance.now() })
      for (const text of settings.initStatements)
        await opened.run({ text, values: [], source: text }, settings.connectTimeoutMs)
      if (this.#closing) throw this.#notOpen()
      return opened
    } catch (error) {
      if (session.opened) await this.#forget(session.opened)
      throw sqlError(this.dialect, error, 'open')
    }
  }

  async #forget(session: Session): Promise<void> {
    this.#sessions.delete(session)
    try {
      await session.close()
    } catch (error) {
      this.#note(error, 'a session did not close in order')
    }
  }

  #isYoung(session: Session): boolean {
    const { openedAt } = this.#sessions.get(session) ?? { openedAt: 0 }
    return performance.now() - openedAt < this.settings.pool.maxLifetimeMs
  }

  /** One session may be ended by an administrator; only when no other opens is the database lost. */
  async #lost(session: Session | undefined, error: Error): Promise<void> {
    this.#note(error, 'a session was lost')
    if (this.#closing || this.#probing) return
    if (session && session === this.#listener) {
      this.#context.lost(sqlError(this.dialect, error, 'use'))
      return
    }
    this.#probing = true
    try {
      const probe = await this.#open()
      await this.#forget(probe)
    } catch (reason) {
      if (!this.#closing) this.#context.lost(reason as SignalboxError)
    } finally {
      this.#probing = false
    }
  }

  /** Resolves when the statement has ended, or its session was closed because it would not. */
  async #cancel(session: Session, running: Promise<unknown>): Promise<void> {
    const ended = running.then(
      () => undefined,
      () => undefined,
    )
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, CANCEL_MS)
    try {
      await Promise.race([session.cancel(), late.promise])
      await Promise.race([ended, late.promise])
    } catch (error) {
      this.#note(error, 'a statement could not be cancelled')
    } finally {
      clearTimeout(timer)
    }
    // A cancellation that comes late must not hit the next statement of the session. Its transaction is rolled back by
    // closing it; SQLite has nothing that comes late, and its database in memory would be gone.
    if (this.dialect !== 'sqlite') await this.#forget(session)
  }

  #acquireError(error: unknown, timeoutMs: number): SignalboxError {
    if (error instanceof SignalboxError) return error
    if (error instanceof PoolTimeout) {
      const { max } = this.settings.pool
      return new SignalboxError(
        'SIGNALBOX_OVERLOADED',
        `no session of the pool (max ${max}) was free within ${timeoutMs} ms`,
        { cause: error },
      )
    }
    return sqlError(this.dialect, error, 'open')
  }

  #failed(error: unknown, { source }: Pick<Statement, 'source'>, session: Session): SignalboxError {
    const failed = sqlError(this.dialect, error, 'use')
    // The statement may learn it before the session does, which is closed then and says nothing.
    if (isLost(failed) && this.#sessions.has(session)) void this.#lost(session, failed)
    if (isLost(failed) || failed.details?.statement !== undefined) return failed
    const { code, message, retryable } = failed
    const details = { ...failed.details, statement: shorten(source) }
    return new SignalboxError(code, message, { details, retryable, cause: failed.cause ?? error })
  }

  #logSlow(
    tookMs: number,
    limitMs: number,
    { source }: Pick<Statement, 'source'>,
    cid: string | undefined,
  ): void {
    if (tookMs < limitMs) return
    const data = {
      connection: this.#context.name,
      statement: shorten(source, 1_000),
      tookMs: Math.round(tookMs),
      cid,
    }
    this.#context.log.warn(data, 'slow statement')
  }

  #note(error: unknown, what: string): void {
    this.#context.log.debug({ connection: this.#context.name, err: error }, what)
  }

  #notOpen(): SignalboxError {
    const state = this.#closing ? 'closed' : this.#pool ? 'open already' : 'not open'
    const code = this.#pool && !this.#closing ? 'SIGNALBOX_USAGE' : 'SIGNALBOX_NOT_CONNECTED'
    return new SignalboxError(code, `${this.#context.name} (${this.endpoint}) is ${state}`)
  }
}

/** The error for a call that was aborted: its deadline, or whoever gave up. */
export function stopped(signal: AbortSource): SignalboxError {
  const { reason } = signal
  if (reason instanceof SignalboxError) return reason
  return new SignalboxError('SIGNALBOX_CANCELLED', 'the call was aborted, so its statement was given up', {
    cause: reason,
  })
}

/** @internal */
export function tooSlow({ source }: Pick<Statement, 'source'>, timeoutMs: number): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_TIMEOUT_DEADLINE',
    `'${shorten(source)}' did not end within ${Math.round(timeoutMs)} ms and was cancelled`,
  )
}
