/** `signalbox start [dir]`: runs a project until it is told to stop. */
import { type AddressInfo, createServer, type Server } from 'node:net'
import { Deployer } from '../actors/deployer.ts'
import type { EndpointConfig } from '../actors/endpoint-registry.ts'
import { SignalboxError } from '../core/errors.ts'
import { siblingModule } from '../core/module-url.ts'
import { type Node, startNode } from '../core/node.ts'
import { createLogger } from '../core/telemetry/log.ts'
import { telemetrySettings } from '../core/telemetry/options.ts'
import { loadProject, type Project } from './project.ts'
import { transportNamed } from './transport-named.ts'
import { watchProject } from './watch.ts'
import type { BootConfig } from './worker-boot.ts'

export interface StartOptions {
  workers?: number
}

/** A project that runs. */
export interface RunningProject {
  node: Node
  project: Project
  deployer: Deployer
  /** Takes nothing new, finishes what is under way within `drainMs`, ends everything. */
  stop(drainMs?: number): Promise<void>
}

/** Starts the node of a project, and deploys what is saved below its folder from then on. */
export async function startProject(folder: string, options: StartOptions = {}): Promise<RunningProject> {
  const project = await loadProject(folder)
  const log = createLogger({ node: project.node })
  const config: BootConfig = {
    root: project.root,
    security: [],
    channels: await Promise.all(project.channels.map(withPort)),
    connections: project.connections,
  }
  const workers = options.workers ?? project.workers
  const telemetry = telemetrySettings(project.telemetry, process.env, project.name)
  let deployer: Deployer | undefined
  const node = await startNode({
    nodeId: project.node,
    boot: siblingModule(import.meta.url, 'worker-boot'),
    config,
    // Before the first workers are there nothing is known that they could have missed.
    onReady: async worker => deployer?.welcome(worker),
    log,
    telemetry,
    ...(workers !== undefined && { workers }),
    ...(project.limits && { limits: project.limits }),
    ...(project.network && { network: networkOf(project) }),
  })
  deployer = new Deployer(
    project.root,
    {
      workers: () => node.host.workers.filter(({ state }) => state === 'ready'),
      roll: files => node.host.roll({ ...config, mustLoad: files } satisfies BootConfig),
    },
    log,
  )
  await deployer.start()
  const watching = await watchProject(project.root, deployer, log)
  const stop = async (drainMs?: number): Promise<void> => {
    await watching.close()
    await node.stop(drainMs)
  }
  return { node, project, deployer, stop }
}

/**
 * Port 0 means any free one, and the same in all workers, which share it. A port that another program holds is found
 * here: workers could join it unnoticed, when that program shares it as well.
 */
async function withPort(channel: EndpointConfig): Promise<EndpointConfig> {
  const options = channel.options as { port?: number; host?: string }
  if (options.port === undefined || transportNamed(channel.type).channel?.placement !== 'everyWorker')
    return channel
  const server = createServer()
  await listen(server, channel.name, options)
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return { ...channel, options: { ...options, port } }
}

function listen(
  server: Server,
  name: string,
  { host, port }: { port?: number; host?: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'another program listens there' : cause.message
      const message = `channel ${name} cannot listen on port ${port} of ${host ?? 'any address'}: ${why}`
      reject(
        new SignalboxError('SIGNALBOX_LISTEN_FAILED', message, {
          cause,
          details: { channel: name, host, port },
        }),
      )
    })
    server.listen({ host, port, exclusive: true }, resolve)
  })
}

function networkOf({ network }: Project) {
  const { publicKey, secretKey, host, port, peers, clients } = network!
  if (secretKey.length !== 40) {
    throw new SignalboxError(
      'SIGNALBOX_CONFIG_INVALID',
      'network.secretKey is not a CURVE key of 40 characters',
    )
  }
  return {
    host: host ?? '127.0.0.1',
    port,
    keys: { publicKey, secretKey },
    peers: peers ?? [],
    clients: clients ?? [],
  }
}

/** Runs a project until SIGTERM or SIGINT, and says where it is and what to try. */
export async function start(folder: string, options: StartOptions): Promise<void> {
  const starting = startProject(folder, options)
  // It may be told to stop before it has begun.
  stopOnSignals(async () => (await starting).stop())
  const { node, project } = await starting
  console.log(await welcome(node, project))
}

/** What a person wants to know of a node that has just started. */
async function welcome(node: Node, project: Project): Promise<string> {
  const { workers } = await node.inspect()
  const lines = [
    `${project.name} runs on ${workers.length} workers (pid ${process.pid}). Stop it with Ctrl-C.`,
    '',
  ]
  for (const { name, type, options } of project.channels) {
    const address = `channel/${type}/${name}`
    const actor = workers
      .flatMap(({ actors }) => actors as { address: string; endpoint?: string }[])
      .find(other => other.address === address)
    lines.push(`  ${address}  ${actor?.endpoint ?? JSON.stringify(options)}`)
  }
  if (node.endpoint) lines.push(`  nodes and programs attach at ${node.endpoint}`)
  if (project.try.length > 0) lines.push('', 'Try:', ...project.try.map(command => `  ${command}`))
  return `${lines.join('\n')}\n`
}

/** Stops the node at SIGTERM or SIGINT; a second signal ends the process at once. */
export function stopOnSignals(end: () => Promise<void>): void {
  let stopping = false
  const stop = () => {
    if (stopping) process.exit(130)
    stopping = true
    end().then(
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
