import { threadId } from 'node:worker_threads'
import { service, Type } from 'signalbox'

/** Lives in one worker for each key; dies with it when asked to, or hangs until its caller gives up. */
export default service({
  input: Type.Object({ fault: Type.Optional(Type.String()), thread: Type.Optional(Type.Integer()) }),
  placement: 'keyed',
  concurrency: 64,
  handle: ({ fault }, { request }) => {
    if (fault === undefined) return { thread: threadId }
    if (fault === 'exit') process.exit(7)
    return new Promise<never>((_, reject) => {
      request.signal.addEventListener('abort', () => reject(request.signal.reason))
    })
  },
})
