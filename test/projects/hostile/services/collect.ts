import { setTimeout as wait } from 'node:timers/promises'
import { Service } from 'signalbox'

/** Collects the garbage of its worker, and says how many bytes it holds on to. */
export default class Collect extends Service {
  async handle() {
    let held = Number.POSITIVE_INFINITY
    // Buffers are freed some time after the objects that held them.
    for (let round = 0; round < 10; round++) {
      globalThis.gc?.()
      await wait(10)
      const { heapUsed, external } = process.memoryUsage()
      held = Math.min(held, heapUsed + external)
    }
    return held
  }
}
