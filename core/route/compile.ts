/**
 * Compiles a route into one function. Steps that have their result at once cost no promise: the function is
 * asynchronous from the first step on that has to wait.
 */
import { Envelope } from '../actor/envelope.ts'
import { type IdSource, idSource } from '../clock.ts'
import { SignalboxError, toSignalboxError } from '../errors.ts'
import { Invocation } from '../service/invocation.ts'
import type { ServiceContext } from '../service/service.ts'
import { observer } from '../telemetry/observe.ts'
import { type CheckedRoute, checkRoute, type Step } from './check.ts'
import type { Compiling, RoutePorts, Run } from './compiling.ts'
import { Exchange, exchangeOf, type KeptMessage } from './exchange.ts'
import { expressions } from './expressions.ts'
import { Housekeeping } from './housekeeping.ts'
import { Jobs } from './jobs.ts'
import type { RouteDefinition, StepKind, StepList } from './options.ts'
import { deadLettering } from './steps/dead-letter.ts'
import { COMPILERS, STATEFUL, WITH_REST } from './steps.ts'
import { tracedSequence } from './traced.ts'

/** What a step has done in this worker. */
export interface StepCount {
  id: string
  kind: StepKind
  begun: number
  failed: number
}

/** One step in a list, ready to run. */
export interface Entry {
  run: Run
  count: StepCount
}

const makeCid: IdSource = idSource()
const DEFAULT_TIMEOUT_MS = 30_000
/** A job is taken from who works on it when it is so much later than the message may take. */
const LEASE_RESERVE_MS = 15_000

export class CompiledRoute {
  readonly name: string
  readonly checked: CheckedRoute
  readonly counts: StepCount[] = []
  readonly jobs: Jobs
  readonly #ports: RoutePorts
  readonly #timeoutMs: number
  readonly #housekeeping: Housekeeping
  readonly #following = new Set<Promise<void>>()
  #run: Run = () => {}

  private constructor(name: string, checked: CheckedRoute, ports: RoutePorts) {
    this.name = name
    this.checked = checked
    this.#ports = ports
    this.#timeoutMs = checked.settings.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const { state, clock, random, ids } = ports
    const leaseMs = this.#timeoutMs + LEASE_RESERVE_MS
    const { log } = ports.service
    this.jobs = new Jobs({ route: name, state, clock, random, ids, log, leaseMs })
    this.#housekeeping = new Housekeeping(name, state, clock)
  }

  /**
   * Compiles a route. Rejects with SIGNALBOX_ROUTE_INVALID for what is wrong with it; details `pointer` where it is one
   * place.
   */
  static async compile(
    name: string,
    definition: RouteDefinition | CheckedRoute,
    ports: RoutePorts,
  ): Promise<CompiledRoute> {
    const checked = 'settings' in definition ? definition : checkRoute(definition, `route ${name}`)
    const route = new CompiledRoute(name, checked, ports)
    route.#run = route.#alone(await route.#list(checked.steps))
    return route
  }

  /** Handles a message; the payload that it has in the end is the answer. */
  handle(payload: unknown, context: ServiceContext): unknown {
    const x = new Exchange(payload, context.request.headers, context)
    const pending = this.#run(x)
    return pending === undefined ? answerOf(x) : pending.then(() => answerOf(x))
  }

  /** Whether it keeps anything, so that there may be something to take up. */
  get isStateful(): boolean {
    return this.counts.some(({ kind }) => STATEFUL.has(kind))
  }

  inspect(): Record<string, unknown> {
    const steps = this.counts.map(({ id, begun, failed }) => ({ id, begun, ...(failed > 0 && { failed }) }))
    return { steps, ...(this.jobs.active > 0 && { jobs: this.jobs.active }) }
  }

  /** Takes up what is due, and forgets what is over. Called about once a second in one worker of the node. */
  async sweep(): Promise<void> {
    await this.jobs.sweep()
    await this.#housekeeping.sweep()
  }

