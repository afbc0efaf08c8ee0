/** The receiving half of a link's flow control: what was taken, what waits outside full mailboxes, what credit to give. */
import type { Address } from '../actor/address.ts'
import { malformed } from './wire.ts'

/** A sender learns what a batch takes when it has encoded it; so much it may be over its window then, in bytes. */
const OVERRUN_BYTES = 128 * 1024 * 1024

export interface Credit {
  messages: number
  bytes: number
}

export class Inbound {
  readonly #windowMessages: number
  readonly #windowBytes: number
  /** Taken and not yet credited. */
  #messages = 0
  #bytes = 0
  /** Messages that wait outside a full mailbox here, by address. */
  readonly #parked = new Map<Address, number>()
  #parkedMessages = 0
  #parkedBytes = 0

  constructor(windowMessages: number, windowBytes: number) {
    this.#windowMessages = windowMessages
    this.#windowBytes = windowBytes
  }

  /** Counts what came. Throws SIGNALBOX_CODEC_MALFORMED when the other side has sent more than it may. */
  took(messages: number, bytes: number): void {
    this.#messages += messages
    this.#bytes += bytes
    if (this.#messages > this.#windowMessages) throw malformed('more messages than there was credit for')
  }

  /**
   * The credit to give now, if it is time to: when a quarter of the window was taken, and a window's worth does
   * not wait outside full mailboxes already.
   */
  credit(): Credit | undefined {
    if (this.#messages < this.#windowMessages / 4 && this.#bytes < this.#windowBytes / 4) return undefined
    if (this.#parkedMessages >= this.#windowMessages || this.#parkedBytes >= this.#windowBytes)
      return undefined
    const credit = { messages: this.#messages, bytes: this.#bytes }
    this.#messages = this.#bytes = 0
    return credit
  }

  /** A message waits outside its mailbox. True: it is the first one there. Throws when too much waits. */
  park(address: Address, bytes: number): boolean {
    const parked = this.#parked.get(address) ?? 0
    this.#parked.set(address, parked + 1)
    this.#parkedMessages++
    this.#parkedBytes += bytes
    if (this.#parkedBytes > 2 * this.#windowBytes + OVERRUN_BYTES) {
      throw malformed('more bytes than there was credit for')
    }
    return parked === 0
  }

  /** It waits no more. True: it was the last one there. */
  unpark(address: Address, bytes: number): boolean {
    const left = (this.#parked.get(address) ?? 1) - 1
    this.#parkedMessages--
    this.#parkedBytes -= bytes
    if (left > 0) this.#parked.set(address, left)
    else this.#parked.delete(address)
    return left === 0
  }

  inspect(): { parked: number; parkedBytes: number } {
    return { parked: this.#parkedMessages, parkedBytes: this.#parkedBytes }
  }
}
