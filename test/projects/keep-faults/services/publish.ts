import { Service } from 'signalbox'

interface Batch {
  queue: string
  from: number
  count: number
  bytes?: number
}

/** Answers when all of them are on disk. */
export default class Publish extends Service<Batch> {
  async handle({ queue, from, count, bytes = 0 }: Batch) {
    const fill = 'x'.repeat(bytes)
    await Promise.all(
      Array.from({ length: count }, (_, i) =>
        this.enqueue(queue, { number: from + i, fill }, { id: `${queue}-${from + i}` }),
      ),
    )
    return count
  }
}
