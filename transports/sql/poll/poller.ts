/**
 * Takes rows in transactions, hands each to a service, and commits what became of them in the same transaction: the
 * source lets go of a row when its message succeeded, or failed for good. A crash rolls back, and the rows come again.
 */
import { type SignalboxError, toSignalboxError } from '../../../core/errors.ts'
import type { Receive, TransportContext } from '../../../core/transport.ts'
import type { SqlChannelSettings } from '../channel-options.ts'
import type { Database } from '../database.ts'
import type { Row, Session } from '../session.ts'
import { begin, commit, rollback } from '../transaction.ts'
import { RetryMemory, textOf } from './retry-memory.ts'
import type { Outcome, Source } from './source.ts'

/** Pause after a poll that failed, doubled with each that follows, in milliseconds. */
const FIRST_FAILURE_PAUSE_MS = 100
const LONGEST_FAILURE_PAUSE_MS = 30_000
/** How long a poll for less than a batch waits for more messages to end, in milliseconds. */
const LINGER_MS = 20
/** A statement names no more keys of rows under way than that. */
const MAX_NAMED = 1_000

export class Poller {
  readonly #database: Database
  readonly #source: Source
  readonly #settings: SqlChannelSettings
  readonly #context: TransportContext
  readonly #receive: Receive
  readonly #retries: RetryMemory
  /** How many transactions may be open at the same time. */
  readonly #maxTurns: number
  readonly #turns = new Set<Promise<void>>()
  /** Keys of the rows under way, where nothing in the database says that they are. */
  readonly #underWay = new Map<string, unknown>()
  /** Services are waited for no longer. */
  readonly #ended = new AbortController()
  #inFlight = 0
  #stopping = false
  #failures = 0
  #loop: Promise<void> | undefined
  /** Resolved, and made anew, whenever something happens that a pause may wait for. */
  #event = Promise.withResolvers<void>()
  /** A wake-up that came during a poll counts for the next pause. */
  #woken = false

  constructor(
    database: Database,
    source: Source,
    settings: SqlChannelSettings,
    context: TransportContext,
    receive: Receive,
  ) {
    this.#database = database
    this.#source = source
    this.#settings = settings
    this.#context = context
    this.#receive = receive
    this.#retries = new RetryMemory(context.clock)
    const { outbox, pool, wakeOn } = settings
    // An outbox is published in order, by one transaction after the other.
    this.#maxTurns = outbox ? 1 : Math.max(1, pool.max - (wakeOn === undefined ? 0 : 1))
    const end = () => {
      this.#ended.abort()
      this.#happened()
    }
    database.signal.addEventListener('abort', end, { once: true })
  }

  start(): void {
    this.#loop = this.#run()
  }

  /** Polls at once. */
  wake(): void {
    this.#woken = true
    this.#happened()
  }

