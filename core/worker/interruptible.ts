/** Keeps every loop of every thread open to `worker.terminate()`. */
import { setFlagsFromString } from 'node:v8'

/**
 * V8 13.6 (Node.js 24) drops the interrupt check of a hot loop that allocates, such as
 * `for (;;) list.push(new Array(1000))`, when it considers the loop for unrolling: `terminate()`, heap limits and
 * heap statistics then wait for ever, and the loop goes on until it takes the process down. Without unrolling the
 * check stays. Acts on the whole process, for code compiled from now on, so it is called before a thread starts that
 * may have to be ended. Calling it again does no harm.
 */
export function keepLoopsInterruptible(): void {
  setFlagsFromString('--no-turboshaft-loop-unrolling')
}
