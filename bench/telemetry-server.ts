/** A process with one worker that the benchmark of telemetry calls by HTTP; what is on, its environment says. */
import { fileURLToPath } from 'node:url'
import { startProject } from '../cli/start.ts'
import { urlOf } from '../test/faulty-bus.ts'

/** What the process says and is asked. `wanted`: traces that began; `kept`: those of them that were sampled. */
export type FromServer = { url: string } | { cpuMs: number; wanted: number; kept: number }

const NONE = { kept: 0, ratio: 0, limit: 0, queue: 0 }

const { node } = await startProject(fileURLToPath(new URL('../test/projects/plain', import.meta.url)), {
  workers: 1,
})
process.on('message', async () => {
  const { user, system } = process.cpuUsage()
  const roots = (await node.telemetry.snapshots()).map(({ traces }) => traces?.roots)
  const { kept, ratio, limit, queue } = roots.find(counts => counts !== undefined) ?? NONE
  const wanted = kept + ratio + limit + queue
  process.send!({ cpuMs: (user + system) / 1000, wanted, kept } satisfies FromServer)
})
process.on('disconnect', () => process.exit())
process.send!({ url: await urlOf(node) } satisfies FromServer)
