/** Sets up the actors of a worker: the services, connections and channels of the project. */
import { join } from 'node:path'
import { channelActor, type ChannelActor } from '../actors/channel-host.ts'
import { connectionActor } from '../actors/connection-host.ts'
import { servicePlacement } from '../actors/service-host.ts'
import { nearest } from '../core/schema.ts'
import { SignalboxError } from '../core/errors.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { findServices, loadService } from '../core/service/load.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import type { Caller } from '../core/telemetry/connection-view.ts'
import type { Connection } from '../core/transport.ts'
import type { WorkerContext, WorkerHooks } from '../core/worker/worker-context.ts'
import { type EndpointConfig, transportNamed } from './project.ts'

/** What the node tells each worker. */
export interface BootConfig {
  root: string
  channels: EndpointConfig[]
  connections: EndpointConfig[]
}

export default async function boot(worker: WorkerContext): Promise<WorkerHooks> {
  const config = worker.config as BootConfig
  const connections = startConnections(worker, config.connections)
  await startServices(worker, config.root, connections)
  const channels = await startChannels(worker, config.channels)
  return {
    drain: async handover => {
      await Promise.all(channels.map(channel => channel.drain(handover)))
    },
  }
}

type CurrentConnection = (caller: Caller) => Connection

function startConnections(worker: WorkerContext, configs: EndpointConfig[]): Map<string, CurrentConnection> {
  const connections = new Map<string, CurrentConnection>()
  for (const { name, type, options } of configs) {
    const actor = connectionActor(worker.system, transportNamed(type), name, options)
    worker.declare(`connection/${type}/${name}`, { placement: 'everyWorker', spec: actor.spec })
    connections.set(name, actor.current)
  }
  return connections
}

async function startServices(
  worker: WorkerContext,
  root: string,
  connections: Map<string, CurrentConnection>,
): Promise<void> {
  const folder = join(root, 'services')
  const ports = servicePorts(worker, connections)
  for (const file of await findServices(folder)) {
    try {
      const { name, type } = await loadService(folder, file)
      const runner = new ServiceRunner(name, type, ports)
      worker.declare(`service/${name}`, servicePlacement(worker.system, runner))
    } catch (error) {
      // One broken file must not keep the others from running; worker 0 speaks for all.
      if (worker.slot === 0) worker.log.error({ err: error }, `service not loaded: ${(error as Error).message}`)
    }
  }
}

async function startChannels(worker: WorkerContext, configs: EndpointConfig[]): Promise<ChannelActor[]> {
  const channels: ChannelActor[] = []
  for (const { name, type, options } of configs) {
    const transport = transportNamed(type)
    const channel = channelActor(worker.system, transport, name, options)
    const placement = transport.channel!.placement
    worker.declare(`channel/${type}/${name}`, { placement, spec: channel.spec })
    channels.push(channel)
    await channel.opened()
  }
  return channels
}

function servicePorts(worker: WorkerContext, connections: Map<string, CurrentConnection>): ServicePorts {
  const { system } = worker
  return {
    clock: system.clock,
    log: worker.log,
    ask: (service, payload, options) => system.ask(`service/${service}`, payload, options),
    tell: (service, payload, options) => system.tell(`service/${service}`, payload, options),
    connection: (name, caller) => {
      const current = connections.get(name)
      if (current) return current(caller)
      const near = nearest(name, [...connections.keys()])
      const hint = near ? `; did you mean '${near}'?` : ''
      throw new SignalboxError('SIGNALBOX_ADDRESS_UNKNOWN', `there is no connection '${name}'${hint}`)
    },
    cpu: (file, payload, timeoutMs, signal) => worker.cpu(file, payload, timeoutMs, signal),
  }
}
