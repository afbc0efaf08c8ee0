/**
 * Keeps one session with a node that we dial. ZeroMQ's own reconnecting is off: it would send what was queued for
 * a lost session into a new one. Here one DEALER is one connection is one session, and a new one begins clean.
 *
 *   waiting -> dialling -> up -> waiting ...      (any) -> closed
 */
import { type Context, Dealer } from 'zeromq'
import type { Clock, Random, Timer } from '../clock.ts'
import type { Logger } from '../telemetry/log.ts'
import { type CurveKeys, decodeKey, sharedSecret } from './net-keys.ts'
import type { Report } from './net-report.ts'
import { type PeerInfo, Session } from './net-session.ts'
import { closeSoftly, isOverdue, type LinkSettings, post, socketOptions } from './net-socket.ts'
import * as wire from './net-wire.ts'

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 2000
/** A session that lasted so long counts as a success: the next retry begins from the shortest wait. */
const STABLE_AFTER_MS = 10_000

export interface DiallerOptions {
  context: Context
  endpoint: string
  serverKey: string
  keys: CurveKeys
  /** How we introduce ourselves. */
  role: wire.PeerRole
  id: string
  /** The node that must answer; undefined when the server key alone says which. */
  expect: string | undefined
  settings: LinkSettings
  clock: Clock
  random: Random
  log: Logger
  report: Report
  onFrames(from: PeerInfo, frames: Buffer[]): void
  onUp(session: Session): void
  onDown(session: Session, reason: string): void
}

/** One try: the socket and, after the welcome, the session. Loops of an old try find that they are not current. */
interface Attempt {
  socket: Dealer
  session: Session | undefined
  startedMs: number
  /** Why the connection ended, when it has; what it brought before is still read. */
  ended: string | undefined
}

export class Dialler {
  readonly #o: DiallerOptions
  readonly #secret: Buffer
  readonly #ourKey: Buffer
  readonly #serverKey: Buffer
  #current: Attempt | undefined
  #retry: Timer | undefined
  #failures = 0
  #closed = false

  constructor(options: DiallerOptions) {
    this.#o = options
    this.#ourKey = decodeKey(options.keys.publicKey, 'keys.publicKey')
    this.#serverKey = decodeKey(options.serverKey, 'serverKey')
    this.#secret = sharedSecret(options.keys.secretKey, this.#serverKey)
  }

  get session(): Session | undefined {
    return this.#current?.session
  }

  /** Dials now; later tries follow by themselves until `close`. */
  dial(): void {
    if (this.#closed || this.#current) return
    this.#retry?.cancel()
    const socket = this.#openSocket()
    const attempt: Attempt = {
      socket,
      session: undefined,
      startedMs: this.#o.clock.monotonic(),
      ended: undefined,
    }
    this.#current = attempt
    this.#watch(attempt).catch(error => this.#lost(attempt, `its monitor failed: ${error}`))
    this.#read(attempt).catch(error => this.#lost(attempt, `reading failed: ${error}`))
    socket.connect(this.#o.endpoint)
    this.#post(attempt, [this.#hello()])
  }

  /** Called at every heartbeat. */
  beat(passedMs: number): void {
    const attempt = this.#current
    if (!attempt) return
    const { clock, settings } = this.#o
    if (!attempt.session) {
      if (clock.monotonic() - attempt.startedMs > settings.deadAfterMs) this.#lost(attempt, 'no welcome came')
    } else if (isOverdue(attempt.session.addSilence(passedMs), settings)) {
      this.#lost(attempt, `silent for ${settings.deadAfterMs} ms`, 'silent')
    } else {
      attempt.session.heartbeat()
    }
  }

  /** Says bye and frees everything. Idempotent. */
  close(bye: wire.ByeReason, reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#retry?.cancel()
    if (this.#current) this.#lost(this.#current, reason, bye)
  }

  #openSocket(): Dealer {
    const { context, endpoint, keys, serverKey, settings } = this.#o
    return new Dealer({
      ...socketOptions(settings, endpoint),
      context,
      curveServerKey: serverKey,
      curvePublicKey: keys.publicKey,
      curveSecretKey: keys.secretKey,
      reconnectInterval: -1,
      connectTimeout: settings.deadAfterMs,
    })
  }

  #hello(): Buffer {
    const hello: wire.Hello = {
      version: wire.PROTOCOL_VERSION,
      role: this.#o.role,
      id: this.#o.id,
      publicKey: this.#ourKey,
      maxFrameBytes: this.#o.settings.maxFrameBytes,
    }
    return wire.encodeHello(hello, this.#secret, this.#serverKey)
  }

  async #watch(attempt: Attempt): Promise<void> {
    const { events } = attempt.socket
    while (!events.closed) {
      const event = await events.receive()
      // A monitor that is closed while it waits gives undefined.
      if (event === undefined || event.type === 'end') return
      if (event.type === 'handshake:error:auth') this.#keyRefused()
      else if (event.type === 'handshake:error:protocol') this.#serverKeyWrong()
      else if (event.type === 'disconnect' || event.type === 'close') this.#ended(attempt)
    }
  }

  #ended(attempt: Attempt): void {
    attempt.ended = attempt.session ? 'the connection was lost' : 'no connection'
    if (!attempt.socket.readable) this.#lost(attempt, attempt.ended)
  }