  /** Resolves when nothing is under way that nobody waits for. */
  async idle(): Promise<void> {
    do {
      await Promise.all(this.#following)
      await this.jobs.idle()
    } while (this.#following.size > 0)
  }

  /** Begins with nothing more by itself; another version takes over. */
  close(): void {
    this.jobs.close()
  }

  /** From right to left, for the kinds that what follows belongs to. */
  async #list(list: StepList | Step[]): Promise<Run> {
    const steps = list as Step[]
    // Counts are shown in the order of the file.
    const counts = steps.map(({ kind, id }) => this.#count(kind, id))
    let entries: Entry[] = []
    for (let i = steps.length - 1; i >= 0; i--) {
      const step = steps[i]!
      const takesRest = WITH_REST.has(step.kind)
      const rest = takesRest ? sequence(this.name, entries) : nothing
      const run = await this.#step(step, rest)
      entries = [{ run, count: counts[i]! }, ...(takesRest ? [] : entries)]
    }
    return sequence(this.name, entries)
  }

  #count(kind: StepKind, id: string): StepCount {
    const count: StepCount = { id, kind, begun: 0, failed: 0 }
    this.counts.push(count)
    return count
  }

  async #step(step: Step, rest: Run): Promise<Run> {
    try {
      if (STATEFUL.has(step.kind) && !this.#ports.hasState) throw noState(step.kind)
      const compile = COMPILERS[step.kind] as (c: Compiling) => Run | Promise<Run>
      return await compile(this.#compiling(step, rest))
    } catch (thrown) {
      const error = toSignalboxError(thrown, 'SIGNALBOX_ROUTE_INVALID')
      if (error.details?.pointer !== undefined) throw error
      const message = `route ${this.name}, step ${step.id}: ${error.message}`
      const details = { ...error.details, pointer: `${step.pointer}/${step.kind}`, step: step.id }
      throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', message, { cause: error, details })
    }
  }

  #compiling(step: Step, rest: Run): Compiling {
    const { state, clock, seams, service } = this.#ports
    return {
      route: this.name,
      id: step.id,
      options: step.options,
      ports: this.#ports,
      clock,
      state,
      log: service.log,
      jobs: this.jobs,
      timeoutMs: this.#timeoutMs,
      rest,
      steps: list => this.#list(list),
      ...expressions(seams, this.name, step.id),
      alone: run => this.#alone(run),
      goOn: (message, run) => this.#goOn(message, run),
      follow: work => this.#follow(work),
    }
  }

  /** A message of its own: nobody waits for its answer, and it has its own time limit. */
  async #goOn(kept: KeptMessage, run: Run): Promise<void> {
    const { service, clock } = this.#ports
    const { payload, headers, cid, identity } = kept
    const origin = identity ? { identity } : undefined
    const envelope = new Envelope(`route/${this.name}`, payload, { cid, headers, origin }, 0, undefined, 0)
    const context = new Invocation(service, `route/${this.name}`, envelope, makeCid)
    const timer = clock.after(this.#timeoutMs, () => envelope.cancel(tooLate(this.name)))
    const x = exchangeOf(kept, context)
    try {
      await run(x)
      if (envelope.cancelled) throw envelope.cancelled
    } finally {
      timer.cancel()
    }
  }

  #alone(run: Run): Run {
    const { deadLetter } = this.checked.settings
    if (deadLetter === undefined) return run
    return deadLettering(deadLetter, false, run, { route: this.name, log: this.#ports.service.log })
  }

  #follow(work: Promise<void>): void {
    const followed = work.finally(() => this.#following.delete(followed))
    this.#following.add(followed)
  }
}

function tooLate(route: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', `route ${route} took longer than its time limit`)
}

function noState(kind: string): SignalboxError {
  const message = `${kind} needs a folder to keep its state in, and this node has none`
  return new SignalboxError('SIGNALBOX_ROUTE_INVALID', message)
}

function answerOf(x: Exchange): unknown {
  return x.stopped ? undefined : x.payload
}

const nothing: Run = () => {}

/** One step after the other. */
function sequence(route: string, entries: readonly Entry[]): Run {
  const runs = entries.map(({ run }) => run)
  const counts = entries.map(({ count }) => count)
  const traced = tracedSequence(route, entries)
  const last = runs.length
  const goOn = async (x: Exchange, pending: Promise<void>, from: number): Promise<void> => {
    let i = from
    try {
      await pending
      while (++i < last && !x.stopped) {
        counts[i]!.begun++
        const next = runs[i]!(x)
        if (next !== undefined) await next
      }
    } catch (error) {
      counts[i]!.failed++
      x.failedAt ??= counts[i]!.id
      throw error
    }
  }
  return x => {
    if (observer !== undefined) return traced(x)
    let i = 0
    try {
      for (; i < last; i++) {
        if (x.stopped) return undefined
        counts[i]!.begun++
        const pending = runs[i]!(x)
        if (pending !== undefined) return goOn(x, pending, i)
      }
    } catch (error) {
      counts[i]!.failed++
      x.failedAt ??= counts[i]!.id
      throw error
    }
    return undefined
  }
}
