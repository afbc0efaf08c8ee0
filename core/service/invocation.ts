/** One message in the hands of a service: what `this` gives it. Everything is made on first use. */
import type { AskOptions } from '../actor/behaviour.ts'
import type { Envelope } from '../actor/envelope.ts'
import type { Clock } from '../clock.ts'
import { toSignalboxError } from '../errors.ts'
import type { Caller } from '../telemetry/connection-view.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Observation } from '../telemetry/observe.ts'
import type { Connection } from '../transport.ts'
import type {
  CallOptions,
  ChannelInfo,
  Identity,
  KeepOptions,
  ParallelCall,
  ParallelResult,
  Receipt,
  Request,
  ResponseHead,
  ServiceContext,
} from './service.ts'

/** What a service needs of the bus; the test kit gives another one. */
export interface ServicePorts {
  readonly clock: Clock
  readonly log: Logger
  ask(service: string, payload: unknown, options: AskOptions): Promise<unknown>
  tell(service: string, payload: unknown, options: AskOptions): Promise<void> | undefined
  /** Has a message kept by a queue or topic. `from`: the service that sends it. */
  keep(
    kind: 'queue' | 'topic',
    name: string,
    message: { payload: unknown; options: KeepOptions; from: string },
    context: AskOptions,
  ): Promise<Receipt>
  /** The connection for one message: its calls carry the correlation id and the trace. */
  connection(name: string, caller: Caller): Connection
  cpu(file: string, payload: unknown, timeoutMs: number, signal: AbortSignal): Promise<unknown>
}

/** What an envelope carries about where a message came from. */
export interface Origin {
  channel?: ChannelInfo | undefined
  identity?: Identity | undefined
  /** What a channel says of the payload, see `Inbound.textAt`. Like the channel, it is for the first service alone. */
  textAt?: string | undefined
}

const DEFAULT_CPU_TIMEOUT_MS = 30_000
const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

/** Where a service is reached; a route is named by its whole address. */
export function addressOf(name: string): string {
  return name.startsWith('route/') ? name : `service/${name}`
}

export class Invocation implements ServiceContext {
  readonly #ports: ServicePorts
  readonly #envelope: Envelope
  readonly #service: string
  readonly #makeCid: () => string
  #cid: string | undefined
  #request: RequestView | undefined
  #response: ResponseHead | undefined
  #log: Logger | undefined
  /** What the service gets: that of the envelope, or its texts read. */
  payload: unknown
  /** When it began, on `performance.now()`, where calls of services are recorded; otherwise 0. */
  auditedAt = 0
  /** Set while somebody traces or tails. */
  observation: Observation | undefined

  constructor(ports: ServicePorts, service: string, envelope: Envelope, makeCid: () => string) {
    this.#ports = ports
    this.#service = service
    this.#envelope = envelope
    this.#makeCid = makeCid
    this.payload = envelope.payload
  }

  get request(): Request {
    this.#request ??= new RequestView(this.#envelope, this.payload, this.cid, this.#ports.clock)
    return this.#request
  }

  get response(): ResponseHead {
    this.#response ??= { status: undefined, headers: {} }
    return this.#response
  }

  /** What the service said beside its answer; undefined when it said nothing. */
  get head(): { status?: number; headers?: Record<string, string> } | undefined {
    const head = this.#response
    if (head === undefined) return undefined
    return { ...(head.status !== undefined && { status: head.status }), headers: head.headers }
  }

  get cid(): string {
    this.#cid ??= this.#envelope.context.cid ?? this.#makeCid()
    return this.#cid
  }

  /** The trace that what follows belongs to. */
  get trace(): string | undefined {
    return this.observation === undefined ? this.#envelope.context.trace : this.observation.trace
  }

  /** As the audit log names what makes a step. */
  get from(): string {
    return addressOf(this.#service)
  }

  get signal(): AbortSignal {
    return this.#envelope.signal
  }

  get log(): Logger {
    this.#log ??= this.#ports.log.child({ service: this.#service, cid: this.cid })
    return this.#log
  }

  invoke<Output = unknown>(service: string, payload?: unknown, options?: CallOptions): Promise<Output> {
    return this.#ports.ask(service, payload, this.#following(options)) as Promise<Output>
  }

  tell(service: string, payload?: unknown, options?: Pick<CallOptions, 'headers'>): Promise<void> {
    const told = this.#ports.tell(service, payload, this.#context(options?.headers))
    return told ?? Promise.resolve()
  }

  async parallel(calls: readonly ParallelCall[]): Promise<ParallelResult[]> {
    const results = await Promise.allSettled(
      calls.map(({ service, payload, options }) => this.invoke(service, payload, options)),
    )
    return results.map((result, i) => {
      const service = calls[i]!.service
      return result.status === 'fulfilled'
        ? { service, ok: true, value: result.value }
        : { service, ok: false, error: toSignalboxError(result.reason, 'SIGNALBOX_SERVICE_FAILED') }
    })
  }

  publish(topic: string, payload?: unknown, options: KeepOptions = {}): Promise<Receipt> {
    const message = { payload, options, from: this.#service }
    return this.#ports.keep('topic', topic, message, this.#following(undefined))
  }

  enqueue(queue: string, payload?: unknown, options: KeepOptions = {}): Promise<Receipt> {
    const message = { payload, options, from: this.#service }
    return this.#ports.keep('queue', queue, message, this.#following(undefined))
  }

  connection<C extends Connection = Connection>(name: string): C {
    return this.#ports.connection(name, this) as C
  }

  cpu<Output = unknown>(file: URL, payload: unknown, options?: { timeoutMs?: number }): Promise<Output> {
    const timeoutMs = options?.timeoutMs ?? DEFAULT_CPU_TIMEOUT_MS
    return this.#ports.cpu(file.href, payload, timeoutMs, this.#envelope.signal) as Promise<Output>
  }

  #context(headers: Record<string, string> | undefined): AskOptions {
    const { origin } = this.#envelope.context
    // The channel is that of the first service alone; who is calling goes along the whole way.
    const identity = (origin as Origin | undefined)?.identity
    return { cid: this.cid, headers, trace: this.trace, origin: identity && { identity } }
  }

  #following(options: CallOptions | undefined): AskOptions {
    const following = this.#context(options?.headers)
    following.timeoutMs = options?.timeoutMs
    following.signal = options?.signal
    following.parent = this.#envelope
    return following
  }
}

class RequestView implements Request {
  readonly payload: unknown
  readonly cid: string
  readonly #envelope: Envelope
  readonly #clock: Clock

  constructor(envelope: Envelope, payload: unknown, cid: string, clock: Clock) {
    this.#envelope = envelope
    this.payload = payload
    this.cid = cid
    this.#clock = clock
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#envelope.context.headers ?? NO_HEADERS
  }

  get channel(): ChannelInfo | undefined {
    return (this.#envelope.context.origin as Origin | undefined)?.channel
  }

  get identity(): Identity | undefined {
    return (this.#envelope.context.origin as Origin | undefined)?.identity
  }

  get signal(): AbortSignal {
    return this.#envelope.signal
  }

  get deadline(): number | undefined {
    if (this.#envelope.deadline === 0) return undefined
    return this.#clock.now() + this.#envelope.deadline - this.#clock.monotonic()
  }
}
