/** `signalbox start [dir]`: runs a project until it is told to stop. */
import { SignalboxError } from '../core/errors.ts'
import { siblingModule } from '../core/module-url.ts'
import { type Node, startNode } from '../core/node.ts'
import { createLogger } from '../core/telemetry/log.ts'
import { loadProject, type Project } from './project.ts'
import type { BootConfig } from './worker-boot.ts'

export interface StartOptions {
  workers?: number
}

/** Starts the node of a project. */
export async function startProject(folder: string, options: StartOptions = {}): Promise<{ node: Node; project: Project }> {
  const project = await loadProject(folder)
  const config: BootConfig = {
    root: project.root,
    channels: project.channels,
    connections: project.connections,
  }
  const node = await startNode({
    nodeId: project.node,
    boot: siblingModule(import.meta.url, 'worker-boot'),
    config,
    log: createLogger({ node: project.node }),
    ...(options.workers ?? project.workers ? { workers: options.workers ?? project.workers! } : {}),
    ...(project.limits && { limits: project.limits }),
    ...(project.network && { network: networkOf(project) }),
  })
  return { node, project }
}

function networkOf({ network }: Project) {
  const { publicKey, secretKey, host, port, peers, clients } = network!
  if (secretKey.length !== 40) {
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', 'network.secretKey is not a CURVE key of 40 characters')
  }
  return { host: host ?? '127.0.0.1', port, keys: { publicKey, secretKey }, peers: peers ?? [], clients: clients ?? [] }
}

/** Stops the node at SIGTERM or SIGINT; a second signal ends the process at once. */
export function stopOnSignals(node: Node): void {
  let stopping = false
  const stop = () => {
    if (stopping) process.exit(130)
    stopping = true
    node.stop().then(
      () => process.exit(0),
      error => {
        console.error(error)
        process.exit(1)
      },
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
}
