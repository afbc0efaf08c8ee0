/**
 * The admin API over HTTP, in the main thread of a node: the command line and the web admin use nothing else.
 * Everything it does is in the table of routes; each route asks for its permission before its body is read.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import createRouter, { type HTTPMethod, type HTTPVersion, type Instance } from 'find-my-way'
import { type Clock, idSource, systemClock } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import { targetOf } from './acts.ts'
import { type Authenticate, authorize, type May } from './auth.ts'
import { readBody } from './body.ts'
import { BrowserGuard } from './guard.ts'
import { type AdminAnswer, HANDLERS } from './handlers.ts'
import { checkBody, readCondition, readParams, readQuery } from './input.ts'
import type { Actor, Operator } from './operator.ts'
import { AdminResponder } from './responder.ts'
import { ADMIN_ROUTES, type AdminRoute, bodyOf } from './routes.ts'
import { type HandlerName, type HandlerSchema, SCHEMAS } from './schemas.ts'

export const DEFAULT_ADMIN_PORT = 7700
const DEFAULT_MAX_BODY_BYTES = 10 * 1024 * 1024
const MAX_CONNECTIONS = 1000
const MAX_HEADER_BYTES = 16 * 1024
const MAX_PARAMETER_LENGTH = 1024

/** Time limits in milliseconds. */
export interface AdminTimeouts {
  /** Longest time for the request line and headers. Default 10,000. */
  headersMs: number
  /** Longest time for a whole request to arrive. Default 60,000. */
  requestMs: number
  /** Longest time in which a client takes nothing of an answer. Default 30,000. */
  writeMs: number
  /** Pause between comments that keep an idle tail open. Default 15,000. */
  heartbeatMs: number
}

const DEFAULT_TIMEOUTS: AdminTimeouts = {
  headersMs: 10_000,
  requestMs: 60_000,
  writeMs: 30_000,
  heartbeatMs: 15_000,
}

export interface AdminServerOptions {
  operator: Operator
  /** Default 127.0.0.1. */
  host?: string
  /** Default 7700; 0 takes a free one. */
  port?: number
  authenticate: Authenticate
  may: May
  log: Logger
  /** PEM texts. Serves HTTPS, TLS 1.2 or later. `ca`: asks for client certificates and refuses others. */
  tls?: { cert: string; key: string; ca?: string }
  /** Largest request body. Default 10 MiB. */
  maxBodyBytes?: number
  /** What the server is called, beside localhost and its address; see the Host check in guard.ts. */
  hostNames?: readonly string[]
  timeouts?: Partial<AdminTimeouts>
  clock?: Clock
}

const newCid = idSource()

/** Serves the admin API. Starts once and is closed once. Throws SIGNALBOX_OPTIONS_INVALID for TLS options that do not load. */
export class AdminServer {
  readonly #options: AdminServerOptions
  readonly #host: string
  readonly #guard: BrowserGuard
  readonly #router: Instance<HTTPVersion.V1>
  readonly #server: http.Server | https.Server
  readonly #responder: AdminResponder
  readonly #sockets = new Set<Socket>()

  constructor(options: AdminServerOptions) {
    this.#options = options
    this.#host = options.host ?? '127.0.0.1'
    this.#guard = new BrowserGuard(this.#host, options.hostNames ?? [])
    this.#router = routerOf(ADMIN_ROUTES)
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts }
    const { clock = systemClock, log, tls } = options
    this.#responder = new AdminResponder({ clock, log, secure: tls !== undefined, ...timeouts })
    this.#server = serverOf(tls, timeouts)
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('request', (request, response) => void this.#serve(request, response))
    this.#server.on('clientError', refuseMalformed)
  }

