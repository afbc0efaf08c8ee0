import { setTimeout as wait } from 'node:timers/promises'
import { threadId } from 'node:worker_threads'
import { Service } from 'signalbox'

/** Takes its time, so that requests are under way when something happens. */
export default class Slow extends Service {
  async handle() {
    await wait(20, undefined, { signal: this.request.signal })
    return { thread: threadId }
  }
}
