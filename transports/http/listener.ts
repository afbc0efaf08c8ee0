/** The listening socket: TLS, time limits and connection caps, and malformed requests. */
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import { readPem } from '../../core/pem.ts'
import type { TransportContext } from '../../core/transport.ts'
import type { HttpChannelSettings } from './channel-options.ts'
import { http } from './node-http.ts'

type OnRequest = (request: IncomingMessage, response: ServerResponse, expectsContinue?: boolean) => void

/**
 * A listener that no connection has come to for `quietMs` may close, and after `maxMs` in any case. Where connections
 * never cease, one in transit may be lost then: see net.ipv4.tcp_migrate_req in the README.
 */
const HANDOVER = { quietMs: 250, maxMs: 10_000 }
const STOP = { quietMs: 50, maxMs: 1_000 }

async function secureContext(tls: NonNullable<HttpChannelSettings['tls']>): Promise<SecureContextOptions> {
  const [cert, key] = await Promise.all([readPem(tls.cert), readPem(tls.key)])
  const context: SecureContextOptions = { cert, key, minVersion: tls.minVersion }
  if (tls.ca !== undefined) context.ca = await readPem(tls.ca)
  return context
}

/** One listener. It listens once and is closed once. */
export class Listener {
  readonly #context: TransportContext
  readonly #server: Server | https.Server
  readonly #connections = new Map<string, number>()
  readonly #sockets = new Set<Socket>()
  #options: HttpChannelSettings
  #accepted = 0
  #closed: Promise<void> | undefined

  private constructor(
    options: HttpChannelSettings,
    context: TransportContext,
    server: Server | https.Server,
  ) {
    this.#options = options
    this.#context = context
    this.#server = server
    this.#applyLimits()
  }

