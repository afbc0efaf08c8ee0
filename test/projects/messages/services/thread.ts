import { threadId } from 'node:worker_threads'
import { Service } from 'signalbox'

export default class Thread extends Service {
  handle() {
    return threadId
  }
}
