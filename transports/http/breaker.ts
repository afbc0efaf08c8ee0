import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  circuitBreaker,
  handleWhen,
  SamplingBreaker,
} from 'cockatiel'
import { SignalboxError } from '../../core/errors.ts'
import type { ConnectionOptions } from './connection-options.ts'

/** Origins a breaker is kept for; the one unused for longest is forgotten. */
const MAX_ORIGINS = 256
const FAILURES = new Set([
  'SIGNALBOX_CONNECT_FAILED',
  'SIGNALBOX_TIMEOUT_DEADLINE',
  'SIGNALBOX_TLS_UNVERIFIED',
  'SIGNALBOX_FORMAT_INVALID',
])

/** One circuit breaker for each origin. */
export class Breakers {
  readonly #options: ConnectionOptions['circuitBreaker']
  readonly #policies = new Map<string, CircuitBreakerPolicy>()

  constructor(options: ConnectionOptions['circuitBreaker']) {
    this.#options = options
  }

  /** Runs `work`, or rejects with SIGNALBOX_CIRCUIT_OPEN while the origin is left alone. */
  async run<T>(origin: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (!this.#options.enabled) return await work()
    try {
      return await this.#policyOf(origin).execute(work, signal)
    } catch (error) {
      if (!(error instanceof BrokenCircuitError)) throw error
      throw new SignalboxError('SIGNALBOX_CIRCUIT_OPEN', `${origin}: the circuit breaker is open`, {
        retryAfterMs: this.#options.halfOpenAfterMs,
      })
    }
  }

  /** State of an origin's breaker, for people. */
  state(origin: string): 'closed' | 'open' | 'half-open' {
    const state = this.#policies.get(origin)?.state ?? CircuitState.Closed
    if (state === CircuitState.HalfOpen) return 'half-open'
    return state === CircuitState.Closed ? 'closed' : 'open'
  }

  #policyOf(origin: string): CircuitBreakerPolicy {
    const policy = this.#policies.get(origin) ?? this.#create()
    this.#policies.delete(origin)
    this.#policies.set(origin, policy)
    if (this.#policies.size > MAX_ORIGINS) this.#policies.delete(this.#policies.keys().next().value!)
    return policy
  }

  #create(): CircuitBreakerPolicy {
    const { threshold, samplingMs, minimumRequests, halfOpenAfterMs } = this.#options
    const breaker = new SamplingBreaker({
      threshold,
      duration: samplingMs,
      minimumRps: (minimumRequests / samplingMs) * 1000,
    })
    // A probe that was cancelled proved nothing: it must not close the circuit.
    const failed = (error: unknown) =>
      countsAsFailure(error) || (policy.state === CircuitState.HalfOpen && isCancelled(error))
    const policy = circuitBreaker(handleWhen(failed), { halfOpenAfter: halfOpenAfterMs, breaker })
    return policy
  }
}

/** Whether the server is to blame: unreachable, too slow, or a status of 500 and more. */
function countsAsFailure(error: unknown): boolean {
  if (!(error instanceof SignalboxError)) return false
  if (error.code === 'SIGNALBOX_HTTP_STATUS') return (error.details?.status as number) >= 500
  return FAILURES.has(error.code)
}

function isCancelled(error: unknown): boolean {
  const code = error instanceof SignalboxError ? error.code : ''
  return code === 'SIGNALBOX_CANCELLED' || code === 'SIGNALBOX_NOT_CONNECTED'
}
