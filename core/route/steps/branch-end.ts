/** A copy that outlives the message it was made of. */
import type { Compiling, Run } from '../compiling.ts'
import { type Exchange, keptOf } from '../exchange.ts'

/** Runs steps for a copy as a message of its own, so that the end of the other one does not cancel it. */
export function withEnd(c: Compiling, x: Exchange, run: Run): Promise<void> {
  return c.goOn(keptOf(x), run)
}
