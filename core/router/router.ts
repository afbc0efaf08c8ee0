/**
 * The ZeroMQ heart of a node, in its main thread: it forwards batches between workers here and places elsewhere
 * without decoding them, and keeps the directories of all of them equal.
 */
import type { MessagePort } from 'node:worker_threads'
import { fromWire, SignalboxError, toSignalboxError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { BALANCES } from './balance.ts'
import { Directory, type DirectoryChange, type Registration } from './directory.ts'
import { Net, type NetOptions, type PeerInfo } from './net.ts'
import { nodeOf, type Place, placeOfClient } from './place.ts'
import { BATCH, CONTROL, type Control, decodeHeader, encodeHeader, PLACE } from './router-frames.ts'
import type { Forwarded } from './router-pipe.ts'
import { Singletons } from './singletons.ts'

/** What a worker is to the router. */
export interface RouterWorker {
  place: Place
  port: MessagePort
  /** Hands on a change of the directory. */
  directory(change: DirectoryChange): void
  lost(place: Place, error: SignalboxError): void
  /** Nothing more is to be sent to this place; it will leave. */
  finish(place: Place): void
  activate(address: string): void
  deactivate(address: string): void
}

/** How to reach other nodes and be reached; without it the node is alone. */
export type NetworkOptions = Omit<NetOptions, 'nodeId' | 'onFrames' | 'onPeer' | 'log' | 'clock' | 'random'>

export interface RouterOptions {
  nodeId: string
  log: Logger
  network?: NetworkOptions | undefined
}

const PUBLIC = /^(?:service|topic|queue)\//

/** The windows of the links bound what waits for a peer; the net must not refuse what they allow. */
const QUEUE_BYTES = 1024 * 1024 * 1024

export class Router {
  readonly #nodeId: string
  readonly #log: Logger
  readonly #directory = new Directory()
  readonly #workers = new Map<Place, RouterWorker>()
  readonly #singletons: Singletons
  readonly #net: Net | undefined
  /** Batches that could not be forwarded because their place was gone. */
  dropped = 0

  constructor(options: RouterOptions) {
    this.#nodeId = options.nodeId
    this.#log = options.log
    this.#singletons = new Singletons(options.nodeId, {
      activate: (address, place) => this.#workers.get(place)?.activate(address),
      deactivate: (address, place) => this.#workers.get(place)?.deactivate(address),
      announce: announcement => this.#toNodes({ type: 'singletons', announcement }),
    })
    if (!options.network) return
    this.#net = new Net({
      maxQueueBytes: QUEUE_BYTES,
      ...options.network,
      nodeId: options.nodeId,
      log: options.log,
      onFrames: (from, frames) => this.#receive(from, frames),
      onPeer: (peer, state, reason) => this.#peer(peer, state, reason),
    })
  }

  /** Opens the port for other nodes and clients; undefined without a network. */
  async start(): Promise<{ endpoint: string } | undefined> {
    return this.#net?.start()
  }

  /** The directory as it is now. */
  list(): Registration[] {
    return this.#directory.list()
  }

  peers(): PeerInfo[] {
    return this.#net?.peers() ?? []
  }

  add(worker: RouterWorker): void {
    this.#workers.set(worker.place, worker)
    worker.port.on('message', (message: Forwarded) => this.#forward(worker, message))
    worker.directory({ type: 'add', registrations: this.#directory.list() })
  }

  /** A worker has gone: its addresses with it, and those who wait for it are told. */
  remove(place: Place, error: SignalboxError): void {
    const worker = this.#workers.get(place)
    if (!worker) return
    this.#workers.delete(place)
    worker.port.close()
    this.#change({ type: 'leave', place })
    for (const other of this.#workers.values()) other.lost(place, error)
    for (const peer of this.peers()) this.#tellLost(peer, place, error)
    this.#singletons.lost(place)
  }

  /** The whole node is about to leave: other nodes and clients send it nothing new; its workers still reach each other. */
  withdraw(): void {
    for (const place of this.#workers.keys()) {
      for (const peer of this.peers()) this.#tellChange(peer, { type: 'leave', place })
      this.#toNodes({ type: 'finish', place })
      this.#singletons.leave(place)
    }
  }

  /** A worker is about to leave: nobody sends it anything new. */
  retire(place: Place): void {
    this.#change({ type: 'leave', place })
    for (const other of this.#workers.values()) if (other.place !== place) other.finish(place)
    this.#toNodes({ type: 'finish', place })
    this.#singletons.leave(place)
  }

  register(registration: Registration): void {
    this.#change({ type: 'add', registrations: [registration] })
  }

  unregister(address: string, place: Place): void {
    this.#change({ type: 'remove', address, place })
    this.#singletons.stopped(address, place)
  }

  /** A worker can run an actor of which the cluster has only one. */
  candidate(address: string, place: Place): void {
    this.#singletons.candidate(address, place)
  }

  /** The opposite of {@link candidate}: the worker has taken the actor away. */
  withdrawCandidate(address: string, place: Place): void {
    this.#change({ type: 'remove', address, place })
    this.#singletons.withdraw(address, place)
  }

  async close(): Promise<void> {
    // The workers hear first that the others are gone, so that nothing waits for them.
    await this.#net?.close()
    for (const worker of this.#workers.values()) worker.port.close()
    this.#workers.clear()
  }

  /** A change that began on this node: for its workers, its peers and its clients. */
  #change(change: DirectoryChange): void {
    this.#directory.apply(change)
    for (const worker of this.#workers.values()) worker.directory(change)
    for (const peer of this.peers()) this.#tellChange(peer, change)
  }

  #tellChange(peer: PeerInfo, change: DirectoryChange): void {
    const shown = peer.role === 'node' ? change : publicPart(change)
    if (shown) this.#control(peer.id, { type: 'directory', change: shown })
  }

  /** Programs outside the bus need not know what the worker died of. */
  #tellLost(peer: PeerInfo, place: Place, error: SignalboxError): void {
    const shown = peer.role === 'node' ? error : new SignalboxError('SIGNALBOX_WORKER_LOST')
    this.#control(peer.id, { type: 'lost', place, error: shown.toWire() })
  }

  #forward(worker: RouterWorker, [place, from, to, ...parts]: Forwarded): void {
    const error = this.#send(nodeOf(place), [
      encodeHeader({ to: place, source: worker.place, sessions: [from, to] }),
      ...parts,
    ])
    // Without parts the worker has closed the link itself.
    if (error && parts.length > 0) worker.lost(place, error)
  }

  #send(node: string, frames: Uint8Array[]): SignalboxError | undefined {
    try {
      if (this.#net?.send(node, frames)) return undefined
    } catch (thrown) {
      return toSignalboxError(thrown, 'SIGNALBOX_LINK_CLOSED')
    }
    if (node === this.#nodeId) return new SignalboxError('SIGNALBOX_WORKER_LOST')
    return new SignalboxError('SIGNALBOX_NODE_LOST', `${node} cannot be reached`)
  }

  #receive(from: PeerInfo, frames: Buffer[]): void {
    const [header, ...parts] = frames
    if (header?.[0] === BATCH) this.#receiveBatch(from, header, parts)
    else if (header?.[0] === CONTROL && from.role === 'node') this.#receiveControl(from, header)
    else this.#log.debug({ peer: from.id }, 'unknown frame ignored')
  }

  #receiveBatch(from: PeerInfo, header: Buffer, parts: Buffer[]): void {
    const batch = decodeHeader(header)
    const worker = batch && this.#workers.get(batch.to)
    // A program has one place; it does not know by which name this node calls it.
    const source = from.role === 'client' ? placeOfClient(from.id) : batch?.source
    if (!worker || source === undefined || nodeOf(source) !== from.id) {
      this.dropped++
      return
    }
    // The memory of a frame belongs to ZeroMQ and cannot move: one copy here, and that moves to the worker.
    const owned = parts.map(part => new Uint8Array(part))
    worker.port.postMessage(
      [source, ...batch.sessions, ...owned] satisfies Forwarded,
      owned.map(part => part.buffer),
    )
  }

  #receiveControl(from: PeerInfo, header: Buffer): void {
    const control = JSON.parse(header.toString('utf8', 1)) as Control
    switch (control.type) {
      case 'directory':
        if (!speaksFor(from, control.change)) {
          this.#log.warn(
            { peer: from.id },
            'a change of the directory was ignored: it is not of its own places',
          )
          return
        }
        this.#directory.apply(control.change)
        for (const worker of this.#workers.values()) worker.directory(control.change)
        return
      case 'finish':
        if (nodeOf(control.place) !== from.id) return
        for (const worker of this.#workers.values()) worker.finish(control.place)
        return
      case 'lost': {
        if (nodeOf(control.place) !== from.id) return
        const error = fromWire(control.error)
        for (const worker of this.#workers.values()) worker.lost(control.place, error)
        return
      }
      case 'singletons':
        this.#singletons.announced(from.id, control.announcement)
    }
  }

  #peer(peer: PeerInfo, state: 'up' | 'down', reason: string | undefined): void {
    this.#log.info({ peer: peer.id, reason }, `${peer.role} ${state}`)
    if (state === 'up') {
      if (peer.role === 'node') this.#singletons.up(peer.id)
      this.#greet(peer)
      if (peer.role === 'node')
        this.#control(peer.id, { type: 'singletons', announcement: this.#singletons.own() })
      return
    }
    const change: DirectoryChange = { type: 'leave', node: peer.id }
    this.#directory.apply(change)
    for (const worker of this.#workers.values()) worker.directory(change)
    if (peer.role === 'node') this.#singletons.gone(peer.id)
  }

  /** Also when there is nothing to tell: a program waits for it. */
  #greet(peer: PeerInfo): void {
    const own = this.#directory.list(this.#nodeId)
    const registrations = peer.role === 'node' ? own : own.filter(({ address }) => PUBLIC.test(address))
    this.#control(peer.id, { type: 'directory', change: { type: 'add', registrations } })
  }

  #toNodes(control: Control): void {
    for (const peer of this.peers()) if (peer.role === 'node') this.#control(peer.id, control)
  }

  #control(peerId: string, control: Control): void {
    const frame = Buffer.from(`C${JSON.stringify(control)}`)
    if (!this.#net?.send(peerId, [frame])) this.#log.warn({ peer: peerId }, 'control message not sent')
  }
}

/** What a client may know of a change. */
function publicPart(change: DirectoryChange): DirectoryChange | undefined {
  if (change.type === 'remove') return PUBLIC.test(change.address) ? change : undefined
  if (change.type === 'leave') return change
  const registrations = change.registrations.filter(({ address }) => PUBLIC.test(address))
  return registrations.length > 0 ? { type: 'add', registrations } : undefined
}

/** A node may speak of its own places only. */
function speaksFor(peer: PeerInfo, change: DirectoryChange): boolean {
  const isOwn = (place: unknown) =>
    typeof place === 'string' && PLACE.test(place) && nodeOf(place) === peer.id
  switch (change.type) {
    case 'add':
      return change.registrations.every(({ place, balance }) => isOwn(place) && BALANCES.includes(balance))
    case 'remove':
      return isOwn(change.place)
    case 'leave':
      // All of a node at once is said by its going down, not by itself.
      return change.node === undefined && isOwn(change.place)
    default:
      return false
  }
}
