/** Both sides of the conformance harness, with the `ws` package as the program outside and as the server. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { pack, unpack } from 'msgpackr'
import { WebSocket, WebSocketServer } from 'ws'
import type { Channel } from '../../core/transport.ts'
import { serverCertificate, testCa, untrustedCertificate } from '../../test/certificates/certificates.ts'
import type {
  ChannelEndpoint,
  ConnectionEndpoint,
  TestAnswer,
  TestMessage,
} from '../../test/conformance/transport.ts'
import { bytesOf } from './socket.ts'

interface Frame {
  id: number
  payload: Buffer
  headers?: Record<string, string>
  cid?: string
  cancel?: true
  error?: { code: string; message: string }
}

type Handler = (message: TestMessage) => Promise<TestAnswer>

/** Clients in json mode, a socket for each message as programs that come and go. */
export async function openChannelEndpoint(): Promise<ChannelEndpoint> {
  const open = new Set<WebSocket>()
  return {
    options: { host: '127.0.0.1', port: 0, maxPayloadBytes: 4 * 1024 * 1024 },
    send: (message, channel) => request(open, message, channel),
    close: async () => {
      for (const socket of open) socket.terminate()
    },
  }
}

async function request(open: Set<WebSocket>, message: TestMessage, channel: Channel): Promise<TestAnswer> {
  const socket = new WebSocket(channel.endpoint())
  open.add(socket)
  try {
    await once(socket, 'open', { ...(message.signal && { signal: message.signal }) })
    const { payload, headers, cid } = message
    socket.send(pack({ id: 1, payload, headers, ...(cid !== undefined && { cid }) }))
    message.signal?.addEventListener('abort', () => socket.close(), { once: true })
    const [data] = await Promise.race([
      once(socket, 'message'),
      once(socket, 'close').then(([code]) => Promise.reject(new Error(`closed with ${code}`))),
    ])
    const answer = unpack(bytesOf(data)) as Frame
    if (answer.error) throw new Error(`${answer.error.code}: ${answer.error.message}`)
    return { payload: Buffer.from(answer.payload ?? []), headers: answer.headers ?? {} }
  } finally {
    open.delete(socket)
    socket.close()
  }
}

/** A TLS server whose answers the suite gives. */
export async function openConnectionEndpoint(): Promise<ConnectionEndpoint> {
  let handler: Handler = async ({ payload }) => ({ payload, headers: {} })
  const peer = new Peer(serverCertificate, message => handler(message))
  const untrusted = new Peer(untrustedCertificate, message => handler(message))
  await Promise.all([peer.start(), untrusted.start()])
  return {
    options: { url: peer.url, tls: { ca: testCa } },
    peer,
    badCertificate: { url: untrusted.url },
    answer(next) {
      handler = next
    },
    async close() {
      await Promise.all([peer.stop(), untrusted.stop()])
    },
  }
}

class Peer {
  readonly #certificate: { cert: string; key: string }
  readonly #handler: Handler
  #server: Server | undefined
  #sockets: WebSocketServer | undefined
  #port = 0

  constructor(certificate: { cert: string; key: string }, handler: Handler) {
    this.#certificate = certificate
    this.#handler = handler
  }

  get url(): string {
    return `wss://127.0.0.1:${this.#port}`
  }

  async start(): Promise<void> {
    const server = createServer(this.#certificate)
    const sockets = new WebSocketServer({ server })
    sockets.on('connection', socket => {
      socket.on('error', () => socket.terminate())
      socket.on('message', (data, binary) => {
        const bytes = bytesOf(data)
        void this.#answer(socket, binary ? unpack(bytes) : JSON.parse(bytes.toString()))
      })
    })
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
    this.#sockets = sockets
  }

  async stop(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    for (const socket of this.#sockets!.clients) socket.terminate()
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }

  async #answer(socket: WebSocket, { id, payload, headers = {}, cid, cancel }: Frame): Promise<void> {
    if (cancel) return
    const message = { payload: Buffer.from(payload ?? []), headers, ...(cid !== undefined && { cid }) }
    try {
      const answer = await this.#handler(message)
      socket.send(pack({ id, payload: answer.payload, headers: answer.headers }))
    } catch (error) {
      socket.send(pack({ id, error: { code: 'SIGNALBOX_SERVICE_FAILED', message: String(error) } }))
    }
  }
}
