import type { Random } from '../../core/clock.ts'
import type { SignalboxError } from '../../core/errors.ts'
import type { ConnectionOptions } from './connection-options.ts'

/** RFC 9110, section 9.2.2. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])
const TEMPORARY = new Set(['SIGNALBOX_CONNECT_FAILED', 'SIGNALBOX_TIMEOUT_DEADLINE'])

/** What matters about a request for its repetition. */
export interface Repeatable {
  method: string
  /** False when the body is a stream, which is gone after the first try. */
  replayable: boolean
}

/**
 * How long to pause before the next try, in milliseconds, or undefined when there is none. `attempt` counts the
 * tries made, from 1. Full jitter: uniform between 0 and a ceiling that doubles. After Retry-After, and then by up to half
 * of it later: not all whom it told the same may come at once.
 */
export function retryDelayMs(
  failure: SignalboxError,
  attempt: number,
  request: Repeatable,
  options: ConnectionOptions['retry'],
  random: Random,
): number | undefined {
  if (attempt >= options.attempts || !request.replayable || !isTemporary(failure, options)) return undefined
  const neverSent = failure.details?.sent === false
  if (!neverSent && !options.allMethods && !IDEMPOTENT.has(request.method)) return undefined
  const ceiling = Math.min(options.maxDelayMs, options.minDelayMs * 2 ** (attempt - 1))
  const notBeforeMs = failure.retryAfterMs ?? 0
  return notBeforeMs + random() * Math.max(ceiling, notBeforeMs / 2)
}

function isTemporary(failure: SignalboxError, options: ConnectionOptions['retry']): boolean {
  if (failure.code === 'SIGNALBOX_HTTP_STATUS')
    return options.statuses.includes(failure.details?.status as number)
  return TEMPORARY.has(failure.code)
}

/** Retry-After (RFC 9110, section 10.2.3) in milliseconds: seconds or a date; undefined when it is neither. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs)
}
