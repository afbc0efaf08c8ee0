/** One connection to a broker: servers tried in turn, limits of time, a close that ends in any case. */
import type { ChannelModel, Options, SocketOptions } from 'amqplib'
import { SignalboxError } from '../../core/errors.ts'
import { readPem } from '../../core/pem.ts'
import type { TransportContext } from '../../core/transport.ts'
import { closedMeanwhile, connectError, notConnected } from './errors.ts'
import type { ServerSettings } from './server-options.ts'
import { checkCertificates } from './settings.ts'

const PING_TIMEOUT_MS = 5_000
const KEEP_ALIVE_MS = 30_000

type Amqplib = typeof import('amqplib')

/** Loaded on first use: most projects have no broker. */
async function load(): Promise<Amqplib> {
  return (await import('amqplib')).default as unknown as Amqplib
}

/** Opened once, closed once. */
export class AmqpLink {
  readonly #options: ServerSettings
  readonly #context: TransportContext
  readonly #onLost: (error: SignalboxError) => void
  #state: 'new' | 'open' | 'closed' = 'new'
  #model: ChannelModel | undefined
  #closing: Promise<void> | undefined
  /** Destroys the socket of the present attempt, or of the open connection. */
  #kill = new AbortController()
  #endpoint: string
  /** Why the broker takes no messages at the moment (connection.blocked, an extension of RabbitMQ). */
  blocked: string | undefined
  /** Called when the broker takes messages again. */
  onUnblocked: () => void = () => {}

  /** `onLost` is called at most once, and not for what `close` ends. */
  constructor(options: ServerSettings, context: TransportContext, onLost: (error: SignalboxError) => void) {
    this.#options = options
    this.#context = context
    this.#onLost = onLost
    this.#endpoint = addressOf(options.url, vhostOf(options))
  }

  /** The server that it is connected to, or would be first. */
  get endpoint(): string {
    return this.#endpoint
  }

