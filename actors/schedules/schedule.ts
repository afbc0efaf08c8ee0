/**
 * One schedule: says when something is to be run, remembers what was, and never runs a time twice. The record of a run
 * is on disk before it begins, so that a run that a crash cut off is known as such.
 */
import type { Clock, Random, Timer } from '../../core/clock.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { StateStore } from '../messages/state.ts'
import type { ScheduleResource } from './options.ts'
import { type Times, timesOf } from './times.ts'

export interface ScheduleConfig {
  name: string
  type: string
  options: ScheduleResource
}

/** What became of a run. */
export type RunOutcome = 'running' | 'ok' | 'failed' | 'interrupted' | 'skipped'

export interface ScheduleRun {
  /** Counts up from 1 for each schedule. */
  number: number
  /** When it was to be run; undefined for a run by hand. */
  dueAt: number | undefined
  startedAt: number
  endedAt?: number
  outcome: RunOutcome
  /** Why it failed or was skipped. */
  reason?: string
}

/** What is kept of a schedule. */
interface Kept {
  startedAt: number
  /** The last time that was dealt with. */
  handledUpTo: number
  runs: number
  paused: boolean
}

export interface ScheduleParts {
  state: StateStore
  clock: Clock
  random: Random
  /** Runs it; the number of the run makes it known again. */
  run: (config: ScheduleConfig, run: ScheduleRun) => Promise<unknown>
  onError: (error: Error) => void
}

export interface ScheduleView {
  name: string
  type: string
  paused: boolean
  nextAt: number | undefined
  running: number
  last: ScheduleRun | undefined
}

const COLLECTION = 'schedules'
const RUNS = 'schedule-runs'
/** The wall clock may be set at any time, so no timer is longer than this. */
const LONGEST_TIMER_MS = 30_000
const MAX_CAUGHT_UP = 1_000
/** Pause after something could not be kept. */
const RETRY_MS = 1_000

export class Schedule {
  readonly #config: ScheduleConfig
  readonly #parts: ScheduleParts
  readonly #times: (startedAt: number) => Times
  #kept: Kept | undefined
  #last: ScheduleRun | undefined
  #timer: Timer | undefined
  #delays = new Set<Timer>()
  readonly #running = new Set<Promise<void>>()
  /** Due while it ran, to be run afterwards. */
  #waiting: number[] = []
  #stopped = false
  #queue: Promise<void> = Promise.resolve()

  constructor(config: ScheduleConfig, parts: ScheduleParts) {
    this.#config = config
    this.#parts = parts
    this.#times = startedAt => timesOf(config.type, config.options, startedAt)
    // What is wrong with it is said at once.
    this.#times(parts.clock.now())
  }

