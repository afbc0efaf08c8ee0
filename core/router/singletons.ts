/**
 * Which node and worker runs an actor of which the cluster has only one. Among nodes that see each other it is
 * the one with the lowest id that can. It starts it only when every other node that it sees has said that it knows
 * of its candidacy and does not run the actor: whoever knows of a lower candidate does not start. Nodes that do not
 * see each other each run it: excluding that takes a lease in a store they share.
 */
import type { Address } from '../actor/address.ts'
import type { Place } from './place.ts'

/** What a node says of its singletons. */
export interface Announcement {
  /** Higher whenever `candidates` or `running` are others than before. */
  version: number
  candidates: Address[]
  running: Address[]
  /** The versions of the other nodes that it knows. */
  known: Record<string, number>
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
  /** The nodes that are seen; undefined: nothing heard yet. */
  readonly #others = new Map<string, Announcement | undefined>()
  #version = 0
  /** The version in which the present candidates were first announced. */
  readonly #since = new Map<Address, number>()
  #last = ''
  #lastContent = ''

  constructor(nodeId: string, effects: Effects) {
    this.#nodeId = nodeId
    this.#effects = effects
    this.#announce()
  }

  candidate(address: Address, place: Place): void {
    const places = this.#candidates.get(address) ?? []
    if (!places.includes(place)) this.#candidates.set(address, [...places, place])
    this.#decide()
  }

  /** A place cannot run it any more, and has ended it if it did. */
  withdraw(address: Address, place: Place): void {
    this.#drop(address, place)
    if (this.#running.get(address) === place) {
      this.#running.delete(address)
      this.#stopping.delete(address)
    }
    this.#decide()
  }

  /** A place of this node is about to go. */
  leave(place: Place): void {
    this.#withdraw(place)
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
    this.#withdraw(place)
    for (const [address, runner] of [...this.#running]) {
      if (runner !== place) continue
      this.#running.delete(address)
      this.#stopping.delete(address)
    }
    this.#decide()
  }

  /** Another node is seen from now on; send it what {@link own} says. */
  up(node: string): void {
    this.#others.set(node, undefined)
    this.#decide()
  }

  announced(node: string, announcement: Announcement): void {
    this.#others.set(node, announcement)
    this.#decide()
  }

  gone(node: string): void {
    this.#others.delete(node)
    this.#decide()
  }

  /** What this node has to say. */
  own(): Announcement {
    return {
      version: this.#version,
      candidates: [...this.#candidates.keys()].sort(),
      running: [...this.#running.keys()].sort(),
      known: Object.fromEntries(
        [...this.#others]
          .flatMap(([node, said]) => (said ? [[node, said.version] as const] : []))
          .sort(byName),
      ),
    }
  }

  #decide(): void {
    // First the news that there are candidates, then what can be done at once.
    this.#announce()
    for (const [address, places] of this.#candidates) this.#decideOne(address, places[0]!)
    this.#announce()
  }

  /** Tells the others what they have not been told. */
  #announce(): void {
    const { candidates, running } = this.own()
    const content = JSON.stringify([candidates, running])
    if (content !== this.#lastContent) this.#version++
    this.#lastContent = content
    for (const address of this.#since.keys()) if (!this.#candidates.has(address)) this.#since.delete(address)
    for (const address of candidates) if (!this.#since.has(address)) this.#since.set(address, this.#version)
    const own = this.own()
    const said = JSON.stringify(own)
    if (said === this.#last) return
    this.#last = said
    this.#effects.announce(own)
  }

  #decideOne(address: Address, place: Place): void {
    const here = this.#running.get(address)
    const lower = [...this.#others].some(
      ([node, said]) => node < this.#nodeId && said?.candidates.includes(address),
    )
    if (here !== undefined) {
      if (lower) this.#stop(address, here)
      return
    }
    if (lower || !this.#isFree(address)) return
    this.#running.set(address, place)
    this.#effects.activate(address, place)
  }

  /** Whether every other node knows that this one may run it, and does not. */
  #isFree(address: Address): boolean {
    const since = this.#since.get(address)!
    return [...this.#others.values()].every(
      said => said && (said.known[this.#nodeId] ?? -1) >= since && !said.running.includes(address),
    )
  }

  /** It counts as running until its worker says that it has ended. */
  #stop(address: Address, place: Place): void {
    if (this.#stopping.has(address)) return
    this.#stopping.add(address)
    this.#effects.deactivate(address, place)
  }

  #withdraw(place: Place): void {
    for (const address of this.#candidates.keys()) this.#drop(address, place)
  }

  #drop(address: Address, place: Place): void {
    const left = this.#candidates.get(address)?.filter(other => other !== place) ?? []
    if (left.length > 0) this.#candidates.set(address, left)
    else this.#candidates.delete(address)
  }
}

function byName([a]: readonly [string, number], [b]: readonly [string, number]): number {
  return a < b ? -1 : 1
}
