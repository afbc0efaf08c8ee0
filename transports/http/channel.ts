/** The HTTP channel: a listener in each worker that hands requests to services. */
import net from 'node:net'
import { SignalboxError } from '../../core/errors.ts'
import { parseOptions } from '../../core/schema.ts'
import type { Channel, Receive, TransportContext } from '../../core/transport.ts'
import { HttpChannelOptions, type HttpChannelSettings } from './channel-options.ts'
import { HttpHandler } from './handler.ts'
import { Listener } from './listener.ts'
import { RouteTable } from './routes.ts'
import { UploadFolder } from './uploads.ts'

const PING_TIMEOUT_MS = 2000

/** Serves HTTP/1.1 (RFC 9112), with TLS if options say so. */
export class HttpChannel implements Channel {
  readonly #context: TransportContext
  readonly #uploads: UploadFolder
  #options: HttpChannelSettings
  #state: 'new' | 'open' | 'closed' = 'new'
  #listener: Listener | undefined
  #handler: HttpHandler | undefined

  constructor(options: HttpChannelSettings, context: TransportContext) {
    this.#options = options
    this.#context = context
    this.#uploads = new UploadFolder(options.uploadFolder)
  }

  async connect(receive: Receive): Promise<void> {
    if (this.#state !== 'new') throw new SignalboxError('SIGNALBOX_USAGE', 'a channel connects once')
    this.#state = 'open'
    const handler = new HttpHandler(this.#options, this.#context, receive, this.#uploads)
    this.#handler = handler
    const listener = await Listener.create(
      this.#options,
      this.#context,
      (request, response, expectsContinue) => handler.handle(request, response, expectsContinue),
    )
    if (this.#isClosed()) throw closedMeanwhile()
    this.#listener = listener
    await listener.listen()
    if (this.#isClosed()) {
      // The name of the host was still being looked up when the channel was closed.
      await listener.destroy()
      throw closedMeanwhile()
    }
  }

  async drain(handover = false): Promise<void> {
    this.#handler?.drain()
    await this.#listener?.quiet(handover)
    await this.#listener?.stopAccepting()
    await this.#handler?.idle()
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    await this.#listener?.destroy()
    await this.#uploads.remove()
  }

  /** Connects to its own port. */
  async ping(): Promise<void> {
    if (this.#state !== 'open' || !this.#listener?.listening) {
      throw new SignalboxError('SIGNALBOX_NOT_CONNECTED', 'the channel does not listen')
    }
    const { host, port } = this.#listener.address
    const local = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
    await new Promise<void>((resolve, reject) => {
      const socket = net.connect({ host: local, port, timeout: PING_TIMEOUT_MS })
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
    const { host, port } = this.#listener?.address ?? this.#options
    return `${this.#options.tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
  }

  /** Routes, CORS, limits, time limits and certificates change while connections stay. */
  async reconfigure(options: unknown): Promise<boolean> {
    const settings = parseOptions<HttpChannelSettings>(
      HttpChannelOptions,
      options,
      `channel ${this.#context.name}`,
    )
    if (this.#state !== 'open' || !this.#listener || !this.#handler) return false
    // Routes that contradict each other are found before anything has changed.
    new RouteTable(settings)
    if (!(await this.#listener.reconfigure(settings))) return false
    this.#handler.configure(settings)
    this.#options = settings
    return true
  }

  // The state changes while connect awaits; the compiler cannot know.
  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}

function closedMeanwhile(): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', 'the channel was closed while it was opening')
}
