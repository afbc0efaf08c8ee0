import { Service } from 'signalbox'

interface Message {
  id: string
  key: string
  number: number
}

/** Answers when all of them are on disk. */
export default class Publish extends Service<Message[]> {
  async handle(messages: Message[]) {
    await Promise.all(
      messages.map(({ id, key, number }) => this.enqueue('orders', { id, number }, { id, key })),
    )
    await this.publish('events', messages[0]!.id)
    return messages.length
  }
}
