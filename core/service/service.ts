/**
 * What the author of a service writes: a class that extends {@link Service}, or a value made by {@link service}.
 *
 * ```ts
 * import { Service } from 'signalbox'
 *
 * export default class HelloWorld extends Service {
 *   async handle() {
 *     return 'How goes it?'
 *   }
 * }
 * ```
 */
import type { Static, TSchema } from 'typebox'
import type { Logger } from '../telemetry/log.ts'
import type { Connection } from '../transport.ts'

/** Who sent a message, as far as the bus knows. */
export interface Identity {
  /** Name of the caller within its security definition. */
  name: string
  /** The security definition that proved it. */
  definition: string
  /** Roles the security definition gives it; what they allow is in `core/security/roles.ts`. */
  roles?: readonly string[]
  /** What else is proven about the caller, e.g. claims of its token. Plain data. */
  claims?: Readonly<Record<string, unknown>>
}

/** The channel a message came in by. */
export interface ChannelInfo {
  transport: string
  name: string
  /** What the protocol knows about the message: for HTTP `method`, `path`, `params`, `query`, `remoteAddress`. */
  attributes: Record<string, unknown>
}

/** One message, as a service sees it. */
export interface Request<Input = unknown> {
  readonly payload: Input
  /** Headers of the protocol or of the calling service, names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Undefined when another service invoked this one. */
  readonly channel: ChannelInfo | undefined
  /** Correlation id: the same for everything that follows from one message. */
  readonly cid: string
  readonly identity: Identity | undefined
  /** Aborted when the caller gives up or the deadline passes. */
  readonly signal: AbortSignal
  /** When the caller stops waiting, in milliseconds since the epoch; undefined: never. */
  readonly deadline: number | undefined
}

/** What a service may say about its answer beside the payload. */
export interface ResponseHead {
  /** Status in HTTP terms; other transports map it. */
  status: number | undefined
  headers: Record<string, string>
}

export interface CallOptions {
  /** How long to wait for the answer, in milliseconds. Never longer than the caller's own deadline. */
  timeoutMs?: number
  headers?: Record<string, string>
  /** Cancels the call, beside the cancellation that comes from the caller. */
  signal?: AbortSignal
}

/** How a message is kept for those who get it later. */
export interface KeepOptions {
  /** Within the window of the queue or topic a second message of this id is dropped. */
  id?: string
  /** Messages of one key are delivered in order, one at a time. */
  key?: string
  /** 0 to 9; higher ones are delivered first. Default 4. */
  priority?: number
  /** Delivered not sooner than after so many milliseconds. */
  delayMs?: number
  /** Not delivered any more after so many milliseconds. */
  expiresInMs?: number
  /** Go with the message; subscriptions filter by them. */
  headers?: Record<string, string>
}

/** A message that is kept. */
export interface Receipt {
  /** Its number in the queue or topic, from 1. */
  seq: number
  /** A message of the same id had come before; `seq` is that one's. */
  duplicate: boolean
}

/** A call for {@link ServiceContext.parallel}. */
export interface ParallelCall {
  service: string
  payload?: unknown
  options?: CallOptions
}

/** What became of one call: either `ok` with `value`, or not with `error`. */
export type ParallelResult =
  | { service: string; ok: true; value: unknown }
  | { service: string; ok: false; error: Error }

/** What a service can do while it handles one message. */
export interface ServiceContext<Input = unknown> {
  readonly request: Request<Input>
  readonly response: ResponseHead
  /** Writes with the name of the service and the cid. */
  readonly log: Logger
  /**
   * Calls another service and waits for its answer. Cid, deadline, cancellation and trace go along.
   * Rejects with the SignalboxError of the other service.
   */
  invoke<Output = unknown>(service: string, payload?: unknown, options?: CallOptions): Promise<Output>
  /**
   * Sends to another service without waiting for an answer, at most once. Resolves when its mailbox took the
   * message: await it, that is the back-pressure.
   */
  tell(service: string, payload?: unknown, options?: Pick<CallOptions, 'headers'>): Promise<void>
  /** Calls several services at once and waits for all; a failed one does not fail the others. Order is kept. */
  parallel(calls: readonly ParallelCall[]): Promise<ParallelResult[]>
  /**
   * Publishes to a topic: every subscription gets the message, at least once. When it resolves, the message is on
   * disk. Rejects with SIGNALBOX_ADDRESS_UNKNOWN, SIGNALBOX_LOG_FULL, SIGNALBOX_STORE_FULL and others: then nothing was
   * published.
   */
  publish(topic: string, payload?: unknown, options?: KeepOptions): Promise<Receipt>
  /** Puts a message into a queue, where one consumer gets it, at least once; otherwise as {@link publish}. */
  enqueue(queue: string, payload?: unknown, options?: KeepOptions): Promise<Receipt>
  /** A connection by name. Throws SIGNALBOX_ADDRESS_UNKNOWN when there is none. */
  connection<C extends Connection = Connection>(name: string): C
  /**
   * Runs a CPU-heavy function off the event loop: the default export of `file` (a URL, usually
   * `new URL('./totals.ts', import.meta.url)`) gets `payload`. Stopped at `timeoutMs` (default 30,000) or when
   * the caller's deadline passes, whichever is first.
   */
  cpu<Output = unknown>(file: URL, payload: unknown, options?: { timeoutMs?: number }): Promise<Output>
}

