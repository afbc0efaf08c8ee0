/** Counts what is refused or thrown away, and says so in the log without letting a stranger fill it. */
import type { Clock } from '../clock.ts'
import type { Logger } from '../telemetry/log.ts'

/** How often something was refused or thrown away since the start. */
export interface NetCounters {
  /** Connections whose CURVE key is on no list. */
  refusedKeys: number
  /** Hellos with a wrong code, name, key, direction or version. */
  refusedHellos: number
  /** Messages on a connection without a valid hello. */
  unknown: number
  /** Messages of known peers that are not of the protocol. */
  malformed: number
  /** Messages of peers that made `onFrames` throw. */
  handlerErrors: number
}

const LOG_EVERY_MS = 10_000

export class Report {
  readonly counters: NetCounters = {
    refusedKeys: 0,
    refusedHellos: 0,
    unknown: 0,
    malformed: 0,
    handlerErrors: 0,
  }
  readonly #log: Logger
  readonly #clock: Clock
  readonly #lastLogged = new Map<string, { atMs: number; hidden: number }>()

  constructor(log: Logger, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  /** Counts, and warns with a code; at most once in ten seconds for each message. */
  warn(counter: keyof NetCounters, code: string, message: string, data: object = {}): void {
    this.counters[counter]++
    this.say(code, message, data)
  }

  /** Warns without counting, under the same limit. The message must be a constant: it is the key of the limit. */
  say(code: string, message: string, data: object = {}): void {
    const now = this.#clock.monotonic()
    const last = this.#lastLogged.get(message)
    if (last && now - last.atMs < LOG_EVERY_MS) {
      last.hidden++
      return
    }
    this.#lastLogged.set(message, { atMs: now, hidden: 0 })
    this.#log.warn({ code, ...data, ...(last?.hidden ? { alsoNotLogged: last.hidden } : {}) }, message)
  }
}
