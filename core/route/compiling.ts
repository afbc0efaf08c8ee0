/** What the compilers of steps work with. */
import type { Clock, IdSource, Random } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import type { ServicePorts } from '../service/invocation.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Step } from './check.ts'
import type { Exchange, KeptMessage } from './exchange.ts'
import type { Jobs } from './jobs.ts'
import type { Expression, StepKind, StepList, Value } from './options.ts'
import type { RouteSeams } from './seams.ts'
import type { RouteState } from './state.ts'

/** Does something with a message. Undefined: it is done; only what has to wait costs a promise. */
export type Run = (x: Exchange) => void | Promise<void>

export type Evaluate<T = unknown> = (x: Exchange) => T | Promise<T>

/** So many messages in so many milliseconds. */
export interface TokenRate {
  limit: number
  perMs: number
  burst: number
  maxWaitMs: number
}

/** What routes need of the bus; the test kit gives another one. */
export interface RoutePorts {
  readonly service: ServicePorts
  /** What is kept on disk for the routes of the node. */
  readonly state: RouteState
  /** Whether the node has a place for it: without one, steps that keep something do not compile. */
  readonly hasState: boolean
  readonly clock: Clock
  readonly random: Random
  readonly ids: IdSource
  readonly seams: RouteSeams
  /** Takes a token of a bucket of the node: the milliseconds to wait for it, -1 when that would be too long. */
  tokens(bucket: string, rate: TokenRate): number | Promise<number>
}

/** Everything about the step that is being compiled, and about its route. */
export interface Compiling<K extends StepKind = StepKind> {
  readonly route: string
  readonly id: string
  readonly options: Step<K>['options']
  readonly ports: RoutePorts
  readonly clock: Clock
  readonly log: Logger
  readonly state: RouteState
  readonly jobs: Jobs
  /** Longest time for a message that goes on by itself. */
  readonly timeoutMs: number
  /** For the kinds that the rest of their list belongs to: all that follows. */
  readonly rest: Run
  /** The same for messages that go on by themselves: what fails becomes a dead letter, where the route has them. */
  alone(run: Run): Run
  steps(list: StepList | Step[]): Promise<Run>
  evaluate<T = unknown>(expression: Expression | undefined, what: string): Promise<Evaluate<T>>
  /** Text is an expression, anything else stands for itself. */
  value(value: Value, what: string): Promise<Evaluate>
  /** Like {@link evaluate}, of a value that is no message. */
  evaluateOf<T = unknown>(
    expression: Expression,
    what: string,
  ): Promise<(input: unknown, x: Exchange) => T | Promise<T>>
  /** Goes on with a message that was kept, as a message of its own with its own time limit. */
  goOn(message: KeptMessage, run: Run): Promise<void>
  /** Puts work that nobody waits for under the eyes of the route. */
  follow(work: Promise<void>): void
}

export type Compiler<K extends StepKind> = (c: Compiling<K>) => Run | Promise<Run>

export function isPromise(value: unknown): value is Promise<unknown> {
  if (value instanceof Promise) return true
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  )
}

/** Goes on with a value at once, or when its promise has it. */
export function then<T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return isPromise(value) ? (value as Promise<T>).then(next) : next(value as T)
}

/** Evaluates several by name, one after the other where one has to wait. */
export async function valuesOf(
  c: Pick<Compiling, 'value'>,
  values: Readonly<Record<string, Value>> | undefined,
  what: string,
): Promise<(x: Exchange) => [string, unknown][] | Promise<[string, unknown][]>> {
  const evaluates: [string, Evaluate][] = []
  for (const [name, value] of Object.entries(values ?? {})) {
    evaluates.push([name, await c.value(value, `${what}.${name}`)])
  }
  return x => {
    const found = evaluates.map(([name, evaluate]): [string, unknown] => [name, evaluate(x)])
    if (!found.some(([, value]) => isPromise(value))) return found
    return Promise.all(found.map(async ([name, value]): Promise<[string, unknown]> => [name, await value]))
  }
}

/** Waits; rejects when the message is cancelled. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      timer.cancel()
      reject(signal.reason)
    }
    if (signal.aborted) {
      reject(signal.reason)
      return
    }
    const timer = clock.after(ms, () => {
      signal.removeEventListener('abort', giveUp)
      resolve()
    })
    signal.addEventListener('abort', giveUp, { once: true })
  })
}

/** A whole number from a header, a payload or an expression. Throws SIGNALBOX_EXPRESSION_FAILED. */
export function wholeNumber(value: unknown, what: string): number {
  const number = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
  if (Number.isSafeInteger(number) && (number as number) >= 0) return number as number
  throw new SignalboxError(
    'SIGNALBOX_EXPRESSION_FAILED',
    `${what} must be a whole number, not ${shown(value)}`,
  )
}

/** Text that can be a key. Throws SIGNALBOX_EXPRESSION_FAILED. */
export function keyText(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new SignalboxError(
    'SIGNALBOX_EXPRESSION_FAILED',
    `${what} must be text or a number, not ${shown(value)}`,
  )
}

export function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return `'${value.slice(0, 40)}'`
  return Array.isArray(value) ? 'a list' : value === null ? 'null' : typeof value
}

/** JSONata takes nothing, empty and zero for false; so do routes. */
export function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isTrue)
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}
