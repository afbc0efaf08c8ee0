/**
 * Which node and worker runs an actor of which the cluster has only one. Among nodes that see each other it is
 * the one with the lowest id that can; it starts only when no other says that it runs it. Nodes that do not see
 * each other each run it: excluding that takes a lease in a store they share.
 */
import type { Address } from '../actor/address.ts'
import type { Place } from './place.ts'

/** What a node says of its singletons. */
export interface Announcement {
  candidates: Address[]
  running: Address[]
}

interface Effects {
  activate(address: Address, place: Place): void
  deactivate(address: Address, place: Place): void
  announce(announcement: Announcement): void
}

export class Singletons {
  readonly #nodeId: string
  readonly #effects: Effects
  /** Places of this node that can run it, in the order they said so. */
  readonly #candidates = new Map<Address, Place[]>()
  readonly #running = new Map<Address, Place>()
  readonly #stopping = new Set<Address>()
  readonly #others = new Map<string, Announcement>()
  #last: Announcement = { candidates: [], running: [] }

  constructor(nodeId: string, effects: Effects) {
    this.#nodeId = nodeId
    this.#effects = effects
  }

  candidate(address: Address, place: Place): void {
    const places = this.#candidates.get(address) ?? []
    if (!places.includes(place)) this.#candidates.set(address, [...places, place])
    this.#decide()
  }

  /** A place of this node is gone or about to go. */
  leave(place: Place): void {
    for (const [address, places] of this.#candidates) {
      const left = places.filter(other => other !== place)
      if (left.length > 0) this.#candidates.set(address, left)
      else this.#candidates.delete(address)
    }
    for (const [address, runner] of this.#running) if (runner === place) this.#stop(address, place)
    this.#decide()
  }

  /** The actor of an address has ended at a place, or the place itself has. */
  stopped(address: Address, place: Place): void {
    if (this.#running.get(address) !== place) return
    this.#running.delete(address)
    this.#stopping.delete(address)
    this.#decide()
  }

  /** A place is gone with all it ran. */
  lost(place: Place): void {
    for (const [address, runner] of [...this.#running]) if (runner === place) this.stopped(address, place)
    this.leave(place)
  }

  announced(node: string, announcement: Announcement): void {
    this.#others.set(node, announcement)
    this.#decide()
  }

  gone(node: string): void {
    this.#others.delete(node)
    this.#decide()
  }

  own(): Announcement {
    return { candidates: [...this.#candidates.keys()], running: [...this.#running.keys()] }
  }

  #decide(): void {
    const before = JSON.stringify(this.#last)
    for (const [address, places] of this.#candidates) this.#decideOne(address, places[0]!)
    this.#last = this.own()
    if (JSON.stringify(this.#last) !== before) this.#effects.announce(this.#last)
  }

  #decideOne(address: Address, place: Place): void {
    const others = [...this.#others].filter(([, { candidates }]) => candidates.includes(address))
    const first = others.every(([node]) => this.#nodeId < node)
    const runsElsewhere = [...this.#others.values()].some(({ running }) => running.includes(address))
    const here = this.#running.get(address)
    if (here !== undefined && !first) {
      this.#stop(address, here)
    } else if (here === undefined && first && !runsElsewhere) {
      this.#running.set(address, place)
      this.#effects.activate(address, place)
    }
  }

  /** It counts as running until its worker says that it has ended. */
  #stop(address: Address, place: Place): void {
    if (this.#stopping.has(address)) return
    this.#stopping.add(address)
    this.#effects.deactivate(address, place)
  }
}
