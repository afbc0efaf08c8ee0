/**
 * What a supervisor decides, without doing it: a pure function from an event to actions, so that every case is
 * tested as a table. The words and defaults are those of Erlang/OTP's supervisor behaviour.
 */
import type { Random } from '../clock.ts'

export type Strategy = 'oneForOne' | 'oneForAll' | 'restForOne'

/** When a stopped child is started again: always, only after a failure, or never. */
export type RestartType = 'permanent' | 'transient' | 'temporary'

export interface SupervisionPolicy {
  /** Which children are restarted with one that failed. Default `oneForOne`. */
  strategy: Strategy
  /** More than this many restarts within `withinMs` are a failure of the supervisor itself. Default 5. */
  intensity: number
  /** Default 30,000 ms. */
  withinMs: number
  backoff: Backoff
}

/** Growing pauses between restarts. */
export interface Backoff {
  /** Pause before the first restart, in milliseconds. Default 10. */
  minMs: number
  /** Longest pause, in milliseconds. Default 5,000. */
  maxMs: number
  /** How much longer each pause is than the one before. Default 2. */
  factor: number
  /** Share of the pause that is left to chance, 0 to 1, so that many do not come back at once. Default 0.2. */
  jitter: number
}

export const DEFAULT_SUPERVISION: SupervisionPolicy = Object.freeze({
  strategy: 'oneForOne',
  intensity: 5,
  withinMs: 30_000,
  backoff: Object.freeze({ minMs: 10, maxMs: 5_000, factor: 2, jitter: 0.2 }),
})

/** A child as the decision sees it, in the order in which children were started. */
export interface ChildView {
  id: number
  restart: RestartType
}

export interface StopEvent {
  child: number
  /** Whether it failed, or stopped of its own will. */
  failed: boolean
  now: number
}

export type Decision =
  /** Nothing to restart; the child is gone. */
  | { type: 'forget' }
  /** Stop `stop` in this order, then after `delayMs` start `start` in this order. */
  | { type: 'restart'; stop: number[]; start: number[]; delayMs: number }
  /** Too many restarts: the supervisor itself fails. */
  | { type: 'escalate' }

/**
 * Decides what follows when a child stopped. `restarts` holds the times of earlier restarts and is brought up
 * to date.
 */
export function decide(
  policy: SupervisionPolicy,
  children: readonly ChildView[],
  restarts: number[],
  event: StopEvent,
  random: Random,
): Decision {
  const index = children.findIndex(child => child.id === event.child)
  const child = children[index]
  if (!child || child.restart === 'temporary' || (child.restart === 'transient' && !event.failed)) {
    return { type: 'forget' }
  }
  while (restarts.length > 0 && restarts[0]! <= event.now - policy.withinMs) restarts.shift()
  if (restarts.length >= policy.intensity) return { type: 'escalate' }
  restarts.push(event.now)
  const affected = affectedBy(policy.strategy, children, index)
  return {
    type: 'restart',
    stop: affected
      .filter(other => other.id !== child.id)
      .map(other => other.id)
      .reverse(),
    start: affected.filter(other => other.id === child.id || other.restart !== 'temporary').map(c => c.id),
    delayMs: backoffMs(policy.backoff, restarts.length, random),
  }
}

function affectedBy(strategy: Strategy, children: readonly ChildView[], index: number): readonly ChildView[] {
  if (strategy === 'oneForAll') return children
  if (strategy === 'restForOne') return children.slice(index)
  return children.slice(index, index + 1)
}

/** The pause before attempt number `attempt` (from 1). */
export function backoffMs(backoff: Backoff, attempt: number, random: Random): number {
  const growth = Math.min(backoff.factor ** (attempt - 1), Number.MAX_VALUE)
  const full = Math.min(backoff.maxMs, backoff.minMs * growth)
  return full * (1 - backoff.jitter * random())
}
