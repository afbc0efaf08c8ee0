/** What the author of an actor writes, and what the actor can do. */
import type { AbortSource } from '../abort.ts'
import type { SignalboxError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Address } from './address.ts'
import type { Envelope, MessageContext } from './envelope.ts'
import type { Overflow } from './mailbox.ts'
import type { RestartType, SupervisionPolicy } from './supervision.ts'

/** What an actor does. One instance lives from a start to the next restart or stop. */
export interface Behaviour {
  /**
   * Handles one message. What it returns (or the promise resolves with) answers an ask. What it throws answers
   * the ask with an error, then the actor's supervisor restarts it with a new behaviour; not so for a message
   * whose sender has given up, since to throw is the way to stop working on it.
   */
  receive(payload: unknown, envelope: Envelope, context: ActorContext): unknown
  /** Called before the first message, after every (re)start. Failing here counts as a failure of the actor. */
  started?(context: ActorContext): void | Promise<void>
  /** Called after the last message. `reason` is undefined when the actor was stopped on purpose. */
  stopped?(context: ActorContext, reason: SignalboxError | undefined): void | Promise<void>
  /** Called when an actor that this one monitors has stopped. Overtakes messages. */
  down?(notice: Down, context: ActorContext): void
  /** New configuration; overtakes messages. Absent: configuration changes start a new actor. */
  configure?(options: unknown, context: ActorContext): void | Promise<void>
  /** Plain data about the actor for those who operate the bus. */
  inspect?(): Record<string, unknown>
}

/** An actor that another one monitors has stopped. */
export interface Down {
  address: Address
  /** Undefined when it was stopped on purpose. */
  reason: SignalboxError | undefined
}

export interface ActorSpec {
  /** Makes the behaviour, at the start and at every restart. */
  behaviour: () => Behaviour
  /** Messages that may wait. Default 1,024. */
  mailboxCapacity?: number
  /** Payload bytes that may wait, where sizes are known. Default 64 MiB. */
  mailboxMaxBytes?: number
  /** What happens to a message for a full mailbox. Default `wait`. */
  overflow?: Overflow
  /** How many messages are handled at the same time. Default 1. */
  concurrency?: number
  /** When it is started again after it ended: see {@link RestartType}. Default `transient`. */
  restart?: RestartType
  /** How this actor supervises the children it starts. */
  supervision?: Partial<SupervisionPolicy>
  /** How long a stop waits for messages being handled before it cancels them, in milliseconds. Default 5,000. */
  shutdownMs?: number
}

export interface SendOptions extends MessageContext {
  /** Payload bytes, where known. */
  bytes?: number
}

export interface AskOptions extends SendOptions {
  /** Time limit in milliseconds. Default: what `parent` has left, or 30,000; `Infinity` for none of its own. */
  timeoutMs?: number | undefined
  /** Cancels the ask, and the work for it. */
  signal?: AbortSource | undefined
  /** The message this ask belongs to: when that is cancelled or expires, so does the ask. */
  parent?: Envelope | undefined
}

/** A way to reach an actor. */
export interface ActorRef {
  readonly address: Address
  /**
   * Sends without waiting for an answer. Undefined when the mailbox took it at once; otherwise a promise that
   * resolves when it did: await it, that is the back-pressure.
   */
  tell(payload: unknown, options?: SendOptions): Promise<void> | undefined
  ask(payload: unknown, options?: AskOptions): Promise<unknown>
}

/** What an actor can do, beside handling its messages. */
export interface ActorContext {
  readonly self: ActorRef
  readonly log: Logger
  /**
   * Starts a child that this actor supervises, at the address of this one with the name added. Children stop
   * with their parent. Throws SIGNALBOX_ADDRESS_TAKEN, SIGNALBOX_ADDRESS_INVALID, and SIGNALBOX_ACTOR_STOPPED when
   * this actor is coming to its end.
   */
  spawn(name: string, spec: ActorSpec): ActorRef
  /** Stops a child and resolves when it has; without one, ends this actor after the message it handles. */
  stop(child?: ActorRef): Promise<void>
  tell(to: Address, payload: unknown, options?: SendOptions): Promise<void> | undefined
  ask(to: Address, payload: unknown, options?: AskOptions): Promise<unknown>
  /**
   * Calls `down` of the behaviour once when the other actor stops, on whatever worker or node it lives. A restart
   * is no stop. Returns the way to stop watching; a restart or stop of this actor does so as well.
   */
  monitor(address: Address): () => void
  /**
   * Like {@link monitor}, both ways when the other actor lives on this worker: when one stops by a failure, that
   * is a failure of the other (Erlang's link). Ends with a restart, as a monitor does: link in `started`.
   */
  link(address: Address): void
}
