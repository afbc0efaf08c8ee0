/**
 * The contract of a transport: the code for one protocol. A transport is a plain value; it is listed in
 * `transports/index.ts` and nothing else in the tree knows its name.
 *
 * A transport only speaks its protocol. Reconnect with backoff, retry, back-pressure, dead-lettering, time
 * limits, metrics, traces and audit are written once, in the channel and connection actors.
 */
import type { Static, TSchema } from 'typebox'
import type { AbortSource } from './abort.ts'
import type { Clock } from './clock.ts'
import type { Logger } from './telemetry/log.ts'

/**
 * What a transport can do. This value chooses the scenarios of the conformance suite and is the table in the
 * transport's README; a test fails when the two differ.
 */
export interface Capabilities {
  /** Messages of one sender are delivered in the order they were sent. */
  ordered: boolean
  /** A message that the server has accepted survives a restart of the server. */
  persistent: boolean
  /** The sender can get an answer to its message. */
  requestReply: boolean
  /** The source keeps a message until it was settled, and delivers it again when it was not. */
  acknowledges: boolean
  /** Headers (string to string) travel beside the payload. */
  headers: boolean
  /** Several operations can be committed together. */
  transactions: boolean
  /** Answers or payloads may be streams. */
  streams: boolean
  /** The largest payload in bytes that the protocol itself allows; `undefined` when it sets no limit. */
  maxBytes?: number
}

/** A message that a channel received. */
export interface Inbound {
  /** Parsed where the protocol says what it is, otherwise a Buffer. */
  payload: unknown
  /**
   * JSON Pointer of the object whose members could only be sent as text, '' for the payload itself: they are read as
   * the numbers, booleans and lists that the input schema of the service wants. Absent: nothing is.
   */
  textAt?: string
  /** Protocol headers, names in lower case. */
  headers: Record<string, string>
  /** What else the protocol knows: method, path, routing key, file name. Plain data. */
  attributes: Record<string, unknown>
  /** Address of the actor that handles it, e.g. `service/orders.create`; defaults to the channel's own target. */
  target?: string
  /** Security definitions of which one must let it in; overrides those of the channel. */
  security?: readonly string[]
  /** Correlation id the sender gave; the bus makes one when it is missing. */
  cid?: string
  /** W3C `traceparent` the sender gave. */
  traceparent?: string
  /** Overrides the channel's time limit, in milliseconds. */
  timeoutMs?: number
  /** Aborted when the sender gives up (it hung up, its connection broke). Any AbortSignal will do. */
  signal?: AbortSource
  /** Payload bytes as they came over the wire, for metrics and limits. */
  bytes?: number
}

/** What the service answered. A stream payload is an AsyncIterable. */
export interface Outbound {
  payload: unknown
  headers: Record<string, string>
  /** Status in HTTP terms, when the service set one. */
  status?: number
  /** Correlation id of the message, for the answer and the log. */
  cid: string
}

/**
 * Hands a message to the bus. The promise is the settlement, exactly once: it resolves when the service
 * succeeded (or the message is durable on the bus), and only then may the source be acknowledged; it rejects
 * with a SignalboxError, whose `retryable` tells whether to deliver again. It never stays pending for ever.
 */
export type Receive = (message: Inbound) => Promise<Outbound>

/** What a transport gets from the bus, and all it gets. */
export interface TransportContext {
  /** Name of the channel or connection, for logs and for names on the server. */
  readonly name: string
  readonly log: Logger
  readonly clock: Clock
  /** Aborted when the channel or connection closes for good. */
  readonly signal: AbortSignal
  /** Says that the connection broke; the actor calls `close()`, then connects a new instance with backoff. */
  lost(error: Error): void
}

/** An inbound endpoint. One instance lives from one `connect` to one `close`. */
export interface Channel {
  /**
   * Opens the endpoint and starts to deliver. Resolves when messages can arrive. Rejects with a typed error;
   * the channel actor tries again with backoff when the error is retryable.
   * Deliver at most the options' `maxInFlight` messages at once: that is the back-pressure.
   */
  connect(receive: Receive): Promise<void>
  /**
   * Takes no more messages and resolves when those in flight are settled. Called before `close` in a drain.
   * With `handover` other workers go on serving the same endpoint: one that shares its port with them goes on
   * taking what the system still gives it, and sends its clients away one by one, until nothing comes any more.
   */
  drain(handover?: boolean): Promise<void>
  /** Frees everything. Idempotent; also while `connect` or a delivery is under way. */
  close(): Promise<void>
  /** Resolves if the endpoint works, rejects with the reason otherwise. */
  ping(): Promise<void>
  /** Where it listens or polls, e.g. `http://127.0.0.1:7710`, for people. Secrets left out. */
  endpoint(): string
  /**
   * Takes new options without a restart. Absent, or returning false, means that the actor must start a new
   * instance and drain this one.
   */
  reconfigure?(options: unknown): Promise<boolean>
}

/** An outbound endpoint: a pool to something outside. Transports extend it with their typed operations. */
export interface Connection {
  connect(): Promise<void>
  close(): Promise<void>
  ping(): Promise<void>
  endpoint(): string
  /**
   * The operation every connection has: sends one message, resolves with the answer, or with an empty payload
   * where the protocol has none. Rejects with a SignalboxError.
   */
  send(message: OutgoingMessage): Promise<Outbound>
}

/** A message for {@link Connection.send}. */
export interface OutgoingMessage {
  payload: unknown
  headers?: Record<string, string>
  /** What the protocol needs beside the payload: path, routing key, file name. */
  attributes?: Record<string, unknown>
  timeoutMs?: number
  signal?: AbortSignal
  cid?: string
}

/** One side of a transport. Options are validated and have their defaults before `create` sees them. */
export interface TransportSide<Options extends TSchema, Instance> {
  options: Options
  create(options: Static<Options>, context: TransportContext): Instance
}

/** The inbound side. */
export interface ChannelSide<Options extends TSchema> extends TransportSide<Options, Channel> {
  /** `everyWorker`: one instance in each worker (listeners that share a port). `singleton`: one in the cluster. */
  placement: Placement
  /** The placement where it depends on the options; absent: `placement`, always. */
  placementOf?(options: Static<Options>): Placement
}

/** Where the instances of a channel live. */
export type Placement = 'everyWorker' | 'singleton'

/** The outbound side. */
export interface ConnectionSide<Options extends TSchema, Instance> extends TransportSide<Options, Instance> {
  /**
   * The operations, each with the place of the argument that is a message or the options of the call (`cid`,
   * `headers`). They are counted and traced, and carry the correlation id and the trace. Default: `send` alone.
   */
  operations?: Readonly<Record<string, number>>
  /** What the spans of its operations are. Default: `client` with request/reply, otherwise `producer`. */
  kind?: 'client' | 'producer'
  /** Its operations end with the call of the service that they belong to: they get its signal, unless they have one. */
  followsCall?: boolean
}

/** A transport, as exported from its `index.ts`. */
export interface Transport<
  ChannelOptions extends TSchema = TSchema,
  ConnectionOptions extends TSchema = TSchema,
  ConnectionInstance extends Connection = Connection,
> {
  name: string
  description: string
  capabilities: Capabilities
  channel?: ChannelSide<ChannelOptions>
  connection?: ConnectionSide<ConnectionOptions, ConnectionInstance>
}

/** Gives a transport its types; does nothing at run time. */
export function defineTransport<C extends TSchema, K extends TSchema, I extends Connection>(
  transport: Transport<C, K, I>,
): Transport<C, K, I> {
  return transport
}
