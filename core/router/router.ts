/**
 * The ZeroMQ heart of a node, in its main thread: it forwards batches between workers here and places elsewhere
 * without decoding them, and keeps the directories of all of them equal.
 */
import type { MessagePort } from 'node:worker_threads'
import { SignalboxError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { Directory, type DirectoryChange, type Registration } from './directory.ts'
import { Net, type NetOptions, type PeerInfo } from './net.ts'
import { nodeOf, type Place, placeOf } from './place.ts'
import { BATCH, CONTROL, type Control, decodeHeader, encodeHeader } from './router-frames.ts'
import type { Forwarded } from './router-pipe.ts'
import { type Announcement, Singletons } from './singletons.ts'
import { movable } from './thread-pipe.ts'

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
    for (const other of this.#workers.values()) other.lost(place, error)
    this.#change({ type: 'leave', place })
    this.#singletons.lost(place)
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

  async close(): Promise<void> {
    for (const worker of this.#workers.values()) worker.port.close()
    this.#workers.clear()
    await this.#net?.close()
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

  #forward(worker: RouterWorker, [to, body, ...attachments]: Forwarded): void {
    const header = encodeHeader(to, worker.place)
    const node = nodeOf(to)
    if (this.#net?.send(node, [header, body, ...attachments])) return
    const error = new SignalboxError('SIGNALBOX_NODE_LOST', `${node} cannot be reached`)
    worker.lost(to, error)
  }

  #receive(from: PeerInfo, frames: Buffer[]): void {
    const [header, body, ...attachments] = frames
    if (header?.[0] === BATCH && body) this.#receiveBatch(from, header, body, attachments)
    else if (header?.[0] === CONTROL && from.role === 'node') this.#receiveControl(from, header)
    else this.#log.debug({ peer: from.id }, 'unknown frame ignored')
  }

  #receiveBatch(from: PeerInfo, header: Buffer, body: Buffer, attachments: Buffer[]): void {
    const { to, source: claimed } = decodeHeader(header)
    // A program has one place; it does not know by which name this node calls it.
    const source = from.role === 'client' ? placeOf(from.id, 0, 1) : claimed
    const worker = this.#workers.get(to)
    if (!worker || nodeOf(source) !== from.id) {
      this.dropped++
      return
    }
    const [parts, transfer] = movable(owned(body), attachments)
    worker.port.postMessage([source, ...parts], transfer)
  }

  #receiveControl(from: PeerInfo, header: Buffer): void {
    const control = JSON.parse(header.toString('utf8', 1)) as Control
    switch (control.type) {
      case 'directory':
        if (!speaksFor(from, control.change)) return
        this.#directory.apply(control.change)
        for (const worker of this.#workers.values()) worker.directory(control.change)
        return
      case 'finish':
        if (nodeOf(control.place) !== from.id) return
        for (const worker of this.#workers.values()) worker.finish(control.place)
        return
      case 'singletons':
        this.#singletons.announced(from.id, control.announcement)
    }
  }

  #peer(peer: PeerInfo, state: 'up' | 'down', reason: string | undefined): void {
    this.#log.info({ peer: peer.id, reason }, `${peer.role} ${state}`)
    if (state === 'up') {
      this.#tellChange(peer, { type: 'add', registrations: this.#directory.list(this.#nodeId) })
      if (peer.role === 'node') this.#control(peer.id, { type: 'singletons', announcement: this.#singletons.own() })
      return
    }
    const change: DirectoryChange = { type: 'leave', node: peer.id }
    this.#directory.apply(change)
    for (const worker of this.#workers.values()) worker.directory(change)
    this.#singletons.gone(peer.id)
  }

  #toNodes(control: Control): void {
    for (const peer of this.peers()) if (peer.role === 'node') this.#control(peer.id, control)
  }

  #control(peerId: string, control: Control): void {
    const frame = Buffer.from(`C${JSON.stringify(control)}`)
    if (!this.#net?.send(peerId, [frame])) this.#log.warn({ peer: peerId }, 'control message not sent')
  }
}

/** Memory that can move to a worker; a frame may be a view of a larger one. */
function owned(frame: Buffer): Uint8Array {
  return frame.byteOffset === 0 && frame.byteLength === frame.buffer.byteLength
    ? new Uint8Array(frame.buffer as ArrayBuffer)
    : Uint8Array.from(frame)
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
  if (change.type === 'add') return change.registrations.every(({ place }) => nodeOf(place) === peer.id)
  if (change.type === 'remove') return nodeOf(change.place) === peer.id
  return change.node === undefined ? nodeOf(change.place!) === peer.id : change.node === peer.id
}