/** What a service is and how it is called. */
export interface ServiceSettings {
  /** Name on the bus, e.g. `orders.create`. Default: the path under `services/`, with dots for slashes. */
  serviceName?: string
  /** JSON Schema of the input; a message that does not match is refused with all violations. */
  input?: TSchema
  /** JSON Schema of the output; checked before the answer leaves. */
  output?: TSchema
  /** How many messages one worker handles at the same time. Default 256; 1 gives strict one-at-a-time. */
  concurrency?: number
  /** Longest time for one message, in milliseconds, when the caller sets none. Default 30,000. */
  timeoutMs?: number
  /** How many messages may wait per worker. Default 4,096. */
  mailboxCapacity?: number
  description?: string
  /**
   * Where it runs. `everyWorker` (default). `singleton`: in one worker of the cluster. `keyed`: called as
   * `name#key`, one message at a time for each key, always in the same place as long as the workers stay the same.
   */
  placement?: 'everyWorker' | 'singleton' | 'keyed'
  /** How calls are shared out over the workers. Default `localFirst`: they stay in the caller's worker. */
  balance?: 'localFirst' | 'roundRobin' | 'leastBusy'
}

const CONTEXT = Symbol('context')

/** The base class of services. The bus makes a new instance for each message, so fields are private to it. */
export abstract class Service<Input = unknown> implements ServiceContext<Input> {
  static serviceName?: string
  static input?: TSchema
  static output?: TSchema
  static concurrency?: number
  static timeoutMs?: number
  static mailboxCapacity?: number
  static description?: string
  static placement?: 'everyWorker' | 'singleton' | 'keyed'
  static balance?: 'localFirst' | 'roundRobin' | 'leastBusy';

  /** @internal Set by the service host before `handle` is called. */
  [CONTEXT]!: ServiceContext<Input>

  /** Handles one message. What it returns is the answer; what it throws is the caller's error. */
  abstract handle(input: Input): unknown

  get request(): Request<Input> {
    return this[CONTEXT].request
  }

  get response(): ResponseHead {
    return this[CONTEXT].response
  }

  get log(): Logger {
    return this[CONTEXT].log
  }

  invoke<Output = unknown>(service: string, payload?: unknown, options?: CallOptions): Promise<Output> {
    return this[CONTEXT].invoke<Output>(service, payload, options)
  }

  tell(service: string, payload?: unknown, options?: Pick<CallOptions, 'headers'>): Promise<void> {
    return this[CONTEXT].tell(service, payload, options)
  }

  parallel(calls: readonly ParallelCall[]): Promise<ParallelResult[]> {
    return this[CONTEXT].parallel(calls)
  }

  publish(topic: string, payload?: unknown, options?: KeepOptions): Promise<Receipt> {
    return this[CONTEXT].publish(topic, payload, options)
  }

  enqueue(queue: string, payload?: unknown, options?: KeepOptions): Promise<Receipt> {
    return this[CONTEXT].enqueue(queue, payload, options)
  }

  connection<C extends Connection = Connection>(name: string): C {
    return this[CONTEXT].connection<C>(name)
  }

  cpu<Output = unknown>(file: URL, payload: unknown, options?: { timeoutMs?: number }): Promise<Output> {
    return this[CONTEXT].cpu<Output>(file, payload, options)
  }
}

/** A service class, as a file exports it. */
export type ServiceClass = (new () => Service) & ServiceSettings

type InputOf<S> = S extends TSchema ? Static<S> : unknown

/** A service as a function: types of input and output follow from the schemas. */
export interface FunctionService<I extends TSchema | undefined, O extends TSchema | undefined>
  extends Omit<ServiceSettings, 'serviceName' | 'input' | 'output'> {
  name?: string
  input?: I
  output?: O
  handle(input: InputOf<I>, context: ServiceContext<InputOf<I>>): InputOf<O> | Promise<InputOf<O>>
}

/**
 * Defines a service as a function.
 *
 * ```ts
 * export default service({
 *   input: Type.Object({ name: Type.String() }),
 *   output: Type.String(),
 *   handle: input => `Hello, ${input.name}`,
 * })
 * ```
 */
export function service<I extends TSchema | undefined = undefined, O extends TSchema | undefined = undefined>(
  definition: FunctionService<I, O>,
): ServiceClass {
  const { name, handle, ...settings } = definition
  class Defined extends Service<InputOf<I>> {
    handle(input: InputOf<I>) {
      return handle(input, this)
    }
  }
  if (name !== undefined) Object.assign(Defined, { serviceName: name })
  return Object.assign(Defined, settings) as unknown as ServiceClass
}

/** @internal Makes the instance that handles one message. */
export function createService(type: ServiceClass, context: ServiceContext): Service {
  const instance = new type()
  instance[CONTEXT] = context
  return instance
}

/** @internal The context that a service was made with. */
export function contextBehind(service: Service): ServiceContext {
  return service[CONTEXT]
}

/** @internal Whether a module's export is a service. */
export function isServiceClass(value: unknown): value is ServiceClass {
  return typeof value === 'function' && value.prototype instanceof Service
}
