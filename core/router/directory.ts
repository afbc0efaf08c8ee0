/** Which address lives at which places. Every worker and router has a copy; routers keep them equal. */
import { type Address, baseOf } from '../actor/address.ts'
import type { Balance } from './balance.ts'
import { nodeOf, type Place } from './place.ts'

export interface Registration {
  address: Address
  place: Place
  balance: Balance
}

/** A change of the directory, as it travels. */
export type DirectoryChange =
  | { type: 'add'; registrations: Registration[] }
  | { type: 'remove'; address: Address; place: Place }
  /** Everything at a place, or at all places of a node. */
  | { type: 'leave'; place?: Place; node?: string }

export interface Entry {
  readonly address: Address
  /** What the first of the places says, so that all copies agree whatever order the changes came in. */
  balance: Balance
  /** What each of the places says. */
  readonly balances: Map<Place, Balance>
  /** In order. */
  places: Place[]
  /** Before the last change: where keys come from that have moved. */
  before: readonly Place[]
  /** For going in turn. */
  turn: number
  /** Those of the places that are on the node which asked last for them. */
  near: { node: string; places: readonly Place[] } | undefined
}

/** The places of an entry that are on a node. */
export function placesOn(entry: Entry, node: string): readonly Place[] {
  if (entry.near?.node !== node) {
    entry.near = { node, places: entry.places.filter(place => nodeOf(place) === node) }
  }
  return entry.near.places
}

export class Directory {
  readonly #entries = new Map<Address, Entry>()

  /** The entry of an address; for a keyed one that of its base. */
  find(address: Address): Entry | undefined {
    return this.#entries.get(address) ?? this.#entries.get(baseOf(address))
  }

  /** Applies a change and returns the entries it touched. */
  apply(change: DirectoryChange): Entry[] {
    if (change.type === 'add') return change.registrations.map(registration => this.#add(registration))
    if (change.type === 'remove') {
      const entry = this.#entries.get(change.address)
      return entry && this.#drop(entry, place => place === change.place) ? [entry] : []
    }
    const gone = (place: Place) => place === change.place || nodeOf(place) === change.node
    return [...this.#entries.values()].filter(entry => this.#drop(entry, gone))
  }

  /** All registrations, or those of one node. */
  list(node?: string): Registration[] {
    const all = [...this.#entries.values()].flatMap(({ address, balances, places }) =>
      places.map(place => ({ address, balance: balances.get(place)!, place })),
    )
    return node === undefined ? all : all.filter(({ place }) => nodeOf(place) === node)
  }

  #add({ address, place, balance }: Registration): Entry {
    let entry = this.#entries.get(address)
    if (!entry) {
      entry = { address, balance, balances: new Map(), places: [], before: [], turn: 0, near: undefined }
      this.#entries.set(address, entry)
    }
    entry.balances.set(place, balance)
    const places = entry.places.includes(place) ? entry.places : [...entry.places, place].sort()
    this.#change(entry, places)
    return entry
  }

  #drop(entry: Entry, gone: (place: Place) => boolean): boolean {
    const left = entry.places.filter(place => !gone(place))
    if (left.length === entry.places.length) return false
    for (const place of entry.places) if (gone(place)) entry.balances.delete(place)
    this.#change(entry, left)
    if (left.length === 0) this.#entries.delete(entry.address)
    return true
  }

  #change(entry: Entry, places: Place[]): void {
    entry.before = entry.places
    entry.places = places
    entry.near = undefined
    entry.balance = entry.balances.get(places[0]!) ?? entry.balance
  }
}
