/** A node in a process of its own, so that its memory can be measured: the other side of deploy-kit.ts. */
import { setTimeout as wait } from 'node:timers/promises'
import type { ServiceView } from '../../actors/service-units.ts'
import { useCompileCache } from '../../cli/compile-cache.ts'
import { startProject } from '../../cli/start.ts'

useCompileCache()
const [root, stateFolder] = process.argv.slice(2)
const { node, deployer, admin } = await startProject(root!, { stateFolder: stateFolder! })
const MEBIBYTE = 1024 * 1024

const VERBS: Record<string, (payload: never) => unknown> = {
  deploy: ({ file, source }: { file: string; source: string }) => deployer.deploy(file, source),
  remove: (file: string) => deployer.remove(file),
  /** The version of a file in each worker that takes messages; null where it has none. */
  versions: async (file: string) => {
    const lists = await Promise.all(
      node.host.workers
        .filter(({ state }) => state === 'ready')
        .map(worker => worker.request('services', undefined) as Promise<ServiceView[]>),
    )
    return lists.map(list => list.find(view => view.file === file)?.version ?? null)
  },
  workers: () => node.host.workers.map(({ state, place }) => ({ state, place })),
  replaced: () => node.host.replaced,
  memory: settled,
}

/** Resident memory in MiB after a collection, when it does not fall any more. */
async function settled(): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let quiet = 0; quiet < 5; ) {
    globalThis.gc!()
    await wait(100)
    const rss = process.memoryUsage.rss() / MEBIBYTE
    quiet = rss < least - 1 ? 0 : quiet + 1
    least = Math.min(least, rss)
  }
  return least
}

process.on('message', async ({ id, verb, payload }: { id: number; verb: string; payload: never }) => {
  try {
    process.send!({ id, value: await VERBS[verb]!(payload) })
  } catch (error) {
    const { code, message, details } = error as { code?: string; message: string; details?: object }
    process.send!({ id, error: { code, message, details } })
  }
})
process.on('disconnect', () => process.exit(0))

const { workers } = await node.inspect()
const actors = workers.flatMap(worker => worker.actors as { address: string; endpoint?: string }[])
process.send!({ url: actors.find(({ address }) => address === 'channel/http/public')?.endpoint, admin })
