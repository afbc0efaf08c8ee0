/** The sending half of a link's flow control: who may send now, who waits for credit, who is held back. */
import type { Address } from '../actor/address.ts'
import { refused } from '../actor/cell.ts'
import type { Envelope } from '../actor/envelope.ts'
import { MAX_WAITING } from '../actor/mailbox.ts'
import { SignalboxError } from '../errors.ts'
import type { Place } from './place.ts'

interface Waiting {
  envelope: Envelope
  resolve: () => void
  reject: (error: SignalboxError) => void
}

export class Outbound {
  readonly #put: (envelope: Envelope) => void
  readonly #place: Place
  readonly #windowMessages: number
  readonly #windowBytes: number
  #messages: number
  #bytes: number
  /** Taken from the other side and not yet credited to it. */
  #takenMessages = 0
  #takenBytes = 0
  #queue: Waiting[] = []
  readonly #held = new Map<Address, Waiting[]>()
  #waiting = 0

  constructor(windowMessages: number, windowBytes: number, put: (envelope: Envelope) => void, place: Place) {
    this.#windowMessages = this.#messages = windowMessages
    this.#windowBytes = this.#bytes = windowBytes
    this.#put = put
    this.#place = place
  }

  /** Messages that wait for credit or for a full mailbox. */
  get waiting(): number {
    return this.#waiting
  }

  /** Sends now (undefined) or when credit and the receiving mailbox allow. */
  send(envelope: Envelope, refuse: (error: SignalboxError) => void): Promise<void> | undefined {
    const held = this.#held.size === 0 ? undefined : this.#held.get(envelope.to)
    if (held === undefined && this.#messages > 0 && this.#bytes > 0 && this.#queue.length === 0) {
      this.#messages--
      this.#put(envelope)
      return undefined
    }
    if (this.#waiting >= MAX_WAITING) {
      const error = new SignalboxError(
        'SIGNALBOX_LINK_SATURATED',
        `${this.#waiting} messages wait on the link to ${this.#place}`,
      )
      refuse(error)
      return refused(error)
    }
    this.#waiting++
    const promise = new Promise<void>((resolve, reject) => {
      const target = held ?? this.#queue
      target.push({ envelope, resolve, reject })
    })
    promise.catch(() => {})
    return promise
  }

  /** Bytes of a batch that has left. */
  sent(bytes: number): void {
    this.#bytes -= bytes
  }

  /** Credit for messages that did not leave after all. */
  returned(messages: number): void {
    this.#messages += messages
  }

  /** The other side has taken messages. */
  credit(messages: number, bytes: number): void {
    this.#messages += messages
    this.#bytes += bytes
    this.#pump()
  }

  /** Counts what came from the other side; the credit to give it, when it is time to. */
  taken(messages: number, bytes: number): { messages: number; bytes: number } | undefined {
    this.#takenMessages += messages
    this.#takenBytes += bytes
    if (this.#takenMessages < this.#windowMessages / 4 && this.#takenBytes < this.#windowBytes / 4) return undefined
    const credit = { messages: this.#takenMessages, bytes: this.#takenBytes }
    this.#takenMessages = this.#takenBytes = 0
    return credit
  }

  /** The mailbox there is full: messages for it wait here, all others go on. */
  pause(address: Address): void {
    if (!this.#held.has(address)) this.#held.set(address, [])
  }

  resume(address: Address): void {
    const held = this.#held.get(address)
    this.#held.delete(address)
    if (!held) return
    this.#queue = held.concat(this.#queue)
    this.#pump()
  }

  /** Fails everything that waits. */
  fail(error: SignalboxError, refuse: (envelope: Envelope) => void): void {
    const all = [...this.#queue, ...[...this.#held.values()].flat()]
    this.#queue = []
    this.#held.clear()
    this.#waiting = 0
    for (const waiting of all) {
      refuse(waiting.envelope)
      waiting.reject(error)
    }
  }

  #pump(): void {
    let sent = 0
    while (sent < this.#queue.length && this.#messages > 0 && this.#bytes > 0) {
      const next = this.#queue[sent++]!
      const held = this.#held.get(next.envelope.to)
      if (held) {
        held.push(next)
        continue
      }
      this.#waiting--
      next.resolve()
      if (next.envelope.cancelled) continue
      this.#messages--
      this.#put(next.envelope)
    }
    if (sent > 0) this.#queue = this.#queue.slice(sent)
  }
}
