/** Retry with exponential backoff and full jitter, within a budget of time. */
import { toSignalboxError } from '../../errors.ts'
import { type Compiler, isPromise, pause } from '../compiling.ts'
import type { Exchange } from '../exchange.ts'

/**
 * A server that says when to come again is asked no sooner; and not by all at once, whom it told the same. `chance`
 * is in [0, 1).
 */
function laterMs(notBeforeMs: number, mostMs: number, chance: number): number {
  return notBeforeMs + chance * Math.max(mostMs, notBeforeMs / 2)
}

export const retry: Compiler<'retry'> = async c => {
  const run = await c.steps(c.options.steps)
  const { attempts, minMs, maxMs, factor, budgetMs, on, unless = [] } = c.options
  const { clock } = c
  const { random } = c.ports
  const again = async (x: Exchange, thrown: unknown, startedAt: number): Promise<void> => {
    for (let attempt = 1, failure = thrown; ; attempt++) {
      const error = toSignalboxError(failure, 'SIGNALBOX_SERVICE_FAILED')
      const hopeless =
        unless.includes(error.code) || (on === 'retryable' && !error.retryable) || x.signal.aborted
      if (hopeless || attempt >= attempts!) throw failure
      const mostMs = Math.min(maxMs!, minMs! * factor! ** (attempt - 1))
      const pauseMs = laterMs(error.retryAfterMs ?? 0, mostMs, random())
      if (clock.monotonic() - startedAt + pauseMs > budgetMs!) throw failure
      await pause(clock, pauseMs, x.signal)
      const copy = x.copy()
      try {
        await run(copy)
        x.become(copy)
        x.failedAt = undefined
        return
      } catch (next) {
        x.failedAt = copy.failedAt
        failure = next
      }
    }
  }
  return x => {
    const startedAt = clock.monotonic()
    // Each attempt begins with the message as it was.
    const copy = x.copy()
    const failed = (thrown: unknown) => {
      x.failedAt = copy.failedAt
      return again(x, thrown, startedAt)
    }
    try {
      const pending = run(copy)
      if (isPromise(pending)) return pending.then(() => x.become(copy), failed)
      x.become(copy)
      return undefined
    } catch (thrown) {
      return failed(thrown)
    }
  }
}