  /** Resolves when it listens, with its address. Rejects with SIGNALBOX_LISTEN_FAILED. */
  async start(): Promise<{ url: string }> {
    const { port = DEFAULT_ADMIN_PORT, tls, log } = this.#options
    await new Promise<void>((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        const message = `the admin API cannot listen on ${this.#host} port ${port}: ${error.message}`
        reject(new SignalboxError('SIGNALBOX_LISTEN_FAILED', message, { cause: error }))
      }
      this.#server.once('error', failed)
      this.#server.listen({ host: this.#host, port, exclusive: true }, () => {
        this.#server.off('error', failed)
        this.#server.on('error', error =>
          log.error({ err: error }, 'the admin API has trouble with its socket'),
        )
        resolve()
      })
    })
    const bound = this.#server.address() as AddressInfo
    const name = this.#host.includes(':') ? `[${this.#host}]` : this.#host
    return { url: `${tls ? 'https' : 'http'}://${name}:${bound.port}` }
  }

  /** Ends tails, gives requests under way `graceMs` to finish, then cuts what is left. Idempotent. */
  async close(graceMs = 2000): Promise<void> {
    this.#responder.drain()
    const closed = new Promise<void>(resolve => {
      this.#server.close(() => resolve())
    })
    this.#server.closeIdleConnections()
    const timer = (this.#options.clock ?? systemClock).after(graceMs, () => {
      for (const socket of this.#sockets) socket.destroy()
    })
    await closed
    timer.cancel()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const cid = newCid()
    try {
      this.#responder.send(request, response, await this.#handle(request), cid)
    } catch (error) {
      this.#responder.fail(request, response, withCondition(error, request), cid)
    }
  }

  async #handle(request: IncomingMessage): Promise<AdminAnswer> {
    const { operator, maxBodyBytes = DEFAULT_MAX_BODY_BYTES } = this.#options
    this.#guard.check(request)
    const [path, search] = splitUrl(request.url!)
    const { route, params } = this.#find(request.method!, path)
    if (route.permission !== undefined) this.#guard.checkSite(request)
    const actor = await this.#authorize(request, route, params)
    const schema: HandlerSchema = SCHEMAS[route.handler as HandlerName]
    const call = {
      actor,
      params: readParams(schema, params),
      query: readQuery(schema, search),
      ...readCondition(request.headers, schema.conditional),
      body: checkBody(schema.body, await readBody(request, bodyOf(route), maxBodyBytes)),
    }
    return await HANDLERS[route.handler as HandlerName](operator, call)
  }

  #authorize(
    { headers, socket }: IncomingMessage,
    route: AdminRoute,
    params: Record<string, string | undefined>,
  ): Promise<Actor> {
    const { operator, authenticate, may } = this.#options
    const denied = (actor: Actor) => operator.denied(actor, route.permission!, targetOf(route, params))
    return authorize(route, headers.authorization, socket.remoteAddress ?? '', { authenticate, may, denied })
  }

  /** The route of a request; a GET route answers HEAD too. */
  #find(method: string, path: string): { route: AdminRoute; params: Record<string, string | undefined> } {
    const wanted = method === 'HEAD' ? 'GET' : method
    const found = this.#router.find(wanted as HTTPMethod, path)
    if (found?.store === null) {
      throw new SignalboxError(
        'SIGNALBOX_FORMAT_INVALID',
        'the path holds percent-encoding that cannot be decoded',
      )
    }
    if (found) return { route: found.store as AdminRoute, params: found.params }
    const allow = new Set(
      ADMIN_ROUTES.map(route => route.method).filter(m => this.#router.find(m, path)?.store),
    )
    if (allow.size === 0) {
      throw new SignalboxError('SIGNALBOX_NOT_FOUND', 'the admin API has no such path', {
        details: { fix: 'GET /v1/admin.json lists every route.' },
      })
    }
    const all = [...allow].flatMap(m => (m === 'GET' ? [m, 'HEAD'] : [m])).sort()
    throw new SignalboxError('SIGNALBOX_METHOD_NOT_ALLOWED', `the path is not for ${method}`, {
      details: { allow: all },
    })
  }
}

function routerOf(routes: readonly AdminRoute[]): Instance<HTTPVersion.V1> {
  const router = createRouter({ maxParamLength: MAX_PARAMETER_LENGTH, onBadUrl: () => undefined })
  for (const route of routes) router.on(route.method, route.path, () => undefined, route)
  return router
}

function serverOf(tls: AdminServerOptions['tls'], timeouts: AdminTimeouts): http.Server | https.Server {
  const { headersMs, requestMs } = timeouts
  const common = {
    headersTimeout: Math.min(headersMs, requestMs),
    requestTimeout: requestMs,
    connectionsCheckingInterval: Math.max(10, Math.min(1000, Math.floor(headersMs / 4))),
    keepAliveTimeout: 5000,
    maxHeaderSize: MAX_HEADER_BYTES,
  }
  if (tls === undefined) return http.createServer(common)
  const clients = tls.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true }
  const secure = {
    ...common,
    ...tls,
    ...clients,
    minVersion: 'TLSv1.2' as const,
    handshakeTimeout: headersMs,
  }
  try {
    return https.createServer(secure)
  } catch (error) {
    const message = `the admin API cannot use its certificate: ${(error as Error).message}`
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', message, { cause: error })
  }
}

/** Path and query of an origin-form target (RFC 9112, 3.2). What a URL parser would make of `..` is not wanted here. */
function splitUrl(url: string): [path: string, search: string] {
  const mark = url.indexOf('?')
  const path = mark < 0 ? url : url.slice(0, mark)
  if (!path.startsWith('/') || path.includes('\\') || path.includes('#')) {
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', 'the request target is not a path')
  }
  return [path, mark < 0 ? '' : url.slice(mark + 1)]
}

/** A revision that does not match the condition of the request itself is 412 (RFC 9110, 13.1.1). */
function withCondition(error: unknown, request: IncomingMessage): unknown {
  const isConflict = error instanceof SignalboxError && error.code === 'SIGNALBOX_STORE_CONFLICT'
  if (!isConflict || request.headers['if-match'] === undefined) return error
  return new SignalboxError(error.code, error.message, {
    details: error.details ?? {},
    status: 412,
    cause: error,
  })
}

/** What Node's parser refuses: it is answered before the connection is closed, if it still can be. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket | import('node:stream').Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? '408 Request Timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? '431 Request Header Fields Too Large'
        : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy())
}
