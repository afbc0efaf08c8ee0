/** An ask under way: a promise, its deadline and its cancellation. */
import type { AbortSource } from '../abort.ts'
import { SignalboxError } from '../errors.ts'
import { type Deadlines, Expiring } from './deadlines.ts'
import type { Dependent, Envelope, ReplyHead, ReplyTo } from './envelope.ts'

/** The answer to an ask with what the handler said beside it. */
export interface Answer {
  payload: unknown
  head: ReplyHead | undefined
}

/** Settles once: by the answer, the deadline or the caller's signal, whichever comes first. */
export class Ask extends Expiring implements ReplyTo, Dependent {
  readonly #deadlines: Deadlines
  readonly #settle: (payload: unknown, head: ReplyHead | undefined) => void
  readonly #fail: (error: SignalboxError) => void
  #envelope: Envelope | undefined
  #signal: AbortSource | undefined
  #onAbort: (() => void) | undefined
  #parent: Envelope | undefined

  constructor(
    deadlines: Deadlines,
    settle: (payload: unknown, head: ReplyHead | undefined) => void,
    fail: (error: SignalboxError) => void,
  ) {
    super()
    this.#deadlines = deadlines
    this.#settle = settle
    this.#fail = fail
  }

  /** Begins to watch deadline and signal. */
  watch(envelope: Envelope, signal?: AbortSource, parent?: Envelope): void {
    this.#envelope = envelope
    if (parent) {
      this.#parent = parent
      parent.dependents ??= new Set()
      parent.dependents.add(this)
    }
    if (envelope.deadline !== 0) {
      this.deadline = envelope.deadline
      this.#deadlines.add(this)
    }
    if (signal === undefined) return
    this.#signal = signal
    this.#onAbort = () => this.giveUp(cancellation(signal))
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  resolve(payload: unknown, head: ReplyHead | undefined): void {
    this.#release()
    this.#settle(payload, head)
  }

  reject(error: SignalboxError): void {
    this.#release()
    this.#fail(error)
  }

  expire(): void {
    const to = this.#envelope?.to
    this.giveUp(new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', `${to} did not answer before the deadline`))
  }

  /** Fails it, and tells the receiver that nobody waits any more. */
  giveUp(error: SignalboxError): void {
    const envelope = this.#envelope
    this.#release()
    envelope?.cancel(error)
    this.#fail(error)
  }

  #release(): void {
    if (this.deadline !== 0) this.#deadlines.remove(this)
    this.#parent?.dependents?.delete(this)
    if (this.#onAbort) this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#onAbort = this.#signal = this.#envelope = this.#parent = undefined
  }
}

/** The error for a caller's abort: its own reason when that is typed, so that a deadline stays a deadline. */
export function cancellation(signal: AbortSource): SignalboxError {
  if (signal.reason instanceof SignalboxError) return signal.reason
  return new SignalboxError('SIGNALBOX_CANCELLED', undefined, { cause: signal.reason })
}
