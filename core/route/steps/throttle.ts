/** Throttler: no more messages than a node is to let through. */
import { SignalboxError } from '../../errors.ts'
import { type Compiler, pause, then } from '../compiling.ts'
import type { Exchange } from '../exchange.ts'

export const throttle: Compiler<'throttle'> = c => {
  const { limit, perMs, over, maxWaitMs } = c.options
  const burst = c.options.burst ?? limit
  const bucket = `${c.route}/${c.id}`
  const rate = { limit, perMs: perMs!, burst, maxWaitMs: over === 'reject' ? 0 : maxWaitMs! }
  const pass = (x: Exchange, waitMs: number): void | Promise<void> => {
    if (waitMs === 0) return undefined
    if (waitMs > 0) return pause(c.clock, waitMs, x.signal)
    throw new SignalboxError(
      'SIGNALBOX_THROTTLED',
      `step ${c.id} lets ${limit} messages pass in ${perMs} ms`,
      {
        retryAfterMs: Math.ceil(perMs! / limit),
        details: { step: c.id },
      },
    )
  }
  return x => then(c.ports.tokens(bucket, rate), waitMs => pass(x, waitMs))
}
