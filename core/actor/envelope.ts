/** One message on the bus, as the actor that handles it sees it. */
import type { SignalboxError } from '../errors.ts'
import type { Address } from './address.ts'

/** What an answer may say beside its payload; channels map it to their protocol. */
export interface ReplyHead {
  status?: number
  headers?: Record<string, string>
}

/** Where the answer to an ask goes. The first call settles it, later ones are ignored. */
export interface ReplyTo {
  resolve(payload: unknown, head: ReplyHead | undefined): void
  reject(error: SignalboxError): void
}

/** What travels beside the payload from one message to those that follow from it. */
export interface MessageContext {
  /** Correlation id: the same for everything that follows from one message. */
  cid?: string | undefined
  headers?: Readonly<Record<string, string>> | undefined
  /** W3C `traceparent`. */
  trace?: string | undefined
  /** Who sent it and by which channel it came in; plain data that services see. */
  origin?: unknown
}

/** Work that ends when the message it belongs to is cancelled. */
export interface Dependent {
  giveUp(reason: SignalboxError): void
}

/** A message in a mailbox. One object from the sender to the receiver within a worker: nothing is copied. */
export class Envelope {
  readonly to: Address
  readonly payload: unknown
  readonly context: MessageContext
  /** On the monotonic clock of this thread, in milliseconds; 0: none. */
  readonly deadline: number
  /** Size of the payload where it is known, for the byte limit of mailboxes. */
  readonly bytes: number
  /** Set for an ask, cleared when it is settled. */
  replyTo: ReplyTo | undefined
  /** Why nobody waits for the answer any more; set by {@link cancel}. */
  cancelled: SignalboxError | undefined
  /** The mailbox did not take it, and never will. */
  refused = false
  /** Where the news of a cancellation must go, for a message that went to another thread. */
  onCancel: ((reason: SignalboxError) => void) | undefined
  /** Asks that the handler of this message has under way. */
  dependents: Set<Dependent> | undefined
  #controller: AbortController | undefined

  constructor(
    to: Address,
    payload: unknown,
    context: MessageContext,
    deadline: number,
    replyTo: ReplyTo | undefined,
    bytes: number,
  ) {
    this.to = to
    this.payload = payload
    this.context = context
    this.deadline = deadline
    this.bytes = bytes
    this.replyTo = replyTo
    this.cancelled = undefined
    this.onCancel = undefined
    this.dependents = undefined
    this.#controller = undefined
  }

  get kind(): 'tell' | 'ask' {
    return this.replyTo === undefined ? 'tell' : 'ask'
  }

  /** Aborted when the sender gives up or the deadline passes. Made on first use: most actors never look. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.cancelled && !this.#controller.signal.aborted) this.#controller.abort(this.cancelled)
    return this.#controller.signal
  }

  /** Answers an ask; nothing happens for a tell or when it was answered before. */
  resolve(payload: unknown, head?: ReplyHead): void {
    const replyTo = this.replyTo
    if (replyTo === undefined) return
    this.replyTo = undefined
    replyTo.resolve(payload, head)
  }

  /** Fails an ask; nothing happens for a tell or when it was answered before. */
  reject(error: SignalboxError): void {
    const replyTo = this.replyTo
    if (replyTo === undefined) return
    this.replyTo = undefined
    replyTo.reject(error)
  }

  /** Tells the receiver that nobody waits for the answer any more. Idempotent. */
  cancel(reason: SignalboxError): void {
    if (this.cancelled) return
    this.cancelled = reason
    this.replyTo = undefined
    this.#controller?.abort(reason)
    this.onCancel?.(reason)
    for (const dependent of this.dependents ?? []) dependent.giveUp(reason)
  }
}

/** The context of a message that follows from none. */
export const NO_CONTEXT: MessageContext = Object.freeze({})
