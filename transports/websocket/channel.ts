/** The WebSocket channel (RFC 6455): its own listener, one session for each client. */
import type { RequestListener, Server } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import { readPem } from '../../core/pem.ts'
import type { Channel, Receive, TransportContext } from '../../core/transport.ts'
import { HandshakeRefused, Handshakes } from './handshake.ts'
import type { WebSocketChannelSettings } from './options.ts'
import { Session, type SessionContext } from './session.ts'

/**
 * Required, not imported: an import reads all exports of the module, and reading `WebSocket` loads the whole of
 * Node.js's fetch, a tenth of the time in which a worker starts.
 */
const http = process.getBuiltinModule('node:http')

const PING_TIMEOUT_MS = 2000

/** Listens for WebSocket clients. */
export class WebSocketChannel implements Channel {
  readonly #options: WebSocketChannelSettings
  readonly #context: TransportContext
  readonly #sessions = new Set<Session>()
  readonly #sockets = new Set<Socket>()
  readonly #perAddress = new Map<string, number>()
  #state: 'new' | 'open' | 'draining' | 'closed' = 'new'
  #server: Server | https.Server | undefined
  #inFlight = 0

  constructor(options: WebSocketChannelSettings, context: TransportContext) {
    this.#options = options
    this.#context = context
  }