  /** Takes up what is kept, and goes on. Rejects when that cannot be read; a disk that takes nothing is waited for. */
  async start(): Promise<void> {
    const { state, clock } = this.#parts
    const { name } = this.#config
    const kept = (await state.get<Kept>(COLLECTION, name))?.value
    const now = clock.now()
    this.#kept = kept ?? { startedAt: now, handledUpTo: now, runs: 0, paused: false }
    await this.#exclusive(async () => {
      if (kept) await this.#interrupted()
      else await this.#save()
      // What fails is reported, and tried again when something is due.
    }).catch(() => {})
    await this.#exclusive(() => this.#look(true)).catch(() => {})
  }

  /** Resolves when everything that was begun is on disk; runs may go on. */
  async idle(): Promise<void> {
    for (let seen: Promise<void> | undefined; seen !== this.#queue; ) {
      seen = this.#queue
      await seen
    }
  }

  /** Begins nothing more and resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    for (const delay of this.#delays) delay.cancel()
    await this.idle()
    await Promise.all(this.#running)
    await this.idle()
  }

  /**
   * Runs it now, whatever the time. Resolves with the run when it has ended, or as it is after `waitMs`; it goes on
   * then.
   */
  async runNow(waitMs?: number): Promise<ScheduleRun> {
    const { run, ended } = await this.#begin(undefined)
    if (waitMs === undefined) await ended
    else await this.#within(ended, waitMs)
    return { ...run }
  }

  async #within(ended: Promise<void>, waitMs: number): Promise<void> {
    const late = Promise.withResolvers<void>()
    const timer = this.#parts.clock.after(waitMs, late.resolve)
    await Promise.race([ended, late.promise])
    timer.cancel()
  }

  /** Throws SIGNALBOX_CONFLICT when it is to go on, and its options say that it does not. */
  async pause(paused: boolean): Promise<void> {
    const { name, options } = this.#config
    if (!paused && options.paused === true) {
      throw new SignalboxError('SIGNALBOX_CONFLICT', `schedule ${name} is paused by its options`, {
        details: {
          fix: 'Take `paused: true` out of its options, in signalbox.yaml and with `signalbox apply`.',
        },
      })
    }
    await this.#exclusive(async () => {
      const now = this.#parts.clock.now()
      // What falls into the pause is not made up for.
      this.#kept = { ...this.#kept!, paused, handledUpTo: Math.max(this.#kept!.handledUpTo, now) }
      await this.#save()
      await this.#look(false)
    })
  }

  view(): ScheduleView {
    const { name, type } = this.#config
    return {
      name,
      type,
      paused: this.#isPaused,
      nextAt: this.#isPaused ? undefined : this.#next(),
      running: this.#running.size,
      last: this.#last,
    }
  }

  /** The last runs, newest first. */
  async history(limit = 100): Promise<ScheduleRun[]> {
    const records = await this.#parts.state.list<ScheduleRun>(RUNS, { prefix: `${this.#config.name}/` })
    return records
      .map(({ value }) => value)
      .reverse()
      .slice(0, limit)
  }

  /** Forgets everything. */
  async erase(): Promise<void> {
    const { state } = this.#parts
    const runs = await state.list(RUNS, { prefix: `${this.#config.name}/`, limit: 100_000 })
    await state.transact([
      { type: 'delete', collection: COLLECTION, key: this.#config.name },
      ...runs.map(({ key }) => ({ type: 'delete' as const, collection: RUNS, key })),
    ])
  }

  get #isPaused(): boolean {
    return this.#kept!.paused || this.#config.options.paused === true
  }

  #next(): number | undefined {
    return this.#times(this.#kept!.startedAt).after(this.#kept!.handledUpTo)
  }

  /** One change after the other. */
  #exclusive(change: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(change)
    this.#queue = done.catch(error => this.#parts.onError(error as Error))
    return done
  }

  /** Runs what is due, and sets the clock for what comes next. `missed`: it was away. */
  async #look(missed: boolean): Promise<void> {
    this.#timer?.cancel()
    if (this.#stopped || this.#isPaused) return
    try {
      await this.#runDue(missed)
    } catch (error) {
      // What could not be kept did not happen; the disk may work again soon.
      if (!this.#stopped) this.#lookAfter(RETRY_MS, missed)
      throw error
    }
  }

  async #runDue(missed: boolean): Promise<void> {
    const { clock } = this.#parts
    const due = this.#dueUntil(clock.now())
    // More than one at a time has been missed as well: the node stood still, or its clock was set.
    const runs = missed || due.length > 1 ? this.#caughtUp(due) : due
    if (due.length > 0) await this.#handle(runs, due.at(-1)!)
    const next = this.#next()
    if (next === undefined || this.#stopped) return
    this.#lookAfter(Math.min(Math.max(0, next - clock.now()), LONGEST_TIMER_MS), false)
  }

  #lookAfter(ms: number, missed: boolean): void {
    this.#timer?.cancel()
    this.#timer = this.#parts.clock.after(ms, () => {
      // What fails is reported there.
      void this.#exclusive(() => this.#look(missed)).catch(() => {})
    })
  }

  #dueUntil(now: number): number[] {
    const times = this.#times(this.#kept!.startedAt)
    const due: number[] = []
    for (let at = this.#next(); at !== undefined && at <= now; at = times.after(at)) {
      due.push(at)
      // Of very many only the last are of interest.
      if (due.length > 2 * MAX_CAUGHT_UP) due.splice(0, MAX_CAUGHT_UP)
    }
    return due
  }

  #caughtUp(due: readonly number[]): number[] {
    switch (this.#config.options.catchUp ?? 'once') {
      case 'none':
        return []
      case 'once':
        return due.slice(-1)
      case 'all':
        return due.slice(-MAX_CAUGHT_UP)
    }
  }

  async #handle(due: readonly number[], upTo: number): Promise<void> {
    const before = this.#kept!
    this.#kept = { ...before, handledUpTo: upTo }
    try {
      await this.#save()
    } catch (error) {
      this.#kept = before
      throw error
    }
    const { jitterMs = 0, overlap } = this.#config.options
    for (const [index, at] of due.entries()) {
      // Those that are made up for come one after the other.
      if (index > 0 && overlap !== 'allow') this.#waiting.push(at)
      else if (jitterMs === 0) await this.#dueNow(at)
      else this.#dueAfter(this.#parts.random() * jitterMs, at)
    }
  }

  #dueAfter(ms: number, at: number): void {
    const delay = this.#parts.clock.after(ms, () => {
      this.#delays.delete(delay)
      // What fails is reported there.
      void this.#exclusive(() => this.#dueNow(at)).catch(() => {})
    })
    this.#delays.add(delay)
  }

  async #dueNow(at: number): Promise<void> {
    if (this.#stopped) return
    try {
      await this.#runOrSkip(at)
    } catch (error) {
      // It has been dealt with as far as the next look knows, so it is this that comes back to it.
      if (!this.#stopped) this.#dueAfter(RETRY_MS, at)
      throw error
    }
  }

  async #runOrSkip(at: number): Promise<void> {
    const { overlap = 'skip' } = this.#config.options
    if (this.#running.size === 0 || overlap === 'allow') {
      await this.#begin(at)
    } else if (overlap === 'queue') {
      // Once, however often it was due meanwhile.
      this.#waiting[0] ??= at
    } else {
      const startedAt = this.#parts.clock.now()
      await this.#record({
        ...this.#newRun(at, startedAt),
        outcome: 'skipped',
        reason: 'the last run goes on',
      })
    }
  }

  async #begin(dueAt: number | undefined): Promise<{ run: ScheduleRun; ended: Promise<void> }> {
    const run = this.#newRun(dueAt, this.#parts.clock.now())
    await this.#record(run)
    const ended = this.#end(run)
    this.#running.add(ended)
    void ended.then(() => {
      this.#running.delete(ended)
      const waiting = this.#waiting.shift()
      // What fails is reported there.
      if (waiting !== undefined) void this.#exclusive(() => this.#dueNow(waiting)).catch(() => {})
    })
    return { run, ended }
  }

  async #end(run: ScheduleRun): Promise<void> {
    const { run: execute, clock } = this.#parts
    try {
      await execute(this.#config, run)
      run.outcome = 'ok'
    } catch (thrown) {
      const { code, message } = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
      run.outcome = 'failed'
      run.reason = `${code}: ${message}`.slice(0, 2_000)
    }
    run.endedAt = clock.now()
    // One that cannot be recorded is reported there.
    await this.#exclusive(() => this.#record(run)).catch(() => {})
  }

  #newRun(dueAt: number | undefined, startedAt: number): ScheduleRun {
    this.#kept = { ...this.#kept!, runs: this.#kept!.runs + 1 }
    return { number: this.#kept.runs, dueAt, startedAt, outcome: 'running' }
  }

  async #record(run: ScheduleRun): Promise<void> {
    this.#last = run
    const { name, options } = this.#config
    const { history = 100 } = options
    await this.#parts.state.transact([
      { type: 'put', collection: COLLECTION, key: name, value: this.#kept },
      { type: 'put', collection: RUNS, key: keyOf(name, run.number), value: run },
      ...(run.number > history
        ? [{ type: 'delete' as const, collection: RUNS, key: keyOf(name, run.number - history) }]
        : []),
    ])
  }

  async #save(): Promise<void> {
    await this.#parts.state.put(COLLECTION, this.#config.name, this.#kept)
  }

  /** Runs that were under way when the node died have ended with it. */
  async #interrupted(): Promise<void> {
    const runs = await this.history(1_000)
    this.#last = runs[0]
    for (const run of runs) {
      if (run.outcome !== 'running') continue
      run.outcome = 'interrupted'
      run.reason = 'the node stopped before it had ended'
      await this.#parts.state.put(RUNS, keyOf(this.#config.name, run.number), run)
    }
  }
}

function keyOf(name: string, number: number): string {
  return `${name}/${String(number).padStart(12, '0')}`
}
