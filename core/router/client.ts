/**
 * For programs outside the bus: attaches to a node's ZeroMQ port and invokes its services.
 *
 * ```ts
 * import { connect } from 'signalbox/client'
 * const bus = await connect({ endpoint: 'tcp://127.0.0.1:7720', serverKey, name: 'shop', keys })
 * const answer = await bus.invoke('hello', { name: 'Ada' })
 * await bus.close()
 * ```
 */
import { ActorSystem } from '../actor/system.ts'
import { fromWire, SignalboxError, toSignalboxError } from '../errors.ts'
import { type Logger, silentLogger } from '../telemetry/log.ts'
import { WorkerRouter } from '../worker/worker-router.ts'
import { type CurveKeys, makeCurveKeys, NetClient } from './net.ts'
import { nodeOf, type Place, placeOfClient } from './place.ts'
import { BATCH, CONTROL, type Control, decodeHeader, encodeHeader } from './router-frames.ts'
import { type Forwarded, RouterPipes } from './router-pipe.ts'

export { type CurveKeys, makeCurveKeys }

export interface ConnectOptions {
  /** The node's port, e.g. `tcp://127.0.0.1:7720`. */
  endpoint: string
  /** The node's public CURVE key. */
  serverKey: string
  /** The name under which the node knows this program's key. */
  name: string
  keys: CurveKeys
  /** How long `connect` waits, and the time limit of calls that set none, in milliseconds. Default 30,000. */
  timeoutMs?: number
  log?: Logger
}

export interface ClientCallOptions {
  timeoutMs?: number
  headers?: Record<string, string>
  /** Correlation id. */
  cid?: string
  signal?: AbortSignal
}

/** An attached program. */
export interface Client {
  /**
   * Calls a service. Rejects with its SignalboxError, at the latest after the time limit; with SIGNALBOX_NODE_LOST at
   * once while the node cannot be reached, and with SIGNALBOX_LINK_CLOSED after `close`.
   */
  invoke<Output = unknown>(service: string, payload?: unknown, options?: ClientCallOptions): Promise<Output>
  /** Sends to a service, at most once; resolves when the message is on its way: await it. */
  tell(service: string, payload?: unknown, options?: Omit<ClientCallOptions, 'timeoutMs'>): Promise<void>
  /** Names of the services that the node offers now. */
  services(): string[]
  /** False while the node cannot be reached; calls fail at once then, and work again when it is back. */
  readonly connected: boolean
  /** Sends what is on its way, fails the calls under way with SIGNALBOX_LINK_CLOSED, and frees everything. Idempotent. */
  close(): Promise<void>
}

/** The windows of the links bound what waits for the node; the net must not refuse what they allow. */
const QUEUE_BYTES = 1024 * 1024 * 1024

