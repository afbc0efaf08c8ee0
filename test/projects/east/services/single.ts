import { threadId } from 'node:worker_threads'
import { service } from 'signalbox'

/** Lives once in the cluster. */
export default service({
  placement: 'singleton',
  handle: () => `${process.pid}/${threadId}`,
})
