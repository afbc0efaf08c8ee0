/** Node to node: two processes, each with a router and a worker in one thread, over TCP with CURVE. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import type { ActorSystem } from '../core/actor/system.ts'
import { makeCurveKeys } from '../core/router/net.ts'
import { placeOf } from '../core/router/place.ts'
import { type NetworkOptions, Router } from '../core/router/router.ts'
import { RouterPipes } from '../core/router/router-pipe.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { WorkerRouter } from '../core/worker/worker-router.ts'
import { benchSystem, inFlight, latencies, median, rate, SMALL, tellAll } from './links-kit.ts'
import { QUICK } from './measure.ts'
import { openMoleculer } from './moleculer-node.ts'
import type { BenchRow } from './row.ts'

/** What is sent in one measurement is this much less in the short form. */
const LESS = QUICK ? 20 : 1

interface BenchNode {
  router: Router
  workers: WorkerRouter
  system: ActorSystem
}

function makeNode(nodeId: string, system: ActorSystem, network: NetworkOptions): BenchNode {
  const { port1, port2 } = new MessageChannel()
  const place = placeOf(nodeId, 0, 1)
  const workers: WorkerRouter = new WorkerRouter(
    place,
    system,
    new RouterPipes(port2, (from, body, parts) => workers.receive(from, body, parts)),
  )
  const router = new Router({ nodeId, log: silentLogger, network })
  router.add({
    place,
    port: port1,
    directory: change => workers.apply(change),
    lost: (from, error) => workers.lost(from, error),
    finish: from => workers.finish(from),
    activate: () => {},
    deactivate: () => {},
  })
  return { router, workers, system }
}

export async function nodeRows(rounds: number): Promise<BenchRow[]> {
  const [own, theirs] = [makeCurveKeys(), makeCurveKeys()]
  const child = fork(new URL(import.meta.url), [JSON.stringify({ own: theirs, peerKey: own.publicKey })])
  const [endpoint] = (await once(child, 'message')) as [string]
  const system = benchSystem()
  for (const address of ['service/echo', 'service/sink']) await system.stop(address)
  const peers = [{ nodeId: 'b', endpoint, publicKey: theirs.publicKey }]
  const { router, workers } = makeNode('a', system, { keys: own, peers, clients: [] })
  await router.start()
  while (!workers.directory.find('service/sink')) await new Promise(resolve => setTimeout(resolve, 5))
  const ask = () => system.ask('service/echo', SMALL)
  const peer = await openMoleculer()
  const figures: number[][] = [[], [], [], [], []]
  for (let round = 0; round <= rounds; round++) {
    const tells = await rate(200_000 / LESS, () => tellAll(system, 200_000 / LESS, SMALL))
    const asks = await rate(51_200 / LESS, () => inFlight(51_200 / LESS, 64, ask))
    const alone = await latencies(1_000, ask)
    const measured = [tells, asks, alone[500]! * 1000, await peer.callsPerSecond(), await peer.aloneUs()]
    for (const [i, value] of measured.entries()) if (round > 0) figures[i]!.push(value)
  }
  await peer.close()
  await router.close()
  child.kill()
  const [tells, asks, alone, peerAsks, peerAlone] = figures.map(median) as [
    number,
    number,
    number,
    number,
    number,
  ]
  return [
    {
      name: 'tell, node to node over TCP with CURVE, small',
      value: tells,
      unit: 'msg/s',
      goal: 'at least 0.8 M/s',
    },
    {
      name: 'ask, node to node over TCP with CURVE, 64 in flight',
      value: asks,
      unit: 'msg/s',
      peers: { moleculer: peerAsks },
      goal: 'at least 130 k/s; at least 2x moleculer',
    },
    {
      name: 'ask, node to node over TCP with CURVE, alone, p50',
      value: alone,
      unit: 'us',
      peers: { moleculer: peerAlone },
    },
  ]
}

/** The other process. */
async function serve({
  own,
  peerKey,
}: {
  own: ReturnType<typeof makeCurveKeys>
  peerKey: string
}): Promise<void> {
  const peers = [{ nodeId: 'a', endpoint: 'tcp://127.0.0.1:9', publicKey: peerKey }]
  const { router } = makeNode('b', benchSystem(), { keys: own, peers, clients: [] })
  const { endpoint } = (await router.start())!
  for (const address of ['service/echo', 'service/sink']) {
    router.register({ address, place: placeOf('b', 0, 1), balance: 'localFirst' })
  }
  process.send!(endpoint)
  process.on('disconnect', () => process.exit(0))
}

if (import.meta.main) await serve(JSON.parse(process.argv[2]!))
