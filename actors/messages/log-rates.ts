/** How many messages a second go into queues and topics, and out of them. */
import type { Clock, Timer } from '../../core/clock.ts'
import type { MessageLog } from '../../core/store/messages/message-log.ts'

/** Messages a second. */
export interface Rates {
  published: number
  settled: number
}

interface Sample extends Rates {
  at: number
}

const SAMPLE_MS = 5_000

/** Looks at the counters of all logs from time to time: that costs the messages nothing. */
export class LogRates {
  readonly #clock: Clock
  readonly #logs: () => readonly MessageLog[]
  #samples = new WeakMap<MessageLog, Sample>()
  #rates = new WeakMap<MessageLog, Rates>()
  #timer: Timer | undefined

  constructor(clock: Clock, logs: () => readonly MessageLog[]) {
    this.#clock = clock
    this.#logs = logs
  }

  start(): void {
    this.#timer = this.#clock.after(SAMPLE_MS, () => this.start())
    for (const log of this.#logs()) this.#look(log)
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** Over the last seconds; undefined until it was looked at twice. */
  of(log: MessageLog): Rates | undefined {
    return this.#rates.get(log)
  }

  #look(log: MessageLog): void {
    const { published, subscriptions } = log.counts()
    const settled = Object.values(subscriptions).reduce((sum, sub) => sum + sub.settled, 0)
    const now = { at: this.#clock.monotonic(), published, settled }
    const before = this.#samples.get(log)
    this.#samples.set(log, now)
    if (before === undefined) return
    const perSecond = (count: number) => Math.round((Math.max(0, count) * 10_000) / (now.at - before.at)) / 10
    this.#rates.set(log, {
      published: perSecond(published - before.published),
      settled: perSecond(settled - before.settled),
    })
  }
}
