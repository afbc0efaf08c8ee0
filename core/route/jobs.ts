/**
 * What a route has still to do, on disk: a message that is delayed, a group that is complete, a saga that must be taken
 * back. A job is done at least once, also after a crash: whoever works on it has it for a time, and when that is over
 * the next sweep of any worker takes it up.
 */
import type { Clock, IdSource, Random, Timer } from '../clock.ts'
import { toSignalboxError } from '../errors.ts'
import type { Change, StoreRecord } from '../store/store.ts'
import type { Logger } from '../telemetry/log.ts'
import { conflictIn, isConflict, JOBS, type RouteState } from './state.ts'

interface JobRecord {
  step: string
  data: unknown
  attempt: number
  /** Whoever has it has it until then. */
  leasedUntil: number
  lastError?: string
  /** It failed too often; nobody takes it up any more. */
  parked?: boolean
}

/** A job in the hands of its handler. */
export interface Job {
  key: string
  revision: number
  record: JobRecord
}

/** What a handler says when it is done: changes that go with the end of the job, or when it goes on. */
export type JobResult =
  /** `start`: a job among the changes that is to be begun. */
  { changes?: Change[]; start?: string } | { againAt: number; changes?: (key: string) => Change[] }

/** Does the work of a job; called again after a failure. It must bear being called again after it was done. */
export type JobHandler = (data: unknown, job: Job) => Promise<JobResult>

export interface JobsOptions {
  route: string
  state: RouteState
  clock: Clock
  random: Random
  ids: IdSource
  log: Logger
  /** How long a handler may work on a job. */
  leaseMs: number
}

const MAX_ATTEMPTS = 12
const BACKOFF_MS = { first: 500, most: 300_000 }
/** Jobs that this worker does at the same time; others wait for their turn. */
const MAX_RUNNING = 64
/** Timers of this worker; what is due otherwise is found by the sweeps. */
const MAX_TIMERS = 10_000
const SWEEP_LIMIT = 200
/** Where parked jobs lie: behind all others. */
const NEVER = 999_999_999_999_999

export class Jobs {
  readonly #options: JobsOptions
  readonly #handlers = new Map<string, JobHandler>()
  readonly #timers = new Set<Timer>()
  readonly #running = new Set<Promise<void>>()
  readonly #turns: (() => void)[] = []
  /** Steps of earlier versions that have left work behind. */
  readonly #gone = new Set<string>()
  #active = 0
  #closed = false

  constructor(options: JobsOptions) {
    this.#options = options
  }

  handle(step: string, handler: JobHandler): void {
    this.#handlers.set(step, handler)
  }

  /** Jobs under way in this worker. */
  get active(): number {
    return this.#active
  }

  /** A new job, as a change for a transaction. `mine`: this worker begins with it as soon as it is stored. */
  create(step: string, dueAt: number, data: unknown, mine = false): { key: string; change: Change } {
    const { clock, leaseMs } = this.#options
    const key = this.#key(dueAt)
    const value: JobRecord = { step, data, attempt: 0, leasedUntil: mine ? clock.now() + leaseMs : 0 }
    return { key, change: { type: 'put', collection: JOBS, key, value, ifRevision: 0 } }
  }

  /** The end of a job, as a change. */
  remove(key: string): Change {
    return { type: 'delete', collection: JOBS, key }
  }

