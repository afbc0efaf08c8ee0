/** Starts the project of the fault tests. */
import { fileURLToPath } from 'node:url'
import { startProject } from '../cli/start.ts'
import type { Node } from '../core/node.ts'

export const FAULTY = fileURLToPath(new URL('./projects/faulty', import.meta.url))

export interface FaultyBus {
  node: Node
  url: string
}

export async function startFaulty(workers = 2): Promise<FaultyBus> {
  const { node } = await startProject(FAULTY, { workers })
  return { node, url: await urlOf(node) }
}

/** Where the HTTP channel of a node listens. */
export async function urlOf(node: Node): Promise<string> {
  const { workers } = await node.inspect()
  const actors = workers.flatMap(worker => worker.actors as { address: string; endpoint?: string }[])
  const endpoint = actors.find(({ address }) => address === 'channel/http/public')?.endpoint
  if (!endpoint) throw new Error('the channel is not open')
  return endpoint
}
