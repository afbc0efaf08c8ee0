/** A request as the bus sees it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { AbortSource } from '../../core/abort.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Inbound } from '../../core/transport.ts'
import type { Match, Route } from './routes.ts'

/** Certificate of a client that proved who it is (mutual TLS). */
export interface ClientCertificate {
  subject: Record<string, unknown>
  issuer: Record<string, unknown>
  /** Subject alternative names with their type, e.g. `DNS:partner.example`. */
  altNames?: string[]
  fingerprint256: string
  /** Whether it was issued by an authority of `tls.ca`. */
  authorized: boolean
}

export class HttpInbound implements Inbound {
  payload: unknown
  textAt?: string
  headers: Record<string, string>
  attributes: Record<string, unknown>
  cid: string
  target?: string
  security?: readonly string[]
  traceparent?: string
  timeoutMs?: number
  bytes: number
  /** Aborted when the client goes away before it has its answer. */
  signal: AbortSource

  constructor(request: IncomingMessage, response: ServerResponse, route: Route, match: Match, cid: string) {
    const headers = request.headers as Record<string, string>
    this.signal = new ClientGone(response)
    this.payload = undefined
    this.headers = headers
    this.attributes = attributesOf(request, route, match)
    this.cid = cid
    this.bytes = 0
    if (route.target !== undefined) this.target = route.target
    if (route.security !== undefined) this.security = route.security
    if (route.timeoutMs !== undefined) this.timeoutMs = route.timeoutMs
    if (headers.traceparent !== undefined) this.traceparent = headers.traceparent
  }
}

const GONE = Symbol('gone')
type Followed = ServerResponse & { [GONE]: ClientGone }

// Shared by all answers and found through the answer itself: no closures to make for each.
function onClose(this: Followed): void {
  if (!this.writableFinished) this[GONE].abort()
}

/** Stands in for an AbortSignal, which would take longer to make than the rest of a small request. */
class ClientGone implements AbortSource {
  reason: SignalboxError | undefined
  #listeners: (() => void)[] | undefined

  constructor(response: ServerResponse) {
    ;(response as Followed)[GONE] = this
    if (response.destroyed && !response.writableFinished) this.abort()
    else response.on('close', onClose)
  }

  get aborted(): boolean {
    return this.reason !== undefined
  }

  /** Each listener is called at most once, whether `once` was asked for or not: there is one abort. */
  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners ??= []
    this.#listeners.push(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners = this.#listeners?.filter(other => other !== listener)
  }

  abort(): void {
    this.reason = new SignalboxError('SIGNALBOX_CANCELLED', 'the client went away')
    const listeners = this.#listeners
    this.#listeners = undefined
    for (const listener of listeners ?? []) listener()
  }
}

function attributesOf(request: IncomingMessage, route: Route, match: Match): Record<string, unknown> {
  const url = request.url!
  const mark = url.indexOf('?')
  const attributes: Record<string, unknown> = {
    method: request.method,
    path: mark < 0 ? url : url.slice(0, mark),
    route: route.path,
    params: match.params,
    query: match.query,
    remoteAddress: request.socket.remoteAddress,
  }
  if (request.socket instanceof TLSSocket) {
    const certificate = clientCertificate(request.socket)
    if (certificate !== undefined) attributes.clientCertificate = certificate
  }
  return attributes
}

const certificates = new WeakMap<Socket, ClientCertificate | null>()

function clientCertificate(socket: TLSSocket): ClientCertificate | undefined {
  let known = certificates.get(socket)
  if (known === undefined) {
    const peer = socket.getPeerCertificate()
    known =
      Object.keys(peer).length === 0
        ? null
        : {
            subject: { ...peer.subject },
            issuer: { ...peer.issuer },
            ...(peer.subjectaltname && { altNames: peer.subjectaltname.split(', ') }),
            fingerprint256: peer.fingerprint256,
            authorized: socket.authorized,
          }
    certificates.set(socket, known)
  }
  return known ?? undefined
}