  /** The open connection. Throws SIGNALBOX_NOT_CONNECTED. */
  get model(): ChannelModel {
    if (this.#state === 'open' && this.#model) return this.#model
    throw notConnected(`${this.#context.name} is not connected to ${this.#endpoint}`)
  }

  get isOpen(): boolean {
    return this.#state === 'open' && this.#model !== undefined
  }

  /** Largest frame that both sides agreed on, in bytes. */
  get frameMaxBytes(): number {
    const agreed = (this.#model?.connection as { frameMax?: number } | undefined)?.frameMax
    return Math.min(agreed ?? this.#options.frameMaxBytes, this.#options.frameMaxBytes)
  }

  async open(): Promise<ChannelModel> {
    if (this.#state !== 'new') {
      if (this.#isClosed()) throw closedMeanwhile()
      throw new SignalboxError('SIGNALBOX_USAGE', `${this.#context.name}: connect is called once`)
    }
    this.#state = 'open'
    const [library, socketOptions] = await Promise.all([load(), this.#socketOptions()])
    const errors: SignalboxError[] = []
    for (const url of [this.#options.url, ...this.#options.failoverUrls]) {
      if (this.#isClosed()) throw closedMeanwhile()
      try {
        return await this.#attempt(library, url, socketOptions)
      } catch (error) {
        errors.push(error as SignalboxError)
      }
    }
    if (this.#isClosed()) throw closedMeanwhile()
    throw worstOf(errors)
  }

  /** Asks the broker something, and waits for the answer. */
  async ping(): Promise<void> {
    const { model } = this
    if (this.blocked !== undefined) throw blockedError(this.blocked)
    const asked = model.createChannel().then(channel => {
      channel.on('error', error => this.#context.log.debug({ err: error }, 'the channel of a ping failed'))
      return channel.close()
    })
    const late = () => notConnected(`${this.#endpoint} did not answer within ${PING_TIMEOUT_MS} ms`)
    await this.#within(asked, PING_TIMEOUT_MS, late).catch(error => {
      throw error instanceof SignalboxError
        ? error
        : notConnected(`${this.#endpoint}: ${(error as Error).message}`, error)
    })
  }

  /** Ends the connection, in order when the broker answers in time. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const model = this.#model
    this.#state = 'closed'
    this.#model = undefined
    if (model !== undefined) {
      const late = () => notConnected('the broker did not answer the close')
      await this.#within(model.close(), this.#options.closeTimeoutMs, late).catch(error =>
        this.#context.log.debug({ err: error }, 'the AMQP connection did not end in order'),
      )
    }
    this.#kill.abort()
  }

  async #attempt(library: Amqplib, url: string, socketOptions: SocketOptions): Promise<ChannelModel> {
    const { connectTimeoutMs } = this.#options
    const vhost = vhostOf(this.#options, url)
    const where = addressOf(url, vhost)
    const kill = new AbortController()
    this.#kill = kill
    const late = new SignalboxError(
      'SIGNALBOX_CONNECT_FAILED',
      `no connection to ${where} within ${connectTimeoutMs} ms`,
    )
    const timer = this.#context.clock.after(connectTimeoutMs, () => kill.abort(late))
    const { hostname, port, protocol } = new URL(url)
    const target: Options.Connect = {
      protocol: protocol.slice(0, -1),
      hostname: hostname.replace(/^\[|\]$/g, ''),
      ...(port !== '' && { port: Number(port) }),
      vhost: encodeURIComponent(vhost),
      frameMax: this.#options.frameMaxBytes,
      // What the broker sends must keep to it too.
      maxFrameSize: this.#options.frameMaxBytes,
      heartbeat: this.#options.heartbeatMs / 1000,
    }
    try {
      const credentials = this.#credentials(library)
      const model = await library.connect(target, { ...socketOptions, credentials, ...signalOf(kill) })
      this.#listen(model, where)
      if (this.#isClosed()) {
        kill.abort()
        throw closedMeanwhile()
      }
      this.#model = model
      this.#endpoint = where
      return model
    } catch (error) {
      if (error instanceof SignalboxError) throw error
      throw kill.signal.reason === late ? late : connectError(error as Error, where, vhost)
    } finally {
      timer.cancel()
    }
  }

  #listen(model: ChannelModel, where: string): void {
    let cause: Error | undefined
    model.on('error', error => {
      cause = error
    })
    model.on('close', error => {
      if (this.#isClosed() || this.#model !== model) return
      this.#model = undefined
      const why = (cause ?? error)?.message ?? 'it was closed'
      this.#onLost(notConnected(`the connection to ${where} is lost: ${why}`, cause ?? error))
    })
    model.on('blocked', reason => {
      this.blocked = reason || 'the broker gave no reason'
      this.#context.log.warn({ endpoint: where, reason }, 'the broker takes no messages at the moment')
    })
    model.on('unblocked', () => {
      this.blocked = undefined
      this.#context.log.info({ endpoint: where }, 'the broker takes messages again')
      this.onUnblocked()
    })
  }

  #credentials(library: Amqplib) {
    const { auth, username, password } = this.#options
    const { plain, amqplain, external } = library.credentials
    if (auth === 'external') return external()
    return auth === 'plain' ? plain(username, password) : amqplain(username, password)
  }

  async #socketOptions(): Promise<SocketOptions> {
    const { tls, connectionName = `signalbox ${this.#context.name}`.slice(0, 255) } = this.#options
    const options: SocketOptions = {
      noDelay: true,
      keepAlive: true,
      keepAliveDelay: KEEP_ALIVE_MS,
      clientProperties: { connection_name: connectionName, product: 'signalbox' },
    }
    if (tls === undefined) return options
    const { ca, cert, key, passphrase, servername, rejectUnauthorized, minVersion } = tls
    const certificates = {
      ...(ca !== undefined && { ca: await readPem(ca) }),
      ...(cert !== undefined && { cert: await readPem(cert) }),
      ...(key !== undefined && { key: await readPem(key) }),
      ...(passphrase !== undefined && { passphrase }),
    }
    checkCertificates(certificates)
    return {
      ...options,
      ...certificates,
      rejectUnauthorized,
      minVersion,
      ...(servername !== undefined && { servername }),
    }
  }

  async #within<T>(promise: Promise<T>, ms: number, late: () => SignalboxError): Promise<T> {
    const { promise: timeout, reject } = Promise.withResolvers<never>()
    const timer = this.#context.clock.after(ms, () => reject(late()))
    return await Promise.race([promise, timeout]).finally(() => timer.cancel())
  }

  // The state changes while open awaits; the compiler cannot know.
  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}

/** A broker that takes no messages at the moment: sending again later helps. */
export function blockedError(reason: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_OVERLOADED', `the broker takes no messages at the moment: ${reason}`)
}

/** Node.js destroys a socket by its signal; amqplib hands the option on and does not know of it. */
function signalOf({ signal }: AbortController): SocketOptions {
  return { signal } as SocketOptions
}

/** Credentials that are refused say more than a server that is away. */
function worstOf(errors: SignalboxError[]): SignalboxError {
  const telling = errors.find(error => !error.retryable) ?? errors[0]!
  if (errors.length === 1) return telling
  const message = errors.map(error => error.message).join('; ')
  return new SignalboxError(telling.code, message, { cause: telling, retryable: telling.retryable })
}

function vhostOf({ vhost, url }: ServerSettings, of: string = url): string {
  if (vhost !== undefined) return vhost
  const path = new URL(of).pathname.slice(1)
  return path === '' ? '/' : decodeURIComponent(path)
}

function addressOf(url: string, vhost: string): string {
  const { protocol, host } = new URL(url)
  return `${protocol}//${host}/${vhost === '/' ? '' : encodeURIComponent(vhost)}`
}
