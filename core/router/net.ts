/**
 * The ZeroMQ layer between nodes and to client programs. It carries opaque multipart messages between
 * authenticated peers, in order, at most once, and knows nothing of envelopes.
 *
 * Only for a thread that is never terminated and runs no user code: a thread that ends with an open socket takes
 * the process down. Of two nodes the one whose id sorts first dials the other, so a pair has one connection, which
 * carries both directions and is up or down as one. See docs/protocol.md.
 */
import { randomBytes } from 'node:crypto'
import type { Context } from 'zeromq'
import { type Clock, type Random, systemClock } from '../clock.ts'
import { SignalboxError, toSignalboxError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { Acceptor } from './net-acceptor.ts'
import { Dialler } from './net-dialler.ts'
import { type CurveKeys, checkKeys, type ListedKey, listKey } from './net-keys.ts'
import { type NetCounters, Report } from './net-report.ts'
import type { PeerInfo, Session } from './net-session.ts'
import {
  checkEndpoint,
  checkName,
  invalid,
  type LinkSettings,
  linkSettings,
  newContext,
  startBeat,
  waitAtMost,
} from './net-socket.ts'
import type { PeerRole } from './net-wire.ts'
import { serveZap, type ZapHandler } from './net-zap.ts'

export { NetClient, type NetClientOptions } from './net-client.ts'
export { type CurveKeys, makeCurveKeys } from './net-keys.ts'
export type { NetCounters } from './net-report.ts'
export type { PeerInfo } from './net-session.ts'
export type { PeerRole } from './net-wire.ts'

/** Another node. An entry with our own id is passed over, so every node may be given the same list. */
export interface NetPeer {
  nodeId: string
  /** `tcp://host:port`. */
  endpoint: string
  publicKey: string
}

/** A program outside the bus that may connect. Several may use one name, each connection is a peer of its own. */
export interface NetClientEntry {
  name: string
  publicKey: string
}

export interface NetOptions {
  /** Letters, digits, dots, dashes and underscores; at most 128. */
  nodeId: string
  /** Address to listen on; default 127.0.0.1. */
  host?: string
  /** Default 0: any free port. */
  port?: number
  keys: CurveKeys
  peers: readonly NetPeer[]
  clients: readonly NetClientEntry[]
  log: Logger
  clock?: Clock
  random?: Random
  /** How often each side shows that it lives; default 1000. The same on all nodes. */
  heartbeatMs?: number
  /** A peer that was silent for so long is down; default 4000, at least twice `heartbeatMs`. */
  deadAfterMs?: number
  /** Bytes that may wait for one peer, beside 8 MiB on their way; default 64 MiB. No message may be larger. */
  maxQueueBytes?: number
  /** Largest frame sent and accepted; default 64 MiB. Between two peers the smaller limit holds. */
  maxFrameBytes?: number
  /** How long `close` waits for peers to take what was sent; default 1000. */
  lingerMs?: number
  /** A message of a peer that is up. Called in order; an error it throws is logged and counted. */
  onFrames(from: PeerInfo, frames: Buffer[]): void
  /** A peer came up or went down. A peer that comes back with a new session is reported down, then up. */
  onPeer(peer: PeerInfo, state: 'up' | 'down', reason?: string): void
}

interface Listed {
  peers: Map<string, NetPeer & { key: ListedKey }>
  clients: Map<string, ListedKey>
  keys: Set<string>
}

export class Net {
  readonly #o: NetOptions
  readonly #settings: LinkSettings
  readonly #clock: Clock
  readonly #random: Random
  readonly #report: Report
  #listed: Listed
  #state: 'idle' | 'open' | 'closing' | 'closed' = 'idle'
  #context: Context | undefined
  #zap: ZapHandler | undefined
  #acceptor: Acceptor | undefined
  readonly #diallers = new Map<string, Dialler>()
  readonly #sessions = new Map<string, Session>()
  #stopBeat = () => {}
  #starting: Promise<{ endpoint: string }> | undefined
  #closing: Promise<void> | undefined

  /** Throws SIGNALBOX_OPTIONS_INVALID. */
  constructor(options: NetOptions) {
    this.#o = options
    this.#settings = linkSettings(options)
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? Math.random
    this.#report = new Report(options.log, this.#clock)
    checkName(options.nodeId, 'nodeId')
    checkKeys(options.keys, 'keys')
    checkPort(options.port ?? 0)
    this.#listed = this.#check(options.peers, options.clients)
  }

  /** Listens and begins to dial. Resolves with the endpoint. Rejects with SIGNALBOX_LISTEN_FAILED. */
  start(): Promise<{ endpoint: string }> {
    if (this.#state !== 'idle' || this.#starting) {
      throw new SignalboxError('SIGNALBOX_USAGE', 'a Net is started once; make a new one')
    }
    this.#starting = this.#start()
    return this.#starting
  }

  /**
   * Hands a message of 1 or more frames to a peer. False when the peer is not up or its queue is full; true is no
   * promise of delivery: `onPeer` tells when a peer was lost. The frames belong to the socket from now on: do not
   * write into them and do not transfer them. Throws SIGNALBOX_FORMAT_LIMIT for a message that is too large.
   */
  send(peerId: string, frames: readonly Uint8Array[]): boolean {
    if (this.#state !== 'open' || this.#closing) return false
    return this.#sessions.get(peerId)?.send(frames) ?? false
  }

  /**
   * Replaces both lists at once. Peers that are no longer listed, or with another key, go down; new ones are
   * dialled. Throws SIGNALBOX_OPTIONS_INVALID and changes nothing when an entry is wrong.
   */
  setPeers(peers: readonly NetPeer[], clients: readonly NetClientEntry[]): void {
    const before = this.#listed
    this.#listed = this.#check(peers, clients)
    if (this.#state !== 'open') return
    for (const session of [...this.#sessions.values()]) {
      if (!this.#isStillListed(session.peer, before)) this.#acceptor?.end(session, 'removed', 'removed')
    }
    for (const [id, dialler] of [...this.#diallers]) {
      const [old, now] = [before.peers.get(id), this.#listed.peers.get(id)]
      if (now && old?.endpoint === now.endpoint && old.publicKey === now.publicKey) continue
      this.#diallers.delete(id)
      dialler.close('removed', 'removed')
    }
    this.#dialAll()
  }

  /** The peers that are up. */
  peers(): PeerInfo[] {
    return [...this.#sessions.values()].map(session => session.peer)
  }

  /** How often something was refused or thrown away, for metrics. */
  counters(): NetCounters {
    return { ...this.#report.counters }
  }

  /**
   * Sends nothing new, waits up to `lingerMs` until the peers have taken what was sent, reports them down, and
   * frees everything. Idempotent; also during `start` and while a peer cannot be reached.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #start(): Promise<{ endpoint: string }> {
    const { log } = this.#o
    const context = newContext()
    this.#context = context
    this.#zap = await serveZap(
      context,
      log,
      key => this.#listed.keys.has(key.toString('latin1')),
      address => this.#refusedKey(address),
    )
    try {
      this.#acceptor = this.#makeAcceptor(context)
      const endpoint = await this.#acceptor.listen(this.#o.host ?? '127.0.0.1', this.#o.port ?? 0)
      if (this.#closing)
        throw new SignalboxError('SIGNALBOX_LINK_CLOSED', 'the Net was closed while it started')
      this.#state = 'open'
      this.#stopBeat = startBeat(this.#clock, this.#settings.heartbeatMs, passed => this.#beat(passed))
      this.#dialAll()
      return { endpoint }
    } catch (error) {
      this.#acceptor?.close()
      this.#zap.close()
      this.#state = 'closed'
      throw error
    }
  }

  #makeAcceptor(context: Context): Acceptor {
    return new Acceptor({
      ...this.#shared(context),
      nodeId: this.#o.nodeId,
      keyOf: (role, name) => this.#keyOf(role, name),
      identify,
    })
  }

  #makeDialler(context: Context, peer: NetPeer): Dialler {
    return new Dialler({
      ...this.#shared(context),
      endpoint: peer.endpoint,
      serverKey: peer.publicKey,
      role: 'node',
      id: this.#o.nodeId,
      expect: peer.nodeId,
      random: this.#random,
    })
  }

  #shared(context: Context) {
    return {
      context,
      keys: this.#o.keys,
      settings: this.#settings,
      clock: this.#clock,
      log: this.#o.log,
      report: this.#report,
      onFrames: (from: PeerInfo, frames: Buffer[]) => this.#deliver(from, frames),
      onUp: (session: Session) => this.#up(session),
      onDown: (session: Session, reason: string) => this.#down(session, reason),
    }
  }

  #dialAll(): void {
    for (const peer of this.#listed.peers.values()) {
      if (!this.#context || this.#o.nodeId >= peer.nodeId || this.#diallers.has(peer.nodeId)) continue
      const dialler = this.#makeDialler(this.#context, peer)
      this.#diallers.set(peer.nodeId, dialler)
      dialler.dial()
    }
  }

  #beat(passedMs: number): void {
    this.#acceptor?.beat(passedMs)
    for (const dialler of [...this.#diallers.values()]) dialler.beat(passedMs)
  }

  #up(session: Session): void {
    const old = this.#sessions.get(session.peer.id)
    if (old) this.#acceptor?.end(old, 'it came back with a new session', 'replaced')
    this.#sessions.set(session.peer.id, session)
    this.#tell(session.peer, 'up')
  }

  #down(session: Session, reason: string): void {
    if (this.#sessions.get(session.peer.id) !== session) return
    this.#sessions.delete(session.peer.id)
    this.#tell(session.peer, 'down', reason)
  }

  #tell(peer: PeerInfo, state: 'up' | 'down', reason?: string): void {
    this.#o.log.debug({ peer: peer.id, state, reason }, 'peer')
    try {
      this.#o.onPeer(peer, state, reason)
    } catch (error) {
      this.#o.log.error({ err: error, peer: peer.id, state }, 'onPeer threw an error')
    }
  }

  #deliver(from: PeerInfo, frames: Buffer[]): void {
    try {
      this.#o.onFrames(from, frames)
    } catch (error) {
      const { code } = toSignalboxError(error, 'SIGNALBOX_CODEC_MALFORMED')
      this.#report.warn('handlerErrors', code, 'a message could not be handled', {
        err: error,
        peer: from.id,
      })
    }
  }

  #refusedKey(remoteAddress: string): void {
    const message =
      'a connection with an unknown key was refused; list its public key if it is meant to connect'
    this.#report.warn('refusedKeys', 'SIGNALBOX_PEER_REFUSED', message, { remoteAddress })
  }

  /** Who may dial us: clients, and nodes whose id sorts before ours. */
  #keyOf(role: PeerRole, name: string): ListedKey | undefined {
    if (role === 'client') return this.#listed.clients.get(name)
    return name < this.#o.nodeId ? this.#listed.peers.get(name)?.key : undefined
  }

  #isStillListed(peer: PeerInfo, before: Listed): boolean {
    const keyIn = (list: Listed) =>
      peer.role === 'client' ? list.clients.get(peer.name) : list.peers.get(peer.name)?.key
    const [old, now] = [keyIn(before), keyIn(this.#listed)]
    return old !== undefined && now !== undefined && old.publicKey.equals(now.publicKey)
  }

  #check(peers: readonly NetPeer[], clients: readonly NetClientEntry[]): Listed {
    const listed: Listed = { peers: new Map(), clients: new Map(), keys: new Set() }
    for (const [i, peer] of peers.entries()) {
      checkName(peer.nodeId, `peers[${i}].nodeId`)
      if (peer.nodeId === this.#o.nodeId) continue
      checkEndpoint(peer.endpoint, `peers[${i}].endpoint`)
      if (listed.peers.has(peer.nodeId)) throw invalid(`peers[${i}].nodeId '${peer.nodeId}' is listed twice`)
      const key = listKey(this.#o.keys.secretKey, peer.publicKey, `peers[${i}].publicKey`)
      listed.peers.set(peer.nodeId, { ...peer, key })
      listed.keys.add(key.publicKey.toString('latin1'))
    }
    for (const [i, client] of clients.entries()) {
      checkName(client.name, `clients[${i}].name`)
      if (listed.clients.has(client.name))
        throw invalid(`clients[${i}].name '${client.name}' is listed twice`)
      const key = listKey(this.#o.keys.secretKey, client.publicKey, `clients[${i}].publicKey`)
      listed.clients.set(client.name, key)
      listed.keys.add(key.publicKey.toString('latin1'))
    }
    return listed
  }

  async #close(): Promise<void> {
    // A start that fails has told its caller why; here only its end matters.
    await this.#starting?.catch(() => {})
    if (this.#state === 'open') {
      this.#state = 'closing'
      await this.#drain()
    }
    this.#stopBeat()
    for (const dialler of [...this.#diallers.values()]) dialler.close('closing', 'this node closes')
    this.#acceptor?.close()
    this.#zap?.close()
    this.#state = 'closed'
  }

  async #drain(): Promise<void> {
    const drained = [...this.#sessions.values()].map(session => session.drained())
    await waitAtMost(this.#clock, this.#settings.lingerMs, drained)
  }
}

function checkPort(port: number): void {
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw invalid(`port must be 0 to 65535, got ${port}`)
  }
}

function identify(role: PeerRole, name: string): PeerInfo {
  return { id: role === 'node' ? name : `client/${name}/${randomBytes(9).toString('base64url')}`, role, name }
}
