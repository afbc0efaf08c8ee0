/** A real worker thread at the other end of a link, for link.test.ts. */
import { type MessagePort, workerData } from 'node:worker_threads'
import { ActorSystem } from '../../core/actor/system.ts'
import { Link } from '../../core/router/link.ts'
import { ThreadPipe } from '../../core/router/thread-pipe.ts'
import { echo, spec } from './link-actors.ts'

const system = new ActorSystem()
const link: Link = new Link({
  place: 'n/0:1',
  system,
  pipe: new ThreadPipe(workerData as MessagePort, {
    receive: (body, parts) => link.receive(body, parts),
    closed: error => link.lost(error),
  }),
})
system.spawn('service/echo', echo)
system.spawn(
  'service/silent',
  spec(() => new Promise(() => {})),
)
system.spawn(
  'service/exit',
  spec(() => process.exit(1)),
)
