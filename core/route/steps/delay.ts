/** Delayer: short ones are waited for; a message that waits longer is kept on disk, and its sender is answered. */
import { SignalboxError } from '../../errors.ts'
import { type Compiler, pause, shown, then } from '../compiling.ts'
import { type Exchange, type KeptMessage, keptOf } from '../exchange.ts'

/** Callers wait for no longer delay. */
const MAX_WAIT_MS = 1_000
const MAX_DELAY_MS = 31_622_400_000

export const delay: Compiler<'delay'> = async c => {
  const ms = await c.value(c.options.ms, 'ms')
  const { clock, state, jobs, id } = c
  const run = c.alone(c.rest)
  c.jobs.handle(id, async message => {
    await c.goOn(message as KeptMessage, run)
    return {}
  })
  const wait = async (x: Exchange, given: unknown): Promise<void> => {
    const forMs = Number(given)
    if (typeof given === 'boolean' || given === null || !(forMs <= MAX_DELAY_MS)) {
      throw new SignalboxError(
        'SIGNALBOX_EXPRESSION_FAILED',
        `ms must be a number of milliseconds, not ${shown(given)}`,
      )
    }
    if (forMs <= MAX_WAIT_MS) {
      if (forMs > 0) await pause(clock, forMs, x.signal)
      await c.rest(x)
      return
    }
    const { key, change } = jobs.create(id, clock.now() + forMs, keptOf(x))
    await state.transact([change])
    jobs.arm(key)
    x.stopped = true
  }
  return x => then(ms(x), value => wait(x, value))
}
