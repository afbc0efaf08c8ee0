/** For the tests of this folder: a channel on a free port, and a bare client that remembers what it got. */
import type { TestContext } from 'node:test'
import { type ClientOptions, WebSocket } from 'ws'
import { systemClock } from '../../core/clock.ts'
import { parseOptions } from '../../core/schema.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type { Inbound, Outbound, TransportContext } from '../../core/transport.ts'
import { WebSocketChannel } from './channel.ts'
import { WebSocketConnection } from './connection.ts'
import {
  WebSocketChannelOptions,
  type WebSocketChannelSettings,
  WebSocketConnectionOptions,
  type WebSocketConnectionSettings,
} from './options.ts'

export const DEADLINE_MS = 10_000

export function testContext(lost: (error: Error) => void = fail): TransportContext {
  return { name: 'test', log: silentLogger, clock: systemClock, signal: new AbortController().signal, lost }
}

function fail(error: Error): void {
  throw error
}

type Answer = Partial<Outbound>

export async function startChannel(
  t: TestContext,
  options: Record<string, unknown> = {},
  receiver: (message: Inbound) => Answer | Promise<Answer> = message => ({ payload: message.payload }),
) {
  const settings = parseOptions<WebSocketChannelSettings>(
    WebSocketChannelOptions,
    { port: 0, ...options },
    'test',
  )
  const channel = new WebSocketChannel(settings, testContext())
  t.after(() => channel.close())
  const received: Inbound[] = []
  await channel.connect(async message => {
    received.push(message)
    return { payload: undefined, headers: {}, cid: message.cid ?? 'made', ...(await receiver(message)) }
  })
  return { channel, received, url: channel.endpoint() }
}

export function newConnection(
  t: TestContext,
  options: Record<string, unknown>,
  lost: (error: Error) => void = fail,
) {
  const settings = parseOptions<WebSocketConnectionSettings>(WebSocketConnectionOptions, options, 'test')
  const connection = new WebSocketConnection(settings, testContext(lost))
  t.after(() => connection.close())
  return connection
}

/** A bare client. */
export class Client {
  readonly socket: WebSocket
  readonly messages: (string | Buffer)[] = []
  closeCode: number | undefined
  /** Status of a refused handshake. */
  status: number | undefined

  constructor(t: TestContext, url: string, protocols: string[] = [], options: ClientOptions = {}) {
    this.socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options })
    this.socket.on('message', (data, binary) => this.messages.push(binary ? (data as Buffer) : String(data)))
    this.socket.on('close', code => {
      this.closeCode = code
    })
    this.socket.on('unexpected-response', (request, response) => {
      this.status = response.statusCode
      request.destroy()
    })
    // Being cut or refused is what many tests are about: status and closeCode tell.
    this.socket.on('error', () => {
      this.closeCode ??= 0
    })
    t.after(() => this.socket.terminate())
  }

  async opened(): Promise<this> {
    await eventually(() => this.socket.readyState !== WebSocket.CONNECTING, 'handshake')
    return this
  }

  json(): Record<string, unknown>[] {
    return this.messages.map(message => JSON.parse(String(message)) as Record<string, unknown>)
  }
}

/** Waits until a condition holds; rejects at the deadline. */
export async function eventually(
  condition: () => boolean,
  what: string,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!condition()) {
    if (performance.now() > end) throw new Error(`no ${what} within ${deadlineMs} ms`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
