/** The bounded inbox of an actor: a ring that grows up to its capacity, and those who wait for a place in it. */
import type { SignalboxError } from '../errors.ts'
import type { Envelope } from './envelope.ts'

/** What happens to a message for a full mailbox. */
export type Overflow = 'wait' | 'reject' | 'dropOldest'

/** Senders that may wait for a place; beyond it even `wait` rejects, so that nothing grows without bound. */
export const MAX_WAITING = 65_536

/** A message that waits outside a full mailbox. */
export interface Waiting {
  envelope: Envelope
  accepted: () => void
  /** The actor stopped before there was a place. */
  refused: (error: SignalboxError) => void
}

const FIRST_SIZE = 8
const NONE: (Envelope | undefined)[] = []

export class Mailbox {
  readonly capacity: number
  readonly maxBytes: number
  /** Messages in the ring. */
  size = 0
  bytes = 0
  #ring: (Envelope | undefined)[] = NONE
  #head = 0
  #waiting: Waiting[] | undefined
  #waitingHead = 0

  constructor(capacity: number, maxBytes: number) {
    this.capacity = capacity
    this.maxBytes = maxBytes
  }

  get full(): boolean {
    return this.size >= this.capacity || this.bytes >= this.maxBytes || this.waiting > 0
  }

  get waiting(): number {
    return this.#waiting === undefined ? 0 : this.#waiting.length - this.#waitingHead
  }

  /** Adds a message. The caller has looked at {@link full}. */
  push(envelope: Envelope): void {
    if (this.size === this.#ring.length) this.#grow()
    this.#ring[(this.#head + this.size) & (this.#ring.length - 1)] = envelope
    this.size++
    this.bytes += envelope.bytes
  }

  /** Takes the oldest message and lets those who wait move up; undefined when it is empty. */
  take(): Envelope | undefined {
    const envelope = this.#shift()
    if (this.#waiting !== undefined) this.#admit()
    return envelope
  }

  /** Takes the oldest message to make room for a newer one. */
  dropOldest(): Envelope | undefined {
    return this.#shift()
  }

  /** Takes everything out, those who wait as well: the actor has come to its end. */
  clear(): { queued: Envelope[]; waiting: Waiting[] } {
    const waiting = this.#waiting?.slice(this.#waitingHead) ?? []
    this.#waiting = undefined
    this.#waitingHead = 0
    const queued: Envelope[] = []
    for (let next = this.#shift(); next !== undefined; next = this.#shift()) queued.push(next)
    this.#ring = NONE
    this.#head = 0
    return { queued, waiting }
  }

  /** Puts a message in the line outside. False: the line is full as well. */
  wait(waiting: Waiting): boolean {
    if (this.waiting >= MAX_WAITING) return false
    this.#waiting ??= []
    this.#waiting.push(waiting)
    return true
  }

  #shift(): Envelope | undefined {
    if (this.size === 0) return undefined
    const envelope = this.#ring[this.#head]!
    this.#ring[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#ring.length - 1)
    this.size--
    this.bytes -= envelope.bytes
    return envelope
  }

  #admit(): void {
    const waiting = this.#waiting!
    while (this.size < this.capacity && this.bytes < this.maxBytes && this.#waitingHead < waiting.length) {
      const next = waiting[this.#waitingHead++]!
      this.push(next.envelope)
      next.accepted()
    }
    if (this.#waitingHead === waiting.length) {
      this.#waiting = undefined
      this.#waitingHead = 0
    } else if (this.#waitingHead > 1024) {
      waiting.splice(0, this.#waitingHead)
      this.#waitingHead = 0
    }
  }

  #grow(): void {
    const old = this.#ring
    const ring = new Array<Envelope | undefined>(old.length === 0 ? FIRST_SIZE : old.length * 2)
    for (let i = 0; i < this.size; i++) ring[i] = old[(this.#head + i) & (old.length - 1)]
    this.#ring = ring
    this.#head = 0
  }
}
