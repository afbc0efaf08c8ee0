/** Actors by key: one for each key, made by its first message and stopped when it has had none for a while. */
import type { Timer } from '../clock.ts'
import type { Address } from './address.ts'
import type { ActorSpec, Behaviour } from './behaviour.ts'
import type { ActorSystem } from './system.ts'

export interface KeyedSpec extends Omit<ActorSpec, 'behaviour'> {
  behaviour: (key: string) => Behaviour
  /** An actor without messages for this long is stopped. Default 300,000 ms. */
  idleMs?: number
}

/** How many messages an actor had handled, and since when it has had no other. */
interface Seen {
  handled: number
  sinceMs: number
}

const DEFAULT_IDLE_MS = 300_000
/** The longest time that timers can wait. */
const MAX_TIMER_MS = 2 ** 31 - 1

export class Keyed {
  readonly #system: ActorSystem
  readonly #spec: KeyedSpec
  /** Its actors by address, with what the sweep last saw of them. */
  readonly #seen = new Map<Address, Seen>()
  #sweep: Timer | undefined
  #stopped = false

  constructor(system: ActorSystem, spec: KeyedSpec) {
    this.#system = system
    this.#spec = spec
  }

  /** The spec of the actor for one key. */
  specFor(address: Address, key: string): ActorSpec {
    this.#seen.set(address, { handled: -1, sinceMs: 0 })
    this.#sweep ??= this.#sweepLater()
    return { ...this.#spec, behaviour: () => this.#spec.behaviour(key) }
  }

  /** Stops the actors whose key no longer belongs here, after they have handled what they have. */
  async release(belongs: (address: Address) => boolean): Promise<void> {
    const others = [...this.#seen.keys()].filter(address => !belongs(address))
    await Promise.all(others.map(address => this.#system.retire(address)))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#sweep?.cancel()
    await Promise.all(Array.from(this.#seen.keys(), address => this.#system.stop(address)))
    this.#seen.clear()
  }

  get #idleMs(): number {
    return this.#spec.idleMs ?? DEFAULT_IDLE_MS
  }

  #sweepLater(): Timer {
    return this.#system.clock.after(Math.min(this.#idleMs / 2, MAX_TIMER_MS), () => {
      for (const [address, seen] of this.#seen) this.#look(address, seen)
      this.#sweep = this.#seen.size > 0 && !this.#stopped ? this.#sweepLater() : undefined
    })
  }

  #look(address: Address, seen: Seen): void {
    const cell = this.#system.cell(address)
    const now = this.#system.clock.monotonic()
    if (!cell) this.#seen.delete(address)
    else if (!cell.idle || cell.handled !== seen.handled) {
      this.#seen.set(address, { handled: cell.handled, sinceMs: now })
    } else if (now - seen.sinceMs >= this.#idleMs) void this.#system.retire(address)
  }
}
