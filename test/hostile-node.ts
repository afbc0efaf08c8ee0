/** A node in a process of its own, so that its memory can be measured: the other side of hostile-bus.ts. */
import { startProject } from '../cli/start.ts'

const { node } = await startProject(process.argv[2]!)
const send = (message: unknown) => process.send!(message)

let peak = 0
const look = () => {
  peak = Math.max(peak, process.memoryUsage.rss())
}
setInterval(look, 20).unref()

const VERBS: Record<string, () => unknown> = {
  /** Memory after a collection: resident, and what the workers hold. The peak starts anew. */
  settle: async () => {
    const held = (await everywhere('collect')) as number[]
    globalThis.gc?.()
    peak = 0
    look()
    return { rss: peak, held: held.reduce((sum, bytes) => sum + bytes, 0) }
  },
  peak: () => {
    look()
    return peak
  },
  prototypes: () => everywhere('prototypes'),
  smuggled: () => everywhere('smuggled'),
  workers: () => ({
    replaced: node.host.replaced,
    ready: node.host.workers.filter(({ state }) => state === 'ready').length,
  }),
}

/** Asks a service in each of the workers. */
function everywhere(service: string): Promise<unknown[]> {
  const request = { to: `service/${service}`, payload: undefined, timeoutMs: 10_000 }
  return Promise.all(node.host.workers.map(worker => worker.request('ask', request)))
}

process.on('message', async ({ id, verb }: { id: number; verb: string }) => {
  try {
    send({ id, value: await VERBS[verb]!() })
  } catch (error) {
    send({ id, error: String(error) })
  }
})
process.on('disconnect', () => process.exit(0))

const { workers } = await node.inspect()
const actors = workers.flatMap(worker => worker.actors as { address: string; endpoint?: string }[])
const endpoint = (address: string) => actors.find(actor => actor.address === address)?.endpoint
send({ url: endpoint('channel/http/public'), socketUrl: endpoint('channel/websocket/socket') })