  /** Takes no more rows; resolves when those under way are settled. */
  async drain(): Promise<void> {
    this.#stopping = true
    this.#happened()
    await this.#loop
    await Promise.all(this.#turns)
  }

  /** Does not wait for services any more; what has succeeded by now is settled, within `ms`. */
  async stop(ms: number): Promise<void> {
    this.#stopping = true
    this.#ended.abort()
    this.#happened()
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, ms)
    await Promise.race([Promise.all(this.#turns), late.promise])
    clearTimeout(timer)
  }

  get #over(): boolean {
    return this.#stopping || this.#database.signal.aborted
  }

  /** Rows stay locked by an open transaction, or are remembered here. */
  get #holds(): boolean {
    return this.#settings.holdTransaction && this.#settings.dialect !== 'sqlite'
  }

  get #limits() {
    return { timeoutMs: this.#settings.timeoutMs }
  }

  /** One poll after the other, so that rows are handed over in order; what follows a poll goes on beside the next. */
  async #run(): Promise<void> {
    while (!this.#over) {
      const size = await this.#capacity()
      if (this.#over) return
      this.#woken = false
      const taken = Promise.withResolvers<number>()
      const turn = this.#turn(size, taken.resolve).catch(error => this.#failed(error))
      this.#turns.add(turn)
      void turn.finally(() => {
        this.#turns.delete(turn)
        taken.resolve(-1)
        this.#happened()
      })
      const count = await taken.promise
      if (count < 0) await this.#pause(this.#failurePauseMs())
      else if (count < size) await this.#pause(this.#retries.nextInMs(this.#settings.intervalMs))
    }
  }

  /** Waits until messages may be taken, preferably a whole batch; resolves with how many. */
  async #capacity(): Promise<number> {
    const { batch, maxInFlight } = this.#settings
    const whole = Math.min(batch, maxInFlight)
    let isLate = false
    for (;;) {
      const free = this.#turns.size < this.#maxTurns ? maxInFlight - this.#inFlight : 0
      const size = Math.min(batch, free)
      if (this.#over || size >= whole || (size > 0 && isLate)) return size
      isLate = !(await this.#wait(size > 0 ? LINGER_MS : undefined))
    }
  }

  #happened(): void {
    this.#event.resolve()
    this.#event = Promise.withResolvers()
  }

  /** Waits for something to happen, at most so long. Resolves with whether it did. */
  async #wait(ms?: number): Promise<boolean> {
    const { promise } = this.#event
    if (ms === undefined) {
      await promise
      return true
    }
    const late = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => late.resolve(false), ms)
    try {
      return await Promise.race([promise.then(() => true), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  async #pause(ms: number): Promise<void> {
    const end = performance.now() + ms
    while (!this.#over && !this.#woken) {
      const leftMs = end - performance.now()
      if (leftMs <= 0 || !(await this.#wait(leftMs))) return
    }
  }

  #failurePauseMs(): number {
    return Math.min(FIRST_FAILURE_PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_FAILURE_PAUSE_MS)
  }

  #failed(error: unknown): void {
    if (this.#database.signal.aborted) return
    this.#failures++
    const problem = this.#database.error(error)
    this.#context.log.error(
      { channel: this.#context.name, code: problem.code, err: problem },
      'a poll failed',
    )
  }

  /** Takes rows, says how many, delivers them and settles. */
  async #turn(size: number, taken: (count: number) => void): Promise<void> {
    const session = await this.#database.acquire()
    let isLent = true
    const giveBack = () => {
      if (isLent) this.#database.release(session)
      isLent = false
    }
    try {
      if (this.#holds) await this.#inTransaction(session, size, taken)
      else await this.#apart(session, size, taken, giveBack)
      this.#failures = 0
    } finally {
      giveBack()
    }
  }

  async #inTransaction(session: Session, size: number, taken: (count: number) => void): Promise<void> {
    await begin(this.#database, session, { isolation: 'read committed' }, this.#limits)
    try {
      const rows = await this.#take(session, size)
      const delivered = this.#deliverAll(rows)
      taken(rows.length)
      await this.#settle(session, await delivered)
    } catch (error) {
      await rollback(this.#database, session, this.#settings.timeoutMs)
      throw error
    }
  }

  /** Only what became of the rows is in a transaction: nobody else waits for the services. */
  async #apart(
    session: Session,
    size: number,
    taken: (count: number) => void,
    giveBack: () => void,
  ): Promise<void> {
    const rows = await this.#take(session, size)
    giveBack()
    for (const row of rows) this.#underWay.set(textOf(this.#source.key(row)), this.#source.key(row))
    try {
      const delivered = this.#deliverAll(rows)
      taken(rows.length)
      if (rows.length === 0) return
      const outcomes = await delivered
      const other = await this.#database.acquire()
      try {
        await begin(this.#database, other, {}, this.#limits)
        await this.#settle(other, outcomes)
      } catch (error) {
        await rollback(this.#database, other, this.#settings.timeoutMs)
        throw error
      } finally {
        this.#database.release(other)
      }
    } finally {
      for (const row of rows) this.#underWay.delete(textOf(this.#source.key(row)))
    }
  }

  async #take(session: Session, size: number): Promise<Row[]> {
    const without = [...this.#underWay.values(), ...this.#retries.waiting()].slice(0, MAX_NAMED)
    const { rows } = await this.#database.runIn(session, this.#source.select(size, without), this.#limits)
    if (this.#over) return []
    // A query of the user's own may know nothing of limits, of pauses, and of what is under way.
    const free = rows.filter(row => {
      const key = this.#source.key(row)
      return !this.#retries.mustWait(key) && !(this.#underWay.size > 0 && this.#underWay.has(textOf(key)))
    })
    return free.slice(0, size)
  }

  async #settle(session: Session, outcomes: readonly Outcome[]): Promise<void> {
    for (const statement of this.#source.settle(outcomes))
      await this.#database.runIn(session, statement, this.#limits)
    await commit(this.#database, session, this.#limits)
    this.#remember(outcomes)
  }

  /** All rows at the same time, those of one group one after the other. */
  async #deliverAll(rows: readonly Row[]): Promise<Outcome[]> {
    const groups = new Map<string, Row[]>()
    const chains: Promise<Outcome[]>[] = []
    for (const row of rows) {
      const group = this.#source.group(row)
      const chain = group === undefined ? undefined : groups.get(group)
      if (chain) {
        chain.push(row)
        continue
      }
      const own = [row]
      if (group !== undefined) groups.set(group, own)
      chains.push(this.#chain(own))
    }
    return (await Promise.all(chains)).flat()
  }

  async #chain(rows: readonly Row[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = []
    let isBlocked = false
    // The list grows while the first is on its way.
    for (const row of rows) {
      isBlocked ||= this.#ended.signal.aborted
      const outcome: Outcome = isBlocked ? { kind: 'left', row } : await this.#whileOpen(row)
      isBlocked ||= outcome.kind === 'retry' || outcome.kind === 'left'
      outcomes.push(outcome)
    }
    return outcomes
  }

  /** When the channel closes, what a service still says does not count any more: the row is left as it is. */
  async #whileOpen(row: Row): Promise<Outcome> {
    const { signal } = this.#ended
    const closed = Promise.withResolvers<Outcome>()
    const onClose = () => closed.resolve({ kind: 'left', row })
    signal.addEventListener('abort', onClose, { once: true })
    try {
      return await Promise.race([this.#deliver(row), closed.promise])
    } finally {
      signal.removeEventListener('abort', onClose)
    }
  }

  async #deliver(row: Row): Promise<Outcome> {
    this.#inFlight++
    const failedBefore = this.#source.attempts(row) ?? this.#retries.attempts(this.#source.key(row))
    const attempt = failedBefore + 1
    try {
      const message = this.#source.message(row)
      message.attributes.attempt = attempt
      await this.#receive(message)
      return { kind: 'done', row }
    } catch (thrown) {
      return this.#refused(row, attempt, toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED'))
    } finally {
      this.#inFlight--
      this.#happened()
    }
  }

  #refused(row: Row, attempt: number, error: SignalboxError): Outcome {
    const { maxAttempts, redeliveryDelayMs, maxRedeliveryDelayMs } = this.#settings
    const isFinal = !error.retryable || attempt >= maxAttempts
    const doubled = Math.min(redeliveryDelayMs * 2 ** Math.min(attempt - 1, 30), maxRedeliveryDelayMs)
    const delayMs = error.retryAfterMs ?? doubled
    const retryAt = new Date(this.#context.clock.now() + delayMs)
    const data = { channel: this.#context.name, code: error.code, attempt, err: error }
    if (isFinal) this.#context.log.error(data, 'a row failed for good')
    else this.#context.log.warn({ ...data, delayMs }, 'a row is delivered again')
    return { kind: isFinal ? 'failed' : 'retry', row, attempt, error, retryAt }
  }

  #remember(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      const key = this.#source.key(outcome.row)
      if (outcome.kind === 'retry') this.#retries.add(key, outcome.attempt, outcome.retryAt.getTime())
      else if (outcome.kind !== 'left') this.#retries.forget(key)
    }
  }
}
