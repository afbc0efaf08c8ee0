/** `signalbox start [dir]`: runs a project until it is told to stop. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { SignalboxError } from '../core/errors.ts'
import { siblingModule } from '../core/module-url.ts'
import { type Node, startNode } from '../core/node.ts'
import { createLogger } from '../core/telemetry/log.ts'
import { telemetrySettings } from '../core/telemetry/options.ts'
import { type EndpointConfig, loadProject, type Project, transportNamed } from './project.ts'
import type { BootConfig } from './worker-boot.ts'

export interface StartOptions {
  workers?: number
}

/** Starts the node of a project. */
export async function startProject(folder: string, options: StartOptions = {}): Promise<{ node: Node; project: Project }> {
  const project = await loadProject(folder)
  const config: BootConfig = {
    root: project.root,
    channels: await Promise.all(project.channels.map(withPort)),
    connections: project.connections,
  }
  const telemetry = telemetrySettings(project.telemetry, process.env, project.name)
  const node = await startNode({
    nodeId: project.node,
    boot: siblingModule(import.meta.url, 'worker-boot'),
    config,
    log: createLogger({ node: project.node }, telemetry.logs),
    telemetry,
    ...(options.workers ?? project.workers ? { workers: options.workers ?? project.workers! } : {}),
    ...(project.limits && { limits: project.limits }),
    ...(project.network && { network: networkOf(project) }),
  })
  return { node, project }
}

/** Port 0 means any free one, and the same in all workers that share it. */
async function withPort(channel: EndpointConfig): Promise<EndpointConfig> {
  const options = channel.options as { port?: number; host?: string }
  if (options.port !== 0 || transportNamed(channel.type).channel?.placement !== 'everyWorker') return channel
  const server = createServer().listen(0, options.host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return { ...channel, options: { ...options, port } }
}

function networkOf({ network }: Project) {
  const { publicKey, secretKey, host, port, peers, clients } = network!
  if (secretKey.length !== 40) {
    throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', 'network.secretKey is not a CURVE key of 40 characters')
  }
  return { host: host ?? '127.0.0.1', port, keys: { publicKey, secretKey }, peers: peers ?? [], clients: clients ?? [] }
}

/** Runs a project until SIGTERM or SIGINT, and says where it is and what to try. */
export async function start(folder: string, options: StartOptions): Promise<void> {
  const { node, project } = await startProject(folder, options)
  stopOnSignals(node)
  console.log(await welcome(node, project))
}

/** What a person wants to know of a node that has just started. */
async function welcome(node: Node, project: Project): Promise<string> {
  const { workers } = await node.inspect()
  const lines = [`${project.name} runs on ${workers.length} workers (pid ${process.pid}). Stop it with Ctrl-C.`, '']
  for (const { name, type, options } of project.channels) {
    const address = `channel/${type}/${name}`
    const actor = workers.flatMap(({ actors }) => actors as { address: string; endpoint?: string }[])
      .find(other => other.address === address)
    lines.push(`  ${address}  ${actor?.endpoint ?? JSON.stringify(options)}`)
  }
  if (node.endpoint) lines.push(`  nodes and programs attach at ${node.endpoint}`)
  if (project.try.length > 0) lines.push('', 'Try:', ...project.try.map(command => `  ${command}`))
  return `${lines.join('\n')}\n`
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
