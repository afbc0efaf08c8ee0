/** Messages that were sent and are not confirmed, so that one that comes back is found again. */
import type { Message } from 'amqplib'
import type { Publication } from './publisher.ts'

/**
 * The broker returns a message before it confirms it, and says only its properties. Entries with the same id, exchange
 * and routing key are taken in the order in which they were sent: they come back in that order too.
 */
export class Returns<E extends Publication> {
  readonly #entries = new Map<E, Message | undefined>()

  add(entry: E): void {
    this.#entries.set(entry, undefined)
  }

  /** Forgets an entry; the message, if it came back. */
  remove(entry: E): Message | undefined {
    const message = this.#entries.get(entry)
    this.#entries.delete(entry)
    return message
  }

  /** Remembers that a message came back. False: it is none of these. */
  returned(message: Message): boolean {
    const { exchange, routingKey } = message.fields
    for (const [entry, seen] of this.#entries) {
      if (seen !== undefined || entry.options.messageId !== message.properties.messageId) continue
      if (entry.exchange !== exchange || entry.routingKey !== routingKey) continue
      this.#entries.set(entry, message)
      return true
    }
    return false
  }

  all(): E[] {
    return [...this.#entries.keys()]
  }
}
