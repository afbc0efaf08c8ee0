import { threadId } from 'node:worker_threads'
import { Service } from 'signalbox'

/** Answers with the thread it runs in. */
export default class Where extends Service {
  handle() {
    return { thread: threadId }
  }
}
