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

const DEFAULT_IDLE_MS = 300_000

export class Keyed {
  readonly #system: ActorSystem
  readonly #base: Address
  readonly #spec: KeyedSpec
  /** Messages handled when the sweep last looked, by address. */
  readonly #seen = new Map<Address, number>()
  #sweep: Timer | undefined
  #stopped = false

  constructor(system: ActorSystem, base: Address, spec: KeyedSpec) {
    this.#system = system
    this.#base = base
    this.#spec = spec
  }

  /** The spec of the actor for one key. */
  specFor(address: Address, key: string): ActorSpec {
    this.#seen.set(address, -1)
    this.#sweep ??= this.#sweepLater()
    return { ...this.#spec, behaviour: () => this.#spec.behaviour(key) }
  }

  /** Stops the actors whose key no longer belongs here, after they have handled what they have. */
  async release(belongs: (address: Address) => boolean): Promise<void> {
    await Promise.all([...this.#seen.keys()].filter(address => !belongs(address)).map(a => this.#retire(a)))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#sweep?.cancel()
    await Promise.all(Array.from(this.#seen.keys(), address => this.#system.stop(address)))
    this.#seen.clear()
  }

  #sweepLater(): Timer {
    return this.#system.clock.after((this.#spec.idleMs ?? DEFAULT_IDLE_MS) / 2, () => {
      for (const [address, handled] of this.#seen) this.#look(address, handled)
      this.#sweep = this.#seen.size > 0 && !this.#stopped ? this.#sweepLater() : undefined
    })
  }

  #look(address: Address, before: number): void {
    const cell = this.#system.cell(address)
    if (!cell) this.#seen.delete(address)
    else if (cell.idle && cell.handled === before) void this.#retire(address)
    else this.#seen.set(address, cell.handled)
  }

  async #retire(address: Address): Promise<void> {
    this.#seen.delete(address)
    await this.#system.retire(address)
  }

  get base(): Address {
    return this.#base
  }
}
