/** Pairs of linked actor systems for the conformance suite of links, one maker for each thing that carries batches. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { ActorSpec } from '../../core/actor/behaviour.ts'
import { ActorSystem, type Remote } from '../../core/actor/system.ts'
import { SignalboxError } from '../../core/errors.ts'
import { Link, type LinkOptions } from '../../core/router/link.ts'
import { type CurveKeys, makeCurveKeys, type NetPeer } from '../../core/router/net.ts'
import { placeOf } from '../../core/router/place.ts'
import { Router } from '../../core/router/router.ts'
import { RouterPipes } from '../../core/router/router-pipe.ts'
import { ThreadPipe } from '../../core/router/thread-pipe.ts'
import type { Pipe } from '../../core/router/wire.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import { WorkerRouter } from '../../core/worker/worker-router.ts'
import type { LinkEnd, LinkPair, PairOptions } from './link.ts'
import { until } from './wait.ts'

/** Sends everything that is not here over one link. */
function remoteOver(system: ActorSystem, link: () => Link): Remote {
  return {
    deliver: envelope => (system.has(envelope.to) ? system.deliver(envelope) : link().deliver(envelope)),
    shares: () => false,
    monitor: (address, notify) => link().monitor(address, notify),
    claim: () => undefined,
  }
}

function endOf(system: ActorSystem, link: Link): LinkEnd {
  system.remote = remoteOver(system, () => link)
  return {
    system,
    spawn: async (address, spec) => void system.spawn(address, spec),
    inspect: () => link.inspect(),
    finish: () => link.finish(),
    finished: () => link.finished(),
  }
}

/** Two links in one thread; a batch arrives in another turn of the event loop, or at the end of this one. */
export function memoryPair(options: PairOptions, later: (run: () => void) => void): LinkPair {
  const { guest, ...windows } = options
  const [one, two] = [new ActorSystem(), new ActorSystem()]
  const pipeTo = (link: () => Link): Pipe => ({
    post: (body, parts) =>
      later(() =>
        link().receive(
          body,
          parts.map(part => Buffer.from(part)),
        ),
      ),
    close: () =>
      later(() => link().lost(new SignalboxError('SIGNALBOX_LINK_CLOSED', 'the other end has closed'))),
  })
  const a: Link = new Link({ place: 'b/0:1', system: one, pipe: pipeTo(() => b), ...windows })
  const b: Link = new Link({
    place: 'a/0:1',
    system: two,
    pipe: pipeTo(() => a),
    ...windows,
    ...(guest && { guest }),
  })
  const cut = () => {
    for (const link of [a, b]) link.lost(new SignalboxError('SIGNALBOX_NODE_LOST', 'cut'))
  }
  const ends = { a: endOf(one, a), b: endOf(two, b) }
  return {
    ...ends,
    cut,
    cutCode: 'SIGNALBOX_NODE_LOST',
    inject: body => b.receive(body),
    close: () => stop(ends, cut),
  }
}

/** One end of a link over a MessagePort. */
export function portEnd(
  system: ActorSystem,
  place: string,
  port: MessagePort,
  options: Omit<LinkOptions, 'place' | 'system' | 'pipe'>,
): { end: LinkEnd } {
  const pipe = new ThreadPipe(port, {
    receive: (body, parts) => link.receive(body, parts),
    closed: error => link.lost(error),
  })
  const link: Link = new Link({ place, system, pipe, ...options })
  return { end: endOf(system, link) }
}

/** Two links over a MessageChannel, both ends in this thread. */
export function portPair(options: PairOptions): LinkPair {
  const { guest, ...windows } = options
  const { port1, port2 } = new MessageChannel()
  const a = portEnd(new ActorSystem(), 'n/1:1', port1, windows).end
  const b = portEnd(new ActorSystem(), 'n/0:1', port2, { ...windows, ...(guest && { guest }) }).end
  return {
    a,
    b,
    cut: () => port2.close(),
    cutCode: 'SIGNALBOX_WORKER_LOST',
    inject: body => port1.postMessage(body),
    close: () => stop({ a, b }, () => port2.close()),
  }
}

interface TestNode {
  router: Router
  workers: WorkerRouter
  end: LinkEnd
  inject(place: string, body: Uint8Array<ArrayBuffer>): void
}

async function stop({ a, b }: { a: LinkEnd; b: LinkEnd }, cut: () => unknown): Promise<void> {
  await cut()
  await Promise.all([a.system.shutdown(), b.system.shutdown()])
}

/** A router with one worker; the worker's thread is this one. */
function makeNode(nodeId: string, keys: CurveKeys, peer: NetPeer): TestNode {
  const { port1, port2 } = new MessageChannel()
  const system = new ActorSystem()
  const place = placeOf(nodeId, 0, 1)
  const workers: WorkerRouter = new WorkerRouter(
    place,
    system,
    new RouterPipes(port2, (from, body, parts) => workers.receive(from, body, parts)),
  )
  const router = new Router({ nodeId, log: silentLogger, network: { keys, peers: [peer], clients: [] } })
  router.add({
    place,
    port: port1,
    directory: change => workers.apply(change),
    lost: (from, error) => workers.lost(from, error),
    finish: from => workers.finish(from),
    activate: () => {},
    deactivate: () => {},
  })
  const otherPlace = placeOf(peer.nodeId, 0, 1)
  const end: LinkEnd = {
    system,
    spawn: async (address: string, spec: ActorSpec) => {
      system.spawn(address, spec)
      router.register({ address, place, balance: 'localFirst' })
    },
    inspect: () => workers.inspect().find(link => link.place === otherPlace) ?? {},
    finish: () => workers.finish(otherPlace),
    finished: () => workers.finished(),
  }
  return { router, workers, end, inject: (to, body) => port2.postMessage([to, 1, 1, body], [body.buffer]) }
}

/** Two nodes, each with one worker, over TCP with CURVE. Node `a` dials `b`: its id sorts first. */
export async function nodePair(): Promise<LinkPair> {
  const [keysA, keysB] = [makeCurveKeys(), makeCurveKeys()]
  // Nobody dials this endpoint.
  const peerA = { nodeId: 'a', endpoint: 'tcp://127.0.0.1:9', publicKey: keysA.publicKey }
  const b = makeNode('b', keysB, peerA)
  const { endpoint } = (await b.router.start())!
  const a = makeNode('a', keysA, { nodeId: 'b', endpoint, publicKey: keysB.publicKey })
  await a.router.start()
  await until(() => a.router.peers().length === 1 && b.router.peers().length === 1, 'both nodes are up')
  return {
    a: reachableFrom(a.end, b.workers),
    b: reachableFrom(b.end, a.workers),
    cut: () => b.router.close(),
    cutCode: 'SIGNALBOX_NODE_LOST',
    inject: body => a.inject('b/0:1', body),
    close: async () => {
      await Promise.all([a.end.system.shutdown(), b.end.system.shutdown()])
      await Promise.all([a.router.close(), b.router.close()])
    },
  }
}

function reachableFrom(end: LinkEnd, other: WorkerRouter): LinkEnd {
  return {
    ...end,
    async spawn(address, spec) {
      await end.spawn(address, spec)
      await until(() => other.directory.find(address) !== undefined, `${address} is known there`)
    },
  }
}
