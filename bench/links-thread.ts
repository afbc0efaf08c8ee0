/** The other worker of the link benchmark: it answers over a link and over bare MessagePorts. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { Packr } from 'msgpackr'
import { Link } from '../core/router/link.ts'
import { ThreadPipe } from '../core/router/thread-pipe.ts'
import { benchSystem } from './links-kit.ts'

const { bare, packed, linked } = workerData as Record<'bare' | 'packed' | 'linked', MessagePort>

bare.on('message', (message: { last?: boolean; ask?: boolean }) => {
  if (message.ask || message.last) bare.postMessage(message)
})

const packr = new Packr({ useRecords: true, sequential: true })
packed.on('message', (body: Uint8Array) => {
  const batch = packr.unpack(body) as { last?: boolean }[]
  if (batch.at(-1)!.last) packed.postMessage('done')
})

const system = benchSystem()
const link: Link = new Link({
  place: 'n/0:1',
  system,
  pipe: new ThreadPipe(linked, {
    receive: (body, parts) => link.receive(body, parts),
    closed: error => link.lost(error),
  }),
})
parentPort!.postMessage('ready')