  /** Sees to it that a stored job is begun when it is due, unless this worker has too many timers already. */
  arm(key: string): void {
    const { clock } = this.#options
    const waitMs = dueOf(key) - clock.now()
    if (this.#closed || this.#timers.size >= MAX_TIMERS) return
    const timer = clock.after(Math.min(Math.max(0, waitMs), 2_000_000_000), () => {
      this.#timers.delete(timer)
      if (waitMs > 2_000_000_000) this.arm(key)
      else this.start(key)
    })
    this.#timers.add(timer)
  }

  /** Begins with a job now, if nobody else has it. */
  start(key: string): void {
    this.#follow(this.#claimAndRun(key))
  }

  /** Begins with a job that was created as `mine`. Resolves when there is room for it: that is the back-pressure. */
  async startMine(key: string, revision: number, change: Change): Promise<void> {
    await this.#turn()
    const record = (change as { value: JobRecord }).value
    this.#follow(this.#run({ key, revision, record }).finally(() => this.#endTurn()))
  }

  /** Stores new data of a job that is under way, and has it for longer. Throws SIGNALBOX_STORE_CONFLICT when it is lost. */
  async save(job: Job, data: unknown): Promise<void> {
    const { state, clock, leaseMs } = this.#options
    const record = { ...job.record, data, leasedUntil: clock.now() + leaseMs }
    const stored = await state.put(JOBS, job.key, record, { ifRevision: job.revision })
    job.record = record
    job.revision = stored.revision
  }

  /** Gives a job back, to be done later. */
  async release(job: Job): Promise<void> {
    const { clock } = this.#options
    const { key, change } = this.create(job.record.step, clock.now() + BACKOFF_MS.first, job.record.data)
    await this.#replace(job, [change])
    this.arm(key)
  }

  /** Takes up what is due and nobody works on: also what crashed workers have left. */
  async sweep(): Promise<void> {
    const { route, state, clock, log } = this.#options
    const now = clock.now()
    for (let after: string | undefined; ; ) {
      const options = { prefix: `${route}/`, limit: SWEEP_LIMIT, ...(after !== undefined && { after }) }
      const page = await state.list<JobRecord>(JOBS, options)
      for (const { key, value } of page) {
        if (dueOf(key) > now) return
        if (value.leasedUntil > now) continue
        if (this.#handlers.has(value.step)) this.start(key)
        else if (!this.#gone.has(value.step)) {
          this.#gone.add(value.step)
          log.warn(
            { route, step: value.step },
            'work is left of a step that the route does not have any more',
          )
        }
      }
      after = page.at(-1)?.key
      if (page.length < SWEEP_LIMIT || this.#active >= MAX_RUNNING) return
    }
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running)
  }

  /** Begins with nothing more. */
  close(): void {
    this.#closed = true
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
  }

  #key(dueAt: number): string {
    const { route, ids } = this.#options
    return `${route}/${String(Math.max(0, Math.ceil(dueAt))).padStart(15, '0')}/${ids()}`
  }

  #follow(running: Promise<void>): void {
    const { log, route } = this.#options
    const followed = running
      .catch(thrown => {
        const error = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
        log.warn({ route, code: error.code, err: error }, 'work of a route is taken up again later')
      })
      .finally(() => this.#running.delete(followed))
    this.#running.add(followed)
  }

  async #claimAndRun(key: string): Promise<void> {
    await this.#turn()
    try {
      const job = this.#closed ? undefined : await this.#claim(key)
      if (job) await this.#run(job)
    } finally {
      this.#endTurn()
    }
  }

  async #claim(key: string): Promise<Job | undefined> {
    const { state, clock, leaseMs } = this.#options
    const found: StoreRecord<JobRecord> | undefined = await state.get(JOBS, key)
    const now = clock.now()
    if (!found || found.value.leasedUntil > now || !this.#handlers.has(found.value.step)) return undefined
    try {
      const record = { ...found.value, leasedUntil: now + leaseMs }
      const { revision } = await state.put(JOBS, key, record, { ifRevision: found.revision })
      return { key, revision, record }
    } catch (error) {
      // Another worker was faster.
      if (isConflict(error)) return undefined
      throw error
    }
  }

  async #run(job: Job): Promise<void> {
    for (;;) {
      try {
        await this.#attempt(job)
        return
      } catch (error) {
        if (!isConflict(error)) return await this.#failed(job, error)
        // Another worker has the job now; a conflict about anything else is for the handler to look at again.
        if (conflictIn(error, JOBS)) return
      }
    }
  }

  async #attempt(job: Job): Promise<void> {
    const { step, data } = job.record
    const result = await this.#handlers.get(step)!(data, job)
    if (!('againAt' in result)) {
      await this.#replace(job, result.changes ?? [])
      if (result.start !== undefined) this.start(result.start)
      return
    }
    const { key, change } = this.create(step, result.againAt, job.record.data)
    await this.#replace(job, [change, ...(result.changes?.(key) ?? [])])
    this.arm(key)
  }

  async #failed(job: Job, thrown: unknown): Promise<void> {
    const { clock, random, log, route } = this.#options
    const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
    const attempt = job.record.attempt + 1
    const parked = attempt >= MAX_ATTEMPTS
    const mostMs = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** (attempt - 1))
    const pauseMs = Math.max(error.retryAfterMs ?? 0, mostMs * (0.5 + random() / 2))
    const key = this.#key(parked ? NEVER : clock.now() + pauseMs)
    const lastError = `${error.code}: ${error.message}`.slice(0, 2_000)
    const value: JobRecord = { ...job.record, attempt, lastError, leasedUntil: 0, ...(parked && { parked }) }
    const { step } = job.record
    if (parked)
      log.error({ route, step, job: key, err: error }, 'work of a route failed too often; it is kept')
    else log.warn({ route, step, attempt, code: error.code, err: error }, 'work of a route failed')
    await this.#replace(job, [{ type: 'put', collection: JOBS, key, value }])
    if (!parked) this.arm(key)
  }

  async #replace({ key, revision }: Job, changes: readonly Change[]): Promise<void> {
    const end: Change = { type: 'delete', collection: JOBS, key, ifRevision: revision }
    await this.#options.state.transact([end, ...changes])
  }

  async #turn(): Promise<void> {
    if (this.#active < MAX_RUNNING) this.#active++
    else await new Promise<void>(resolve => this.#turns.push(resolve))
  }

  /** The place goes to the next who waits. */
  #endTurn(): void {
    const next = this.#turns.shift()
    if (next) next()
    else this.#active--
  }
}

function dueOf(key: string): number {
  return Number(key.split('/').at(-2))
}
