import { setTimeout as wait } from 'node:timers/promises'
import { threadId } from 'node:worker_threads'
import { service, Type } from 'signalbox'

/** Is called on the workers of all nodes. */
export default service({
  input: Type.Object({ ms: Type.Optional(Type.Number()) }),
  balance: 'roundRobin',
  handle: async ({ ms }) => {
    if (ms !== undefined) await wait(ms)
    return `${process.pid}/${threadId}`
  },
})
