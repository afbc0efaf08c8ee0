/** The other worker of the link benchmark: it answers over a bare MessagePort or over a link. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { Packr } from 'msgpackr'
import { ActorSystem } from '../core/actor/system.ts'
import { Link } from '../core/router/link.ts'
import { ThreadPipe } from '../core/router/thread-pipe.ts'

const { bare, packed, linked } = workerData as Record<'bare' | 'packed' | 'linked', MessagePort>

let told = 0
function count(by: number, total: number, reply: () => void): void {
  told += by
  if (told < total) return
  told = 0
  reply()
}

bare.on('message', ([total, payload, id]: [number, unknown, number]) => {
  if (id >= 0) bare.postMessage([id, payload])
  else count(1, total, () => bare.postMessage('done'))
})

const packr = new Packr({ useRecords: true, structures: [] })
packed.on('message', ([total, body]: [number, Uint8Array]) => {
  const batch = packr.unpack(body) as unknown[]
  count(batch.length, total, () => packed.postMessage('done'))
})

const system = new ActorSystem()
const link: Link = new Link({
  place: 'n/0:1',
  system,
  pipe: new ThreadPipe(linked, {
    receive: (body, parts) => link.receive(body, parts),
    closed: error => link.lost(error),
  }),
})
let total = 0
system.spawn('service/sink', {
  behaviour: () => ({ receive: () => count(1, total, () => linked.postMessage(null)) }),
})
system.spawn('service/tell', {
  behaviour: () => {
    let left = 0
    let done: ((value: unknown) => void) | undefined
    return {
      receive: (payload, envelope) => {
        if (typeof payload === 'number') {
          left += payload
          if (left === 0) return 'done'
          return new Promise(resolve => {
            done = resolve
          })
        }
        left--
        if (left === 0) done?.('done')
        return envelope.kind
      },
    }
  },
  concurrency: 2,
})
system.spawn('service/echo', { behaviour: () => ({ receive: payload => payload }) })
total = 0
parentPort!.postMessage('ready')
