/** A worker's part of the router: its links, its copy of the directory, and the choice of where a message goes. */
import type { MessagePort } from 'node:worker_threads'
import { type Address, baseOf, keyOf } from '../actor/address.ts'
import type { Down } from '../actor/behaviour.ts'
import type { Envelope } from '../actor/envelope.ts'
import { type ActorSystem, type Remote, unknownAddress } from '../actor/system.ts'
import { SignalboxError } from '../errors.ts'
import { rendezvous } from '../router/balance.ts'
import { Directory, type DirectoryChange, type Entry, placesOn } from '../router/directory.ts'
import { Link } from '../router/link.ts'
import type { Guest } from '../router/link-guest.ts'
import { isClient, nodeOf, type Place } from '../router/place.ts'
import { ThreadPipe } from '../router/thread-pipe.ts'
import type { Pipe } from '../router/wire.ts'

/** The address at which a worker answers for its keyed actors. */
const KEEPER = 'system/keyed'

/** What programs outside the bus may reach. */
const PUBLIC = /^(?:service|topic|queue)\//

/** The way to places that this thread has no port to. */
export interface Pipes {
  to(place: Place): Pipe
  /** Called when the other side has closed the way to it. */
  onClosed: ((place: Place, error: SignalboxError) => void) | undefined
}

/** Bytes on their way to one worker of another node; each pair of workers has a window of its own. */
const NODE_WINDOW_BYTES = 4 * 1024 * 1024

export class WorkerRouter implements Remote {
  readonly place: Place
  readonly directory = new Directory()
  readonly #node: string
  readonly #system: ActorSystem
  readonly #links = new Map<Place, Link>()
  readonly #pipes: Pipes
  /** Told of each place that is gone. */
  onLost: ((place: Place, error: SignalboxError) => void) | undefined
  /** Places that will go and are sent nothing more. */
  readonly #leaving = new Set<Place>()

  constructor(place: Place, system: ActorSystem, pipes: Pipes) {
    this.place = place
    this.#node = nodeOf(place)
    this.#system = system
    this.#pipes = pipes
    pipes.onClosed = (from, error) => this.lost(from, error)
    system.remote = this
    system.spawn(KEEPER, {
      concurrency: 1024,
      behaviour: () => ({ receive: address => system.retire(address as Address) }),
    })
  }

  /** Takes a batch that came by way of the router. */
  receive(from: Place, body: Uint8Array, attachments: readonly Uint8Array[]): void {
    this.#linkTo(from).receive(body, attachments)
  }

