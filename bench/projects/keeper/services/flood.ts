import { Service } from 'signalbox'

/** Publishes for so many milliseconds, so many messages at the same time; answers with how many were acknowledged. */
export default class Flood extends Service<{ ms: number; lanes: number }> {
  async handle({ ms, lanes }: { ms: number; lanes: number }) {
    const end = performance.now() + ms
    const payload = 'x'.repeat(160)
    let count = 0
    const lane = async () => {
      while (performance.now() < end) {
        await this.enqueue('orders', payload)
        count++
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
    return count
  }
}
