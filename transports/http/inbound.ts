/** A request as the bus sees it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { SignalboxError } from '../../core/errors.ts'
import type { Inbound } from '../../core/transport.ts'
import type { Match, Route } from './routes.ts'

/** Certificate of a client that proved who it is (mutual TLS). */
export interface ClientCertificate {
  subject: Record<string, unknown>
  issuer: Record<string, unknown>
  fingerprint256: string
  /** Whether it was issued by an authority of `tls.ca`. */
  authorized: boolean
}

/** The AbortController is made only for services that look at `signal`. */
export class HttpInbound implements Inbound {
  payload: unknown
  headers: Record<string, string>
  attributes: Record<string, unknown>
  cid: string
  target?: string
  traceparent?: string
  timeoutMs?: number
  bytes: number
  readonly #response: ServerResponse
  #controller: AbortController | undefined

  constructor(request: IncomingMessage, response: ServerResponse, route: Route, match: Match, cid: string) {
    const headers = request.headers as Record<string, string>
    this.#response = response
    this.payload = undefined
    this.headers = headers
    this.attributes = attributesOf(request, route, match)
    this.cid = cid
    this.bytes = 0
    if (route.target !== undefined) this.target = route.target
    if (route.timeoutMs !== undefined) this.timeoutMs = route.timeoutMs
    if (headers.traceparent !== undefined) this.traceparent = headers.traceparent
  }

  /** Aborted when the client goes away before it has its answer. */
  get signal(): AbortSignal {
    if (this.#controller !== undefined) return this.#controller.signal
    const controller = new AbortController()
    this.#controller = controller
    const response = this.#response
    const gone = () => {
      if (response.writableFinished) return
      controller.abort(new SignalboxError('SIGNALBOX_CANCELLED', 'the client went away'))
    }
    if (response.destroyed) gone()
    else response.once('close', gone)
    return controller.signal
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
            fingerprint256: peer.fingerprint256,
            authorized: socket.authorized,
          }
    certificates.set(socket, known)
  }
  return known ?? undefined
}
