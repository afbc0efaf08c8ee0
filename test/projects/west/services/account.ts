import { threadId } from 'node:worker_threads'
import { service, Type } from 'signalbox'

let calls = 0

/** Lives in one place for each key; ends its worker when it is asked to. */
export default service({
  input: Type.Object({ exit: Type.Optional(Type.Boolean()) }),
  placement: 'keyed',
  handle: ({ exit }) => {
    if (exit) process.exit(3)
    return { pid: process.pid, thread: threadId, calls: ++calls }
  },
})