  /** Makes a listener that does not listen yet. Throws SIGNALBOX_OPTIONS_INVALID for certificates that do not load. */
  static async create(
    options: HttpChannelSettings,
    context: TransportContext,
    onRequest: OnRequest,
  ): Promise<Listener> {
    const { headersMs, requestMs } = options.timeouts
    const common: ServerOptions = {
      maxHeaderSize: options.limits.maxHeaderBytes,
      // Node would refuse it, and act upon what follows on the connection; we do neither.
      requireHostHeader: false,
      connectionsCheckingInterval: checkIntervalMs(headersMs),
      headersTimeout: Math.min(headersMs, requestMs),
      requestTimeout: requestMs,
    }
    const { tls } = options
    let server: Server | https.Server
    try {
      server =
        tls === undefined
          ? http.createServer(common)
          : https.createServer({
              ...common,
              ...(await secureContext(tls)),
              requestCert: tls.requestClientCert,
              rejectUnauthorized: tls.rejectUnauthorized,
              handshakeTimeout: headersMs,
            })
    } catch (error) {
      throw toSignalboxError(error, 'SIGNALBOX_OPTIONS_INVALID')
    }
    const listener = new Listener(options, context, server)
    server.prependListener('connection', socket => listener.#onConnection(socket))
    server.on('request', onRequest)
    server.on('checkContinue', (request, response) => onRequest(request, response, true))
    server.on('clientError', onClientError)
    return listener
  }

  /** Resolves when it listens. Rejects with SIGNALBOX_LISTEN_FAILED. */
  listen(): Promise<void> {
    const { host, port, reusePort } = this.#options
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        const retryable =
          error.code === 'EADDRINUSE' || error.code === 'EADDRNOTAVAIL' || error.code === 'EMFILE'
        const message = `cannot listen on ${host} port ${port}: ${error.message}`
        reject(new SignalboxError('SIGNALBOX_LISTEN_FAILED', message, { cause: error, retryable }))
      }
      this.#server.once('error', failed)
      // Closed before it could say that it listens; does nothing later.
      this.#server.once('close', () =>
        reject(new SignalboxError('SIGNALBOX_CANCELLED', 'the channel was closed while it was opening')),
      )
      this.#server.listen({ host, port, reusePort, exclusive: true, backlog: 1024 }, () => {
        this.#server.off('error', failed)
        this.#server.on('error', error => this.#context.lost(error))
        resolve()
      })
    })
  }

  get listening(): boolean {
    return this.#server.listening
  }

  /** Host and port, the real one once it listens. */
  get address(): { host: string; port: number } {
    const bound = this.#server.address() as AddressInfo | null
    return { host: this.#options.host, port: bound?.port ?? this.#options.port }
  }

  /**
   * Resolves when no connection has come for a while. The kernel spreads new connections over all listeners of a
   * port and refuses those that wait at one that closes; as every answer of a drain says `Connection: close`, its
   * clients go elsewhere one by one, and it can close when it has none left. Without a `handover` there is nowhere
   * else to go, so only those that wait already are taken in.
   */
  async quiet(handover: boolean): Promise<void> {
    const { quietMs, maxMs } = handover ? HANDOVER : STOP
    const start = this.#context.clock.monotonic()
    for (let seen = -1; seen !== this.#accepted; ) {
      if (this.#context.clock.monotonic() - start > maxMs) return
      seen = this.#accepted
      await new Promise<void>(resolve => this.#context.clock.after(quietMs, resolve))
    }
  }

  /**
   * Accepts no more connections; resolves when all have ended. Idle ones are not cut, so that no request that is
   * on its way is lost: each gets its answer with `Connection: close`, or ends at keepAliveMs.
   */
  async stopAccepting(): Promise<void> {
    // After the poll phase: connections the kernel had ready have been accepted by then.
    await new Promise(resolve => setImmediate(resolve))
    // http.Server's own close() would cut idle connections at once.
    this.#closed ??= new Promise(resolve => net.Server.prototype.close.call(this.#server, () => resolve()))
    // A connection that has never sent a request may stay no longer than an idle one.
    const { keepAliveMs } = this.#options.timeouts
    this.#server.headersTimeout = Math.max(1, Math.min(this.#server.headersTimeout, keepAliveMs))
    return this.#closed
  }

  /** Ends everything at once. */
  async destroy(): Promise<void> {
    this.#closed ??= new Promise(resolve => this.#server.once('close', () => resolve()))
    const listening = this.#server.listening
    // Also stops the timer that checks connections, which the drain has left running.
    this.#server.close()
    this.#server.closeAllConnections()
    for (const socket of this.#sockets) socket.destroy()
    if (listening || this.#connections.size > 0) await this.#closed
  }

  /** Takes over limits, time limits and certificates for what comes; false when that needs a new listener. */
  async reconfigure(options: HttpChannelSettings): Promise<boolean> {
    if (fixed(options) !== fixed(this.#options)) return false
    if (options.tls !== undefined && this.#server instanceof https.Server) {
      this.#server.setSecureContext(await secureContext(options.tls))
    }
    this.#options = options
    this.#applyLimits()
    return true
  }

  #applyLimits(): void {
    const { headersMs, requestMs, keepAliveMs } = this.#options.timeouts
    const server = this.#server
    // Connections are looked at from time to time: minus that time, the limit is never exceeded.
    server.headersTimeout = Math.max(1, Math.min(headersMs, requestMs) - checkIntervalMs(headersMs))
    server.requestTimeout = requestMs
    // The client is told a little less, so that it does not send into a connection that is just closing.
    server.keepAliveTimeoutBuffer = Math.min(1000, Math.floor(keepAliveMs / 5))
    server.keepAliveTimeout = Math.max(1, keepAliveMs - server.keepAliveTimeoutBuffer)
    server.maxConnections = this.#options.maxConnections
    // The size of the head bounds their number; Node would drop those beyond its own limit silently.
    server.maxHeadersCount = 0
  }

  #onConnection(socket: Socket): void {
    this.#accepted++
    const address = socket.remoteAddress ?? ''
    const count = (this.#connections.get(address) ?? 0) + 1
    if (count > this.#options.maxConnectionsPerAddress) return void socket.destroy()
    this.#connections.set(address, count)
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      const left = this.#connections.get(address)! - 1
      if (left > 0) this.#connections.set(address, left)
      else this.#connections.delete(address)
    })
  }
}

/** Options that a listener cannot change while it listens. */
function fixed(options: HttpChannelSettings): string {
  const { host, port, reusePort, tls, limits, timeouts, uploadFolder } = options
  const mutual = tls && [tls.requestClientCert, tls.rejectUnauthorized]
  const check = checkIntervalMs(timeouts.headersMs)
  return JSON.stringify([
    host,
    port,
    reusePort,
    mutual ?? null,
    limits.maxHeaderBytes,
    check,
    uploadFolder ?? null,
  ])
}

function checkIntervalMs(headersMs: number): number {
  return Math.min(1000, Math.max(10, Math.floor(headersMs / 10)))
}

const CLIENT_ERRORS: Record<string, string> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Content Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** A socket with the answer that is being written to it, which Node keeps there. */
type AnsweringSocket = Socket & { _httpMessage?: ServerResponse | null }

/** Connections on which something came that is not HTTP; nothing more on them is read. */
const broken = new WeakSet<Socket>()

/** What is not HTTP gets a short answer, after those that are owed already, and the connection ends. */
function onClientError(error: NodeJS.ErrnoException, duplex: unknown): void {
  const socket = duplex as AnsweringSocket
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  if (broken.has(socket)) return
  broken.add(socket)
  endAfterAnswers(socket, CLIENT_ERRORS[error.code ?? ''] ?? '400 Bad Request')
}

/** Requests that came whole before it have their answers first, in order (RFC 9112, section 9.3.2). */
function endAfterAnswers(socket: AnsweringSocket, status: string): void {
  const current = socket._httpMessage
  // Node's own listener comes before this one, and makes the next answer the current one.
  if (current?.req.complete) current.once('finish', () => endAfterAnswers(socket, status))
  else if (!socket.writable) socket.destroySoon()
  // It is the body of this request that is broken, and its answer cannot be completed.
  else if (current?.headersSent) socket.destroySoon()
  else refuse(socket, status)
}

function refuse(socket: Socket, status: string): void {
  const body = JSON.stringify({
    type: 'about:blank',
    title: status.slice(4),
    status: Number(status.slice(0, 3)),
  })
  const head = `HTTP/1.1 ${status}\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\nConnection: close`
  socket.end(`${head}\r\n\r\n${body}`, () => socket.destroy())
}
