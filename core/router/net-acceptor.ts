/** The listening side: one ROUTER for all nodes that dial us and all clients. */
import { randomInt } from 'node:crypto'
import { type Context, Router } from 'zeromq'
import type { Clock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { receive } from './net-dialler.ts'
import { type CurveKeys, decodeKey, type ListedKey } from './net-keys.ts'
import type { Report } from './net-report.ts'
import { type PeerInfo, Session } from './net-session.ts'
import { closeSoftly, isOverdue, type LinkSettings, post, socketOptions } from './net-socket.ts'
import * as wire from './net-wire.ts'
import { ZAP_DOMAIN } from './net-zap.ts'

const MAX_SALT = 1024
const AFTER_ERROR_MS = 100

export interface AcceptorOptions {
  context: Context
  nodeId: string
  keys: CurveKeys
  settings: LinkSettings
  clock: Clock
  log: Logger
  report: Report
  /** The key under which a node or client of this name is listed, if it may dial us. */
  keyOf(role: wire.PeerRole, name: string): ListedKey | undefined
  /** Who a genuine hello makes of the connection. */
  identify(role: wire.PeerRole, name: string): PeerInfo
  onFrames(from: PeerInfo, frames: Buffer[]): void
  onUp(session: Session): void
  onDown(session: Session, reason: string): void
}

export class Acceptor {
  readonly #o: AcceptorOptions
  readonly #socket: Router
  readonly #ourKey: Buffer
  readonly #byRoute = new Map<string, Session>()
  readonly #routes = new Map<Session, Buffer>()
  #sessions = 0

  constructor(options: AcceptorOptions) {
    this.#o = options
    this.#ourKey = decodeKey(options.keys.publicKey, 'keys.publicKey')
    saltRoutingIds(options.context)
    const { heartbeatMs, deadAfterMs } = options.settings
    this.#socket = new Router({
      ...socketOptions(options.settings, ''),
      context: options.context,
      mandatory: true,
      curveServer: true,
      curveSecretKey: options.keys.secretKey,
      zapDomain: ZAP_DOMAIN,
      // Refuses everybody when the ZAP handler is missing; the default lets everybody in.
      zapEnforceDomain: true,
      // A ROUTER cannot hang up. ZeroMQ's own heartbeat lets it drop connections whose other end has vanished.
      heartbeatInterval: heartbeatMs,
      heartbeatTimeout: deadAfterMs,
    })
  }

  /** Listens, and resolves with the endpoint. Throws SIGNALBOX_LISTEN_FAILED. */
  async listen(host: string, port: number): Promise<string> {
    this.#socket.ipv6 = host.includes(':')
    const address = `tcp://${host.includes(':') ? `[${host}]` : host}:${port === 0 ? '*' : port}`
    try {
      await this.#socket.bind(address)
    } catch (error) {
      throw new SignalboxError('SIGNALBOX_LISTEN_FAILED', `the node cannot listen on ${address}: ${error}`, {
        details: { address },
        cause: error,
      })
    }
    void this.#read()
    return this.#socket.lastEndpoint!
  }

  /** Called at every heartbeat. */
  beat(passedMs: number): void {
    const { settings } = this.#o
    for (const session of [...this.#routes.keys()]) {
      if (session.closed) continue
      if (!isOverdue(session.addSilence(passedMs), settings)) session.heartbeat()
      else this.end(session, `silent for ${settings.deadAfterMs} ms`, 'silent')
    }
  }

  /** Ends a session of this acceptor; the other side is told why, if it can still be reached. */
  end(session: Session, reason: string, bye?: wire.ByeReason): void {
    const route = this.#routes.get(session)
    if (!route) return
    this.#routes.delete(session)
    this.#byRoute.delete(route.toString('latin1'))
    session.close()
    if (bye) post(this.#socket, [route, wire.encodeBye(bye)], () => {})
    this.#o.onDown(session, reason)
  }

  /** Ends all sessions and frees the socket. Idempotent. */
  close(): void {
    for (const session of [...this.#routes.keys()]) this.end(session, 'this node closes', 'closing')
    closeSoftly(this.#socket)
  }

  async #read(): Promise<void> {
    while (!this.#socket.closed) {
      try {
        const parts = await receive(this.#socket)
        if (parts) this.#receive(parts.shift()!, parts)
      } catch (error) {
        this.#o.log.error({ err: error }, 'reading from the network failed; trying again')
        await new Promise<void>(resolve => this.#o.clock.after(AFTER_ERROR_MS, resolve))
      }
    }
  }

  #receive(route: Buffer, frames: Buffer[]): void {
    const header = frames.shift()
    const kind = header?.[0]
    const session = this.#byRoute.get(route.toString('latin1'))
    if (!header || kind === undefined) this.#malformed(session)
    else if (!session) this.#receiveStranger(route, header, frames)
    else if (kind === wire.KIND.bye && wire.decodeBye(header)) this.end(session, 'it closes')
    else if (!session.receive(header, frames)) this.#malformed(session)
  }

  #receiveStranger(route: Buffer, header: Buffer, frames: Buffer[]): void {
    if (header[0] === wire.KIND.hello && frames.length === 0) this.#hello(route, header)
    else
      this.#o.report.warn('unknown', 'SIGNALBOX_PEER_REFUSED', 'a connection without a hello sent a message')
  }

  #malformed(session: Session | undefined): void {
    const peer = session?.peer.id
    const message = 'a peer sent a message that is not of the protocol'
    this.#o.report.warn('malformed', 'SIGNALBOX_CODEC_MALFORMED', message, { peer })
  }

  #hello(route: Buffer, bytes: Buffer): void {
    const hello = wire.decodeHello(bytes)
    const refused = !hello ? 'it is malformed' : this.#whyRefused(hello, bytes)
    if (!hello || refused) {
      const about = hello && { role: hello.role, name: hello.id }
      const message = 'a hello was refused'
      this.#o.report.warn('refusedHellos', 'SIGNALBOX_PEER_REFUSED', message, { ...about, reason: refused })
    } else if (hello.version !== wire.PROTOCOL_VERSION) {
      this.#refuseVersion(route, hello)
    } else {
      this.#welcome(route, hello)
    }
  }

  #whyRefused(hello: wire.Hello, bytes: Buffer): string | undefined {
    const listed = this.#o.keyOf(hello.role, hello.id)
    if (!listed) return 'no such name is listed'
    if (!listed.publicKey.equals(hello.publicKey)) return 'another key is listed for this name'
    return wire.helloIsGenuine(bytes, listed.secret, this.#ourKey) ? undefined : 'it does not prove its key'
  }

  #refuseVersion(route: Buffer, hello: wire.Hello): void {
    post(this.#socket, [route, wire.encodeRefuse(wire.PROTOCOL_VERSION)], () => {})
    this.#o.report.warn(
      'refusedHellos',
      'SIGNALBOX_PEER_REFUSED',
      'a peer speaks another protocol version; run the same Signalbox version on both sides',
      { name: hello.id, theirVersion: hello.version, ourVersion: wire.PROTOCOL_VERSION },
    )
  }

  #welcome(route: Buffer, hello: wire.Hello): void {
    const { settings, nodeId } = this.#o
    const session: Session = new Session({
      peer: this.#o.identify(hello.role, hello.id),
      transmit: (header, frames) => this.#post(session, [route, header, ...frames]),
      deliver: (peer, frames) => this.#o.onFrames(peer, frames),
      maxFrameBytes: Math.min(settings.maxFrameBytes, hello.maxFrameBytes),
      maxQueueBytes: settings.maxQueueBytes,
    })
    this.#sessions = (this.#sessions + 1) >>> 0
    this.#byRoute.set(route.toString('latin1'), session)
    this.#routes.set(session, route)
    this.#post(session, [
      route,
      wire.encodeWelcome({
        version: wire.PROTOCOL_VERSION,
        nodeId,
        session: this.#sessions,
        maxFrameBytes: settings.maxFrameBytes,
      }),
    ])
    this.#o.log.debug({ peer: session.peer.id, session: this.#sessions }, 'session opened')
    this.#o.onUp(session)
  }

  #post(session: Session, parts: readonly Uint8Array[]): void {
    post(this.#socket, parts, error => this.end(session, `the connection was lost: ${error.message}`))
  }
}

/**
 * libzmq 4.3.5 numbers connections from a value it takes from an unseeded `rand()`, and aborts the process when a
 * connection comes with a routing id of its own that is the next number. Each ROUTER takes one value, so a random
 * number of them makes the start unknown to a holder of an authorised key who would try that.
 */
function saltRoutingIds(context: Context): void {
  for (let i = randomInt(MAX_SALT); i > 0; i--) new Router({ context, linger: 0 }).close()
}
