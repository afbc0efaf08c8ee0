import { setTimeout as wait } from 'node:timers/promises'
import { Service } from 'signalbox'

/** One message in a second. */
export default class Crawl extends Service {
  async handle() {
    await wait(1_000)
  }
}