/**
 * Attaches to a node. Rejects with SIGNALBOX_TIMEOUT_DEADLINE when there is no answer in time: the node is not
 * there, or does not know the key (it does not say which).
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const client = new BusClient(options)
  try {
    await client.attach()
  } catch (error) {
    await client.close()
    throw error
  }
  return client
}

class BusClient implements Client {
  connected = false
  readonly #system: ActorSystem
  readonly #router: WorkerRouter
  readonly #net: NetClient
  readonly #place: Place
  #deliver: (message: Forwarded) => void = () => {}
  readonly #timeoutMs: number
  readonly #attached = Promise.withResolvers<void>()
  /** Why the node cannot be reached, while it cannot. */
  #away = 'it has not answered yet'
  #closing: Promise<void> | undefined

  constructor(options: ConnectOptions) {
    const { endpoint, serverKey, name, keys, log = silentLogger, timeoutMs = 30_000 } = options
    this.#timeoutMs = timeoutMs
    this.#system = new ActorSystem({ log })
    this.#net = new NetClient({
      endpoint,
      serverKey,
      name,
      keys,
      log,
      maxQueueBytes: QUEUE_BYTES,
      onFrames: frames => this.#receive(frames),
      onState: (state, reason) => this.#state(state, reason),
    })
    const pipes = new RouterPipes(
      {
        on: (_event, listener) => {
          this.#deliver = listener
        },
        postMessage: message => this.#post(message),
        close: () => {},
      },
      (from, body, attachments) => this.#router.receive(from, body, attachments),
    )
    // The node knows this program by a place of its own making; this one is only for here.
    this.#place = placeOfClient(`client/${name}/self`)
    this.#router = new WorkerRouter(this.#place, this.#system, pipes)
  }

  /** Resolves when the node has answered and said which services it has. */
  async attach(): Promise<void> {
    this.#net.start()
    const timer = setTimeout(() => {
      const message = `no answer within ${this.#timeoutMs} ms: no node there, or it does not know this key`
      this.#attached.reject(new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', message))
    }, this.#timeoutMs)
    await this.#attached.promise.finally(() => clearTimeout(timer))
  }

  invoke<Output>(service: string, payload?: unknown, options: ClientCallOptions = {}): Promise<Output> {
    const unreachable = this.#unreachable()
    if (unreachable) return Promise.reject(unreachable)
    const timed = { ...options, timeoutMs: options.timeoutMs ?? this.#timeoutMs }
    return this.#system.ask(`service/${service}`, payload, timed) as Promise<Output>
  }

  async tell(service: string, payload?: unknown, options: ClientCallOptions = {}): Promise<void> {
    const unreachable = this.#unreachable()
    if (unreachable) throw unreachable
    await this.#system.tell(`service/${service}`, payload, options)
  }

  services(): string[] {
    const addresses = this.#router.directory.list().map(({ address }) => address)
    return [...new Set(addresses)]
      .filter(a => a.startsWith('service/'))
      .map(a => a.slice('service/'.length))
      .sort()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    // What was sent last leaves at the end of its turn.
    await new Promise(resolve => setImmediate(resolve))
    const error = closed()
    for (const { place } of this.#router.directory.list()) this.#router.lost(place, error)
    this.#lost('this client was closed')
    await this.#net.close()
    await this.#system.shutdown()
  }

  #unreachable(): SignalboxError | undefined {
    if (this.#closing) return closed()
    if (this.connected) return undefined
    return new SignalboxError('SIGNALBOX_NODE_LOST', `the node cannot be reached: ${this.#away}`)
  }

  #post([place, from, to, ...parts]: Forwarded): void {
    const header = encodeHeader({ to: place, source: this.#place, sessions: [from, to] })
    try {
      if (this.#net.send([header, ...parts])) return
    } catch (thrown) {
      this.#router.lost(place, toSignalboxError(thrown, 'SIGNALBOX_LINK_CLOSED'))
      return
    }
    this.#router.lost(place, new SignalboxError('SIGNALBOX_NODE_LOST', 'the node cannot be reached'))
  }

  #receive([header, ...parts]: Buffer[]): void {
    if (header?.[0] === CONTROL) {
      this.#control(JSON.parse(header.toString('utf8', 1)) as Control)
      return
    }
    const batch = header?.[0] === BATCH ? decodeHeader(header) : undefined
    if (batch) this.#deliver([batch.source, ...batch.sessions, ...(parts as Uint8Array<ArrayBuffer>[])])
  }

  #control(control: Control): void {
    if (control.type === 'lost') this.#router.lost(control.place, fromWire(control.error))
    if (control.type !== 'directory') return
    this.#router.apply(control.change)
    this.connected = this.#closing === undefined
    this.#attached.resolve()
  }

  #state(state: 'up' | 'down', reason: string | undefined): void {
    // Up is when the node has said what it has: see #control.
    if (state === 'down') this.#lost(reason ?? 'the node is gone')
  }

  /** Fails what is under way and forgets what the node had: it says anew when it is back. */
  #lost(reason: string): void {
    this.connected = false
    this.#away = reason
    const nodes = new Set(this.#router.directory.list().map(({ place }) => nodeOf(place)))
    for (const node of nodes) this.#router.apply({ type: 'leave', node }, reason)
  }
}

function closed(): SignalboxError {
  return new SignalboxError('SIGNALBOX_LINK_CLOSED', 'this client was closed', { retryable: false })
}