  /** Wires the direct way to another worker of this node. */
  connect(place: Place, port: MessagePort): void {
    const pipe = new ThreadPipe(port, {
      receive: (body, attachments) => link.receive(body, attachments),
      // It stays in the list, closed, until the router says that the place is gone.
      closed: error => link.lost(error),
    })
    const link = new Link({ place, system: this.#system, pipe })
    this.#links.set(place, link)
  }

  /** The place is gone: what waits for it fails at once. */
  lost(place: Place, error: SignalboxError): void {
    const link = this.#links.get(place)
    this.#links.delete(place)
    this.#leaving.delete(place)
    link?.lost(error)
    this.onLost?.(place, error)
  }

  /** Takes a change of the directory, and lets go of the keys that belong elsewhere now. */
  apply(change: DirectoryChange, reason?: string): void {
    for (const entry of this.directory.apply(change)) {
      if (entry.balance !== 'keyed') continue
      const mine = (address: Address) => rendezvous(keyOf(address)!, entry.places) === this.place
      void this.#system.releaseKeys(entry.address, mine)
    }
    if (change.type === 'leave' && change.node !== undefined) this.#lostNode(change.node, reason)
  }

  /** Resolves when no other worker, or none of other nodes, sends anything more to this one. */
  async finished(from: 'all' | 'otherNodes' = 'all'): Promise<void> {
    const counts = ({ place }: Link) => !isClient(place) && (from === 'all' || nodeOf(place) !== this.#node)
    // Links that begin meanwhile count as well.
    for (let seen = -1; seen !== this.#links.size; ) {
      seen = this.#links.size
      const links = [...this.#links.values()].filter(counts)
      await Promise.all(links.map(link => link.finished()))
    }
  }

  /** Resolves when no message is queued, handled, asked or on its way to this worker any more. */
  async drained(): Promise<void> {
    do {
      await this.#system.whenIdle()
      // What an actor sent last leaves at the end of its turn; the answer to it may start another.
      await new Promise(resolve => setImmediate(resolve))
    } while (this.load > 0 || !this.#system.idle)
  }

  /** A place is about to leave: it is told that nothing more comes. */
  finish(place: Place): void {
    this.#leaving.add(place)
    this.#links.get(place)?.finish()
  }

  /** Plain data on every link. */
  inspect(): Record<string, unknown>[] {
    return Array.from(this.#links.values(), link => link.inspect())
  }

  /** Whether anything that this worker asked elsewhere is still under way. */
  get load(): number {
    let load = 0
    for (const link of this.#links.values()) load += link.load
    return load
  }

  shares(address: Address): boolean {
    const entry = this.directory.find(address)
    return entry !== undefined && entry.balance !== 'localFirst'
  }

  deliver(envelope: Envelope): Promise<void> | undefined {
    const place = this.#pick(envelope.to)
    if (place === undefined || place === this.place) return this.#system.deliver(envelope)
    return this.#linkTo(place).deliver(envelope)
  }

  monitor(address: Address, notify: (notice: Down) => void): () => void {
    const place = this.#pick(address)
    if (place !== undefined && place !== this.place) return this.#linkTo(place).monitor(address, notify)
    notify({ address, reason: unknownAddress(address) })
    return () => {}
  }

  /** Waits until a keyed actor that is to start here has ended where its key lived before. */
  claim(address: Address): Promise<void> | undefined {
    const entry = this.directory.find(address)
    const owner = entry && rendezvous(keyOf(address)!, entry.before)
    if (owner === undefined || owner === this.place) return undefined
    if (!this.#links.has(owner) && !entry!.places.includes(owner)) return undefined
    return this.#system
      .askAt(envelope => this.#linkTo(owner).deliver(envelope), KEEPER, address)
      .then(
        () => undefined,
        error => this.#system.log.warn({ address, owner, err: error }, 'key not released'),
      )
  }

  #pick(address: Address): Place | undefined {
    const entry = this.directory.find(address)
    if (entry === undefined) return undefined
    if (entry.places.length === 1) return entry.places[0]
    switch (entry.balance) {
      case 'keyed':
        return rendezvous(keyOf(address) ?? address, entry.places)
      case 'roundRobin':
        return inTurn(entry, entry.places)
      case 'leastBusy':
        return this.#leastBusy(entry)
      case 'localFirst':
        return this.#nearest(entry)
    }
  }

  #nearest(entry: Entry): Place | undefined {
    if (entry.places.includes(this.place)) return this.place
    const near = placesOn(entry, this.#node)
    return inTurn(entry, near.length > 0 ? near : entry.places)
  }

  #leastBusy(entry: Entry): Place | undefined {
    let best: Place | undefined
    let bestLoad = Number.POSITIVE_INFINITY
    const start = entry.turn++
    for (let i = 0; i < entry.places.length; i++) {
      const place = entry.places[(start + i) % entry.places.length]!
      const load =
        place === this.place
          ? this.#system.loadOf(baseOf(entry.address))
          : (this.#links.get(place)?.load ?? 0)
      if (load < bestLoad) {
        best = place
        bestLoad = load
      }
    }
    return best
  }

  /** The link to a place. By way of the router a closed one is followed by a new one; a port there is but once. */
  #linkTo(place: Place): Link {
    let link = this.#links.get(place)
    if (!link || (link.closed && nodeOf(place) !== this.#node)) {
      const guest = isClient(place) ? guestOf(place) : undefined
      link = new Link({
        place,
        system: this.#system,
        pipe: this.#pipes.to(place),
        windowBytes: NODE_WINDOW_BYTES,
        ...(guest && { guest }),
      })
      this.#links.set(place, link)
      if (this.#leaving.has(place)) link.finish()
    }
    return link
  }

  #lostNode(node: string, reason = 'it cannot be reached any more'): void {
    const error = new SignalboxError('SIGNALBOX_NODE_LOST', `node ${node} is lost: ${reason}`)
    for (const place of [...this.#links.keys()]) if (nodeOf(place) === node) this.lost(place, error)
  }
}

function guestOf(place: Place): Guest {
  const name = place.split('/')[1]
  return { accepts: address => PUBLIC.test(address), origin: { identity: { name, definition: 'curve' } } }
}

function inTurn(entry: Entry, places: readonly Place[]): Place | undefined {
  return places[entry.turn++ % places.length]
}
