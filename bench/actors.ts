/** Actors of one worker: tell, ask, memory and start, beside comedy, Moleculer, and what bare JavaScript can do. */
import { ActorSystem } from '../core/actor/index.ts'
import { heapBytes, inFlight, median, QUICK, ROUNDS, race, type Subject } from './measure.ts'
import { comedy, moleculer } from './peers.ts'
import type { BenchRow } from './row.ts'

/** Messages sent before the sender lets others run. */
const BURST = 64
const LANES = 64
const ACTORS = QUICK ? 10_000 : 100_000
const COMEDY_ACTORS = QUICK ? 100 : 2_000

interface Order {
  id: number
  customer: string
  currency: string
  total: number
  paid: boolean
}

/** A new message each time, as real senders make it. */
function order(id: number): Order {
  return { id, customer: 'C-17', currency: 'EUR', total: 1_234.5, paid: false }
}

export async function run(): Promise<BenchRow[]> {
  return [await tells(), ...(await asks()), ...(await memory()), start()]
}

async function tells(): Promise<BenchRow> {
  const peer = await comedy()
  const rates = await race({
    signalbox: tellOurs(),
    comedy: await tellComedy(peer),
    'function through an array': tellArray(),
    'direct call': callDirectly(),
  })
  await peer.close()
  return {
    name: 'tell, same worker',
    value: rates.signalbox!,
    unit: 'msg/s',
    limit: rates['function through an array']!,
    peers: { comedy: rates.comedy!, 'direct call': rates['direct call']! },
    goal: 'at least 4 M/s; at least 1.8x comedy',
  }
}

function tellOurs(): Subject {
  const system = new ActorSystem()
  const sink = counter()
  const actor = system.spawn('bench/sink', {
    behaviour: () => ({
      receive: message => {
        sink.take(message as Order)
      },
    }),
  })
  return async count => {
    const all = sink.after(count)
    for (let sent = 0; sent < count; ) {
      for (let i = 0; i < BURST; i++, sent++) {
        const full = actor.tell(order(sent))
        if (full !== undefined) await full
      }
      await undefined
    }
    await all
  }
}

async function tellComedy(peer: Awaited<ReturnType<typeof comedy>>): Promise<Subject> {
  const sink = counter()
  const actor = await peer.actor({ order: (message: Order) => sink.take(message) })
  return async count => {
    const all = sink.after(count)
    for (let sent = 0; sent < count; ) {
      for (let i = 0; i < BURST; i++, sent++) void actor.send('order', order(sent))
      await undefined
    }
    await all
  }
}

/** The least a mailbox can be: an array that a microtask empties. */
function tellArray(): Subject {
  const sink = counter()
  const receive = (message: Order) => sink.take(message)
  let queue: Order[] = []
  let spare: Order[] = []
  const drain = () => {
    const batch = queue
    queue = spare
    for (const message of batch) receive(message)
    batch.length = 0
    spare = batch
  }
  return async count => {
    const all = sink.after(count)
    for (let sent = 0; sent < count; ) {
      for (let i = 0; i < BURST; i++, sent++) {
        if (queue.length === 0) queueMicrotask(drain)
        queue.push(order(sent))
      }
      await undefined
    }
    await all
  }
}

function callDirectly(): Subject {
  const sink = counter()
  const receive = (message: Order) => sink.take(message)
  return async count => {
    const all = sink.after(count)
    for (let i = 0; i < count; i++) receive(order(i))
    await all
  }
}

async function asks(): Promise<BenchRow[]> {
  const peer = await comedy()
  const comedyActor = await peer.actor({ order: (message: unknown) => message })
  const broker = await moleculer({ name: 'bench', actions: { echo: context => context.params } })
  const system = new ActorSystem()
  system.spawn('bench/echo', { behaviour: () => ({ receive: payload => payload }) })
  const microtask = (payload: unknown) => new Promise(resolve => queueMicrotask(() => resolve(payload)))
  const callers: Record<string, () => Promise<unknown>> = {
    signalbox: () => system.ask('bench/echo', order(1)),
    moleculer: () => broker.call('bench.echo', order(1)),
    comedy: () => comedyActor.sendAndReceive('order', order(1)),
    'one microtask': () => microtask(order(1)),
  }
  const rows: BenchRow[] = []
  for (const lanes of [1, LANES]) {
    const subjects = Object.entries(callers).map(([name, call]) => {
      return [name, (count: number) => inFlight(lanes, count, call)] as const
    })
    const rates = await race(Object.fromEntries(subjects))
    rows.push({
      name: `ask, same worker, ${lanes === 1 ? 'one after the other' : `${lanes} in flight`}`,
      value: rates.signalbox!,
      unit: 'msg/s',
      limit: rates['one microtask']!,
      peers: { moleculer: rates.moleculer!, comedy: rates.comedy! },
      goal: 'at least 2 M/s; at least 1x moleculer',
    })
  }
  await broker.stop()
  await peer.close()
  return rows
}

async function memory(): Promise<BenchRow[]> {
  const system = new ActorSystem()
  const spec = { behaviour: () => ({ receive: () => undefined }) }
  const before = heapBytes()
  for (let i = 0; i < ACTORS; i++) system.spawn(`bench/a${i}`, spec)
  const fresh = (heapBytes() - before) / ACTORS
  for (let i = 0; i < ACTORS; i++) void system.tell(`bench/a${i}`, order(1))
  await system.whenIdle()
  const used = (heapBytes() - before) / ACTORS
  await system.shutdown()
  const peers = { comedy: await comedyBytes() }
  const row = { unit: 'bytes', peers, goal: 'at most 1,024 bytes' }
  return [
    { name: 'memory of an actor that has just started', value: fresh, ...row },
    { name: 'memory of an idle actor that had a message', value: used, ...row },
  ]
}

async function comedyBytes(): Promise<number> {
  const peer = await comedy()
  const before = heapBytes()
  for (let i = 0; i < COMEDY_ACTORS; i++) await peer.actor({ order: () => undefined })
  const bytes = (heapBytes() - before) / COMEDY_ACTORS
  await peer.close()
  return bytes
}

function start(): BenchRow {
  const spec = { behaviour: () => ({ receive: () => undefined }) }
  const times = Array.from({ length: ROUNDS }, () => {
    const system = new ActorSystem()
    const began = performance.now()
    for (let i = 0; i < ACTORS; i++) system.spawn(`bench/a${i}`, spec)
    return ((performance.now() - began) / ACTORS) * 100_000
  })
  return { name: 'start of 100,000 actors', value: median(times), unit: 'ms', goal: 'at most 1,000 ms' }
}

/** Counts messages and says when the expected number has come. */
function counter() {
  let left = 0
  let sum = 0
  let done = (_sum: number) => {}
  return {
    take(message: Order): void {
      sum += message.total
      if (--left === 0) done(sum)
    },
    after(count: number): Promise<number> {
      left = count
      sum = 0
      return new Promise(resolve => {
        done = resolve
      })
    },
  }
}
