/** The sending half of a link's flow control: who may send now, who waits for credit, who is held back. */
import type { Address } from '../actor/address.ts'
import { refused } from '../actor/cell.ts'
import type { Envelope } from '../actor/envelope.ts'
import { MAX_WAITING } from '../actor/mailbox.ts'
import { SignalboxError } from '../errors.ts'
import { Fifo } from './net-fifo.ts'
import type { Place } from './place.ts'
import { malformed } from './wire.ts'

/** Messages of one address sent before the next one has its turn. */
const TURN = 32
/** Addresses that the other side may have paused; an honest one pauses only what it was sent something for. */
const MAX_PAUSED = 65_536
/** Messages given up while they wait that a lane keeps before it is tidied. */
const MAX_GIVEN_UP = 64

interface Waiting {
  envelope: Envelope
  /** Set when it has left the line, or will never leave it. */
  settled: boolean
  resolve: () => void
  reject: (error: SignalboxError) => void
}

/** Messages for one address that wait; it exists while there are some or while the address is paused. */
class Lane {
  readonly address: Address
  queue = new Fifo<Waiting>()
  paused = false
  inLine = false
  givenUp = 0

  constructor(address: Address) {
    this.address = address
  }

  /** Lets go of messages that were given up, when they are many. */
  tidy(): void {
    if (++this.givenUp < MAX_GIVEN_UP || this.givenUp * 2 < this.queue.length) return
    const left = new Fifo<Waiting>()
    for (let next = this.queue.shift(); next; next = this.queue.shift()) if (!next.settled) left.push(next)
    this.queue = left
    this.givenUp = 0
  }
}

export interface OutboundOptions {
  place: Place
  /** What may be on its way without the other side having taken it. */
  windowMessages: number
  windowBytes: number
  /** Sends a message now. */
  put(envelope: Envelope): void
  /** Fails a message that will never be sent. */
  refuse(envelope: Envelope, error: SignalboxError): void
}

export class Outbound {
  readonly #options: OutboundOptions
  /** Credit that is left. Bytes may fall below zero: what a batch takes is known when it is encoded. */
  #messages: number
  #bytes: number
  readonly #lanes = new Map<Address, Lane>()
  /** Lanes that may send as soon as there is credit. */
  readonly #line = new Fifo<Lane>()
  #paused = 0
  #waiting = 0

  constructor(options: OutboundOptions) {
    this.#options = options
    this.#messages = options.windowMessages
    this.#bytes = options.windowBytes
  }

  /** Messages that wait for credit or for a full mailbox. */
  get waiting(): number {
    return this.#waiting
  }

  /** Sends now (undefined) or when credit and the receiving mailbox allow. */
  send(envelope: Envelope): Promise<void> | undefined {
    const lane = this.#lanes.size === 0 ? undefined : this.#lanes.get(envelope.to)
    if (lane === undefined && this.#messages > 0 && this.#bytes > 0) {
      this.#messages--
      this.#options.put(envelope)
      return undefined
    }
    if (this.#waiting >= MAX_WAITING) {
      const message = `${this.#waiting} messages wait on the link to ${this.#options.place}`
      const error = new SignalboxError('SIGNALBOX_LINK_SATURATED', message, { retryAfterMs: 1000 })
      this.#options.refuse(envelope, error)
      return refused(error)
    }
    return this.#wait(lane ?? this.#laneOf(envelope.to), envelope)
  }

  /** Bytes of a batch that has left. */
  sent(bytes: number): void {
    this.#bytes -= bytes
  }

  /** Credit for a message that did not leave after all. Call {@link pump} later. */
  returned(): void {
    this.#messages++
  }

  /** The other side has taken messages. Throws SIGNALBOX_CODEC_MALFORMED when it took more than it was sent. */
  credit(messages: number, bytes: number): void {
    const { windowMessages, windowBytes } = this.#options
    const sane = Number.isSafeInteger(messages) && Number.isSafeInteger(bytes) && messages >= 0 && bytes >= 0
    if (!sane || this.#messages + messages > windowMessages || this.#bytes + bytes > windowBytes) {
      throw malformed('credit for more than was sent')
    }
    this.#messages += messages
    this.#bytes += bytes
    this.pump()
  }

  /** The mailbox there is full: messages for it wait here, all others go on. */
  pause(address: Address): void {
    const lane = this.#laneOf(address)
    if (lane.paused) return
    if (typeof address !== 'string' || this.#paused >= MAX_PAUSED) throw malformed('a pause of nothing')
    lane.paused = true
    this.#paused++
  }

  resume(address: Address): void {
    const lane = this.#lanes.get(address)
    if (!lane?.paused) return
    lane.paused = false
    this.#paused--
    this.#enter(lane)
    this.pump()
  }

  /** Fails everything that waits. */
  fail(error: SignalboxError): void {
    const lanes = [...this.#lanes.values()]
    this.#lanes.clear()
    this.#line.clear()
    this.#paused = 0
    for (const { queue } of lanes) {
      for (let next = queue.shift(); next; next = queue.shift()) {
        if (!this.#leave(next)) continue
        this.#options.refuse(next.envelope, error)
        next.reject(error)
      }
    }
  }

  /** Sends what waits, as far as the credit goes, address by address in turn. */
  pump(): void {
    while (this.#messages > 0 && this.#bytes > 0) {
      const lane = this.#line.shift()
      if (!lane) return
      lane.inLine = false
      if (lane.paused) continue
      for (let left = TURN; left > 0 && this.#messages > 0; left--) {
        const next = lane.queue.shift()
        if (!next) break
        if (!this.#leave(next)) continue
        this.#messages--
        next.resolve()
        this.#options.put(next.envelope)
      }
      this.#enter(lane)
    }
  }

  inspect(): { messagesInFlight: number; bytesInFlight: number; waiting: number; paused: number } {
    return {
      messagesInFlight: this.#options.windowMessages - this.#messages,
      bytesInFlight: this.#options.windowBytes - this.#bytes,
      waiting: this.#waiting,
      paused: this.#paused,
    }
  }

  #laneOf(address: Address): Lane {
    let lane = this.#lanes.get(address)
    if (!lane) {
      lane = new Lane(address)
      this.#lanes.set(address, lane)
    }
    return lane
  }

  #wait(lane: Lane, envelope: Envelope): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting: Waiting = { envelope, settled: false, resolve, reject }
    // Ignoring a tell must not bring the worker down.
    promise.catch(() => {})
    lane.queue.push(waiting)
    this.#waiting++
    envelope.onCancel = () => {
      if (!this.#leave(waiting)) return
      resolve()
      lane.tidy()
    }
    this.#enter(lane)
    return promise
  }

  /** False: it had left before. */
  #leave(waiting: Waiting): boolean {
    if (waiting.settled) return false
    waiting.settled = true
    this.#waiting--
    waiting.envelope.onCancel = undefined
    return true
  }

  /** Puts a lane in line when it has something to send, and forgets it when it has no reason to be. */
  #enter(lane: Lane): void {
    if (lane.paused || lane.inLine) return
    if (lane.queue.length === 0) {
      this.#lanes.delete(lane.address)
      return
    }
    lane.inLine = true
    this.#line.push(lane)
  }
}
