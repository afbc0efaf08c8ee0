/** Circuit breaker: what fails again and again is left alone for a while, then probed with one message. */
import { SignalboxError, toSignalboxError } from '../../errors.ts'
import { type Compiler, isPromise } from '../compiling.ts'
import type { Exchange } from '../exchange.ts'

export const circuit: Compiler<'circuit'> = async c => {
  const run = await c.steps(c.options.steps)
  const fallback = c.options.fallback === undefined ? undefined : await c.steps(c.options.fallback)
  const { failures, openMs, unless = [] } = c.options
  const { clock, log, route, id } = c
  let inARow = 0
  let openUntil: number | undefined
  let probing = false

  const succeeded = () => {
    if (openUntil !== undefined) log.info({ route, step: id }, 'circuit closed')
    inARow = 0
    openUntil = undefined
    probing = false
  }
  const failed = (thrown: unknown, isProbe: boolean) => {
    if (isProbe) probing = false
    const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
    // What is wrong with the message is no failure of the other side.
    if (error.status < 500 && error.status !== 429 && error.status !== 408) return
    if (unless.includes(error.code) || error.code === 'SIGNALBOX_CANCELLED') return
    inARow++
    if (!isProbe && inARow < failures!) return
    if (openUntil === undefined) log.warn({ route, step: id, code: error.code, err: error }, 'circuit opened')
    openUntil = clock.monotonic() + openMs!
  }
  const refuse = (x: Exchange): void | Promise<void> => {
    const waitMs = Math.max(0, openUntil! - clock.monotonic())
    const error = new SignalboxError('SIGNALBOX_CIRCUIT_OPEN', `step ${id}: the circuit is open`, {
      retryAfterMs: Math.ceil(waitMs),
      details: { step: id },
    })
    if (!fallback) throw error
    x.error = error
    return fallback(x)
  }
  return x => {
    const isOpen = openUntil !== undefined
    if (isOpen && (probing || clock.monotonic() < openUntil!)) return refuse(x)
    if (isOpen) probing = true
    try {
      const pending = run(x)
      if (!isPromise(pending)) {
        succeeded()
        return undefined
      }
      return pending.then(succeeded, thrown => {
        failed(thrown, isOpen)
        throw thrown
      })
    } catch (thrown) {
      failed(thrown, isOpen)
      throw thrown
    }
  }
}
