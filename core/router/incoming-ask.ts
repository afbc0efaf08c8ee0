/** An ask that came over a link: its answer goes back there, its deadline is watched here as well. */
import { type Deadlines, Expiring } from '../actor/deadlines.ts'
import type { Envelope, ReplyHead, ReplyTo } from '../actor/envelope.ts'
import { SignalboxError } from '../errors.ts'
import { ERROR, REPLY, type Wire } from './wire.ts'

interface Origin {
  answer(id: number, message: Wire): void
}

export class IncomingAsk extends Expiring implements ReplyTo {
  readonly #link: Origin
  readonly #deadlines: Deadlines
  readonly #id: number
  #envelope: Envelope | undefined

  constructor(link: Origin, deadlines: Deadlines, id: number) {
    super()
    this.#link = link
    this.#deadlines = deadlines
    this.#id = id
  }

  watch(envelope: Envelope): void {
    this.#envelope = envelope
    if (envelope.deadline === 0) return
    this.deadline = envelope.deadline
    this.#deadlines.add(this)
  }

  resolve(payload: unknown, head: ReplyHead | undefined): void {
    this.#answer([REPLY, this.#id, head ?? null, payload])
  }

  reject(error: SignalboxError): void {
    this.#answer([ERROR, this.#id, error.toWire()])
  }

  expire(): void {
    const envelope = this.#envelope
    const error = new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE')
    this.reject(error)
    envelope?.cancel(error)
  }

  /** Nobody waits for the answer any more. */
  abandon(reason: SignalboxError): void {
    if (this.deadline !== 0) this.#deadlines.remove(this)
    this.#envelope?.cancel(reason)
    this.#envelope = undefined
  }

  #answer(message: Wire): void {
    if (this.deadline !== 0) this.#deadlines.remove(this)
    this.#envelope = undefined
    this.#link.answer(this.#id, message)
  }
}
