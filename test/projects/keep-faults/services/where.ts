import { threadId } from 'node:worker_threads'
import { Service } from 'signalbox'

export default class Where extends Service {
  handle() {
    return { thread: threadId }
  }
}