  async connect(receive: Receive): Promise<void> {
    if (this.#state !== 'new') throw new SignalboxError('SIGNALBOX_USAGE', 'a channel connects once')
    this.#state = 'open'
    const handshakes = new Handshakes(this.#options)
    const server = await this.#createServer()
    if (this.#isClosed()) throw closedMeanwhile()
    this.#server = server
    const accepting = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: this.#options.maxPayloadBytes,
      perMessageDeflate: this.#options.permessageDeflate,
      handleProtocols: offered => handshakes.chooseProtocol(offered) ?? false,
    })
    const shared = this.#sessionContext(receive)
    server.on('upgrade', (request, socket, head) => {
      try {
        const handshake = handshakes.check(request)
        if (this.#state !== 'open') throw new HandshakeRefused(503)
        accepting.handleUpgrade(request, socket, head, client => {
          handshake.attributes.subprotocol = client.protocol
          const session = new Session(client, handshake, shared)
          this.#sessions.add(session)
          client.once('close', () => this.#sessions.delete(session))
        })
      } catch (error) {
        this.#refuse(socket, error)
      }
    })
    await this.#listen(server)
    if (this.#isClosed()) {
      await this.close()
      throw closedMeanwhile()
    }
  }

  async drain(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'draining'
    // After the poll phase: connections the kernel had ready have been accepted by then.
    await new Promise(resolve => setImmediate(resolve))
    this.#server?.close()
    await Promise.all([...this.#sessions].map(session => session.drain()))
    for (const socket of this.#sockets) socket.destroy()
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    for (const session of this.#sessions) session.terminate()
    const server = this.#server
    if (server === undefined) return
    const ended = server.listening && new Promise(resolve => server.once('close', resolve))
    server.close()
    for (const socket of this.#sockets) socket.destroy()
    await ended
  }

  /** Connects to its own port. */
  async ping(): Promise<void> {
    if (this.#state !== 'open' || !this.#server?.listening) {
      throw new SignalboxError('SIGNALBOX_NOT_CONNECTED', 'the channel does not listen')
    }
    const { host } = this.#options
    const local = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
    await new Promise<void>((resolve, reject) => {
      const socket = net.connect({ host: local, port: this.#port(), timeout: PING_TIMEOUT_MS })
      const failed = (error: Error) => {
        socket.destroy()
        reject(
          new SignalboxError(
            'SIGNALBOX_NOT_CONNECTED',
            `no connection to ${this.endpoint()}: ${error.message}`,
          ),
        )
      }
      socket.once('connect', () => {
        socket.destroy()
        resolve()
      })
      socket.once('timeout', () => failed(new Error('timed out')))
      socket.once('error', failed)
    })
  }

  endpoint(): string {
    const { host, tls } = this.#options
    return `${tls ? 'wss' : 'ws'}://${host.includes(':') ? `[${host}]` : host}:${this.#port()}`
  }

  #port(): number {
    return (this.#server?.address() as AddressInfo | null | undefined)?.port ?? this.#options.port
  }

  #sessionContext(receive: Receive): SessionContext {
    return {
      options: this.#options,
      context: this.#context,
      receive,
      mayStart: () => this.#inFlight < this.#options.maxInFlight,
      started: () => {
        this.#inFlight++
      },
      settled: () => {
        // Sessions that wait for a place in the worker go on as soon as there is one.
        if (this.#inFlight-- === this.#options.maxInFlight)
          for (const session of this.#sessions) session.pump()
      },
    }
  }

  async #createServer(): Promise<Server | https.Server> {
    const { tls, handshakeMs, maxConnections } = this.#options
    const intervalMs = Math.min(1000, Math.max(10, Math.floor(handshakeMs / 10)))
    const limits = {
      connectionsCheckingInterval: intervalMs,
      headersTimeout: Math.max(1, handshakeMs - intervalMs),
      requestTimeout: handshakeMs,
    }
    const noUpgrade: RequestListener = (_request, response) => {
      response.writeHead(426, { connection: 'close', upgrade: 'websocket', 'content-type': 'text/plain' })
      response.end('This is a WebSocket endpoint.')
    }
    let server: Server | https.Server
    try {
      server =
        tls === undefined
          ? http.createServer(limits, noUpgrade)
          : https.createServer(
              {
                ...limits,
                cert: await readPem(tls.cert),
                key: await readPem(tls.key),
                ...(tls.ca === undefined ? {} : { ca: await readPem(tls.ca) }),
                requestCert: tls.requestClientCert,
                rejectUnauthorized: tls.rejectUnauthorized,
                minVersion: tls.minVersion,
                handshakeTimeout: handshakeMs,
              },
              noUpgrade,
            )
    } catch (error) {
      throw toSignalboxError(error, 'SIGNALBOX_OPTIONS_INVALID')
    }
    server.maxConnections = maxConnections
    server.prependListener('connection', socket => this.#onConnection(socket))
    return server
  }

  #listen(server: Server | https.Server): Promise<void> {
    const { host, port, reusePort } = this.#options
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => {
        const retryable =
          error.code === 'EADDRINUSE' || error.code === 'EADDRNOTAVAIL' || error.code === 'EMFILE'
        const message = `cannot listen on ${host} port ${port}: ${error.message}`
        reject(new SignalboxError('SIGNALBOX_LISTEN_FAILED', message, { cause: error, retryable }))
      }
      server.once('error', failed)
      // Closed before it could say that it listens; does nothing later.
      server.once('close', () => reject(closedMeanwhile()))
      server.listen({ host, port, reusePort, exclusive: true, backlog: 1024 }, () => {
        server.off('error', failed)
        server.on('error', error => this.#context.lost(error))
        resolve()
      })
    })
  }

  #onConnection(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    const count = (this.#perAddress.get(address) ?? 0) + 1
    if (count > this.#options.maxConnectionsPerAddress) return void socket.destroy()
    this.#perAddress.set(address, count)
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      const left = this.#perAddress.get(address)! - 1
      if (left > 0) this.#perAddress.set(address, left)
      else this.#perAddress.delete(address)
    })
  }

  #refuse(socket: Duplex, error: unknown): void {
    const status = error instanceof HandshakeRefused ? error.status : 500
    if (status === 500) this.#context.log.error({ err: error }, 'a handshake failed unexpectedly')
    const head = `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`
    socket.on('error', cause => this.#context.log.debug({ err: cause }, 'a refused client failed'))
    socket.end(head, () => socket.destroy())
  }

  // The state changes while connect awaits; the compiler cannot know.
  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}

function closedMeanwhile(): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', 'the channel was closed while it was opening')
}
