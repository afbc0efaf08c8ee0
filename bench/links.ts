/** Worker to worker over a link, beside bare MessagePorts; and node to node over TCP with CURVE. */
import { once } from 'node:events'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { Packr } from 'msgpackr'
import { ActorSystem } from '../core/actor/system.ts'
import { Link } from '../core/router/link.ts'
import { ThreadPipe } from '../core/router/thread-pipe.ts'
import { inFlight, LARGE, latencies, median, rate, SMALL, tellAll } from './links-kit.ts'
import { nodeRows } from './links-node.ts'
import { QUICK } from './measure.ts'
import type { BenchRow } from './row.ts'

const ROUNDS = QUICK ? 1 : 3
/** What is sent in one measurement is this much less in the short form. */
const LESS = QUICK ? 20 : 1
const BATCH = 256

type Figures = Record<string, number[]>

export async function run(): Promise<BenchRow[]> {
  const [bare, packed, linked] = [new MessageChannel(), new MessageChannel(), new MessageChannel()]
  const ports = { bare: bare.port2, packed: packed.port2, linked: linked.port2 }
  const worker = new Worker(new URL('./links-thread.ts', import.meta.url), {
    workerData: ports,
    transferList: Object.values(ports),
  })
  await once(worker, 'message')
  const system = linkedSystem(linked.port1)
  const figures: Figures = {}
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    await measure(system, bare.port1, packed.port1, round === 0 ? {} : figures)
  }
  await worker.terminate()
  return [...threadRows(figures), ...(await nodeRows(ROUNDS))]
}

function linkedSystem(port: MessagePort): ActorSystem {
  const system = new ActorSystem()
  const link: Link = new Link({
    place: 'n/1:1',
    system,
    pipe: new ThreadPipe(port, {
      receive: (body, parts) => link.receive(body, parts),
      closed: error => link.lost(error),
    }),
  })
  system.remote = {
    deliver: envelope => link.deliver(envelope),
    shares: () => false,
    monitor: (address, notify) => link.monitor(address, notify),
    claim: () => undefined,
  }
  return system
}

async function measure(system: ActorSystem, bare: MessagePort, packed: MessagePort, figures: Figures) {
  const note = (name: string, value: number) => {
    figures[name] ??= []
    figures[name].push(value)
  }
  note('tell', await rate(300_000 / LESS, () => tellAll(system, 300_000 / LESS, SMALL)))
  note('tell packed', await rate(300_000 / LESS, () => tellPacked(packed, 300_000 / LESS, SMALL)))
  note('tell bare', await rate(50_000 / LESS, () => tellBare(bare, 50_000 / LESS, SMALL)))
  note('tell 4k', await rate(30_000 / LESS, () => tellAll(system, 30_000 / LESS, LARGE)))
  note('tell 4k packed', await rate(30_000 / LESS, () => tellPacked(packed, 30_000 / LESS, LARGE)))
  const ask = () => system.ask('service/echo', SMALL)
  note('ask', await rate(100_000 / LESS, () => inFlight(100_000 / LESS, 64, ask)))
  note('ask bare', await rate(50_000 / LESS, () => inFlight(50_000 / LESS, 64, () => askBare(bare))))
  const alone = await latencies(5_000 / LESS, ask)
  const bareAlone = await latencies(5_000 / LESS, () => askBare(bare))
  for (const [name, times] of Object.entries({ alone, bareAlone })) {
    note(`${name} p50`, times[times.length >> 1]! * 1000)
    note(`${name} p99`, times[Math.floor(times.length * 0.99)]! * 1000)
  }
}

async function tellPacked(port: MessagePort, count: number, payload: object): Promise<void> {
  const packr = packrs.get(port) ?? new Packr({ useRecords: true, sequential: true })
  packrs.set(port, packr)
  const done = once(port, 'message')
  for (let sent = 0; sent < count; sent += BATCH) {
    const last = sent + BATCH >= count
    const body = packr.pack(Array.from({ length: BATCH }, () => (last ? { ...payload, last } : payload)))
    const own = Uint8Array.from(body)
    port.postMessage(own, [own.buffer])
  }
  await done
}

const packrs = new WeakMap<MessagePort, Packr>()

async function tellBare(port: MessagePort, count: number, payload: object): Promise<void> {
  const done = once(port, 'message')
  for (let i = 1; i < count; i++) port.postMessage(payload)
  port.postMessage({ ...payload, last: true })
  await done
}

const waiting: ((value: unknown) => void)[] = []
const listening = new WeakSet<MessagePort>()

function askBare(port: MessagePort): Promise<unknown> {
  if (!listening.has(port)) {
    listening.add(port)
    port.on('message', message => {
      if (message.ask) waiting.shift()!(message)
    })
  }
  port.postMessage({ ...SMALL, ask: true })
  return new Promise(resolve => waiting.push(resolve))
}

function threadRows(figures: Figures): BenchRow[] {
  const of = (name: string) => median(figures[name]!)
  return [
    {
      name: 'tell, worker to worker, small',
      value: of('tell'),
      unit: 'msg/s',
      limit: of('tell packed'),
      peers: { 'postMessage for each': of('tell bare') },
      goal: '0.85 of bare batches of 256',
    },
    {
      name: 'tell, worker to worker, 4 KiB',
      value: of('tell 4k'),
      unit: 'msg/s',
      limit: of('tell 4k packed'),
    },
    {
      name: 'ask, worker to worker, 64 in flight',
      value: of('ask'),
      unit: 'msg/s',
      peers: { 'postMessage for each': of('ask bare') },
      goal: '200,000',
    },
    {
      name: 'ask, worker to worker, alone, p50',
      value: of('alone p50'),
      unit: 'us',
      peers: { postMessage: of('bareAlone p50') },
      goal: 'under 1.2 of bare postMessage',
    },
    {
      name: 'ask, worker to worker, alone, p99',
      value: of('alone p99'),
      unit: 'us',
      peers: { postMessage: of('bareAlone p99') },
    },
  ]
}

if (import.meta.main) for (const row of await run()) console.log(JSON.stringify(row))