  async #read(attempt: Attempt): Promise<void> {
    const { socket } = attempt
    while (this.#current === attempt) {
      const parts = await receive(socket)
      if (!parts || this.#current !== attempt) return
      this.#receive(attempt, parts.shift()!, parts)
      if (attempt.ended && !socket.closed && !socket.readable) this.#lost(attempt, attempt.ended)
    }
  }

  #receive(attempt: Attempt, header: Buffer, frames: Buffer[]): void {
    const kind = header[0]
    const bye = kind === wire.KIND.bye ? wire.decodeBye(header) : undefined
    if (bye) this.#lost(attempt, bye === 'closing' ? 'it closes' : `it ended the session: ${bye}`)
    else if (attempt.session?.receive(header, frames)) return
    else if (!attempt.session && frames.length === 0 && this.#receiveAnswer(attempt, header)) return
    else this.#malformed()
  }

  /** Takes the answer to our hello; false when it is none. */
  #receiveAnswer(attempt: Attempt, header: Buffer): boolean {
    const welcome = wire.decodeWelcome(header)
    const refusedBy = wire.decodeRefuse(header) ?? welcome?.version ?? wire.PROTOCOL_VERSION
    if (refusedBy !== wire.PROTOCOL_VERSION) this.#versionRefused(attempt, refusedBy)
    else if (welcome && this.#isExpected(welcome)) this.#welcomed(attempt, welcome)
    else if (welcome) this.#lost(attempt, `node ${welcome.nodeId} answers instead`)
    else return false
    return true
  }

  #isExpected({ nodeId }: wire.Welcome): boolean {
    const { expect } = this.#o
    if (expect === undefined || nodeId === expect) return true
    this.#refuse('another node answers at the endpoint of a peer; mend the list of peers', { nodeId })
    return false
  }

  #malformed(): void {
    const message = 'a node sent a message that is not of the protocol'
    const { endpoint } = this.#o
    this.#o.report.warn('malformed', 'SIGNALBOX_CODEC_MALFORMED', message, { endpoint })
  }

  #welcomed(attempt: Attempt, welcome: wire.Welcome): void {
    const { settings } = this.#o
    const session = new Session({
      peer: { id: welcome.nodeId, role: 'node', name: welcome.nodeId },
      transmit: (header, frames) => this.#post(attempt, [header, ...frames]),
      deliver: (peer, frames) => this.#o.onFrames(peer, frames),
      maxFrameBytes: Math.min(settings.maxFrameBytes, welcome.maxFrameBytes),
      maxQueueBytes: settings.maxQueueBytes,
    })
    attempt.session = session
    attempt.startedMs = this.#o.clock.monotonic()
    this.#o.log.debug({ peer: welcome.nodeId, session: welcome.session }, 'session opened')
    this.#o.onUp(session)
  }

  #versionRefused(attempt: Attempt, theirs: number): void {
    this.#refuse('a node speaks another protocol version; run the same Signalbox version on both sides', {
      theirVersion: theirs,
      ourVersion: wire.PROTOCOL_VERSION,
    })
    this.#lost(attempt, `it speaks protocol version ${theirs}`)
  }

  #keyRefused(): void {
    this.#refuse('a node does not know our public key; add it to its peers or clients')
  }

  #serverKeyWrong(): void {
    this.#refuse('the encrypted handshake with a node failed; check its public key in the list of peers')
  }

  #refuse(message: string, data: object = {}): void {
    const peer = this.#o.expect
    this.#o.report.say('SIGNALBOX_PEER_REFUSED', message, {
      ...(peer && { peer }),
      endpoint: this.#o.endpoint,
      ...data,
    })
  }

  #post(attempt: Attempt, parts: readonly Uint8Array[]): void {
    post(attempt.socket, parts, error => this.#lost(attempt, `sending failed: ${error.message}`))
  }

  #lost(attempt: Attempt, reason: string, bye?: wire.ByeReason): void {
    if (this.#current !== attempt) return
    this.#current = undefined
    const { session, socket } = attempt
    if (session && bye) post(socket, [wire.encodeBye(bye)], () => {})
    if (session) closeSoftly(socket)
    else socket.close()
    session?.close()
    this.#scheduleRetry(attempt)
    if (session) this.#o.onDown(session, reason)
    else this.#o.log.debug({ endpoint: this.#o.endpoint, reason }, 'dialling failed')
  }

  #scheduleRetry(attempt: Attempt): void {
    if (this.#closed) return
    const { clock, random } = this.#o
    if (attempt.session && clock.monotonic() - attempt.startedMs > STABLE_AFTER_MS) this.#failures = 0
    const waitMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures++, 10))
    this.#retry = clock.after(waitMs * (0.5 + random() / 2), () => this.dial())
  }
}

/** The next message; undefined when the socket was closed meanwhile. */
export async function receive(socket: Pick<Dealer, 'receive' | 'closed'>): Promise<Buffer[] | undefined> {
  if (socket.closed) return undefined
  try {
    return await socket.receive()
  } catch (error) {
    if (socket.closed) return undefined
    throw error
  }
}
