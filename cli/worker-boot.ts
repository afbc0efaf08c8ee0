/** Sets up the actors of a worker: the services, connections and channels of the project. */
import { join } from 'node:path'
import { startRecorder } from '../actors/audit/audit-actor.ts'
import { ChannelSecurity, type SecurityConfig } from '../actors/channel-security.ts'
import { type EndpointConfig, EndpointRegistry } from '../actors/endpoint-registry.ts'
import type { ConsumerConfig } from '../actors/messages/consumer.ts'
import { ConsumerRegistry } from '../actors/messages/consumer-registry.ts'
import { keeping } from '../actors/messages/keeping.ts'
import { PUBSUB_API, pubsubActor } from '../actors/messages/pubsub-api.ts'
import { ServiceRegistry } from '../actors/service-registry.ts'
import type { AuditSettings } from '../core/audit/policy.ts'
import type { SignalboxError } from '../core/errors.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import type { WorkerContext, WorkerHooks } from '../core/worker/worker-context.ts'
import { transportNamed } from './transport-named.ts'

/** What the node tells each worker at its start. Options are valid, complete, and have their secrets filled in. */
export interface BootConfig {
  root: string
  security: SecurityConfig[]
  connections: EndpointConfig[]
  channels: EndpointConfig[]
  /** Who hands the messages of queues and subscriptions to services. */
  consumers: ConsumerConfig[]
  /** What of messages is recorded; undefined: nothing, there is no keeper. */
  audit?: AuditSettings
  /** Service files without which the worker must not start; of others that do not load the rest goes on. */
  mustLoad?: string[]
}

interface ServiceRequest {
  file: string
  version: string
  path?: string
}

export default async function boot(worker: WorkerContext): Promise<WorkerHooks> {
  const config = worker.config as BootConfig
  const audit = startRecorder(worker, config.audit)
  const security = new ChannelSecurity(worker.system.clock, worker.log)
  const endpoints = new EndpointRegistry(worker, transportNamed, security.guard)
  const services = new ServiceRegistry(worker, servicePorts(worker, endpoints), join(config.root, 'services'))
  worker.declare(PUBSUB_API, { placement: 'everyWorker', spec: pubsubActor(worker.system) })
  security.replace(config.security)
  for (const connection of config.connections) endpoints.putConnection(connection)
  reportErrors(worker, await services.start(), config.mustLoad ?? [])
  for (const channel of config.channels) await endpoints.putChannel(channel)
  const consumers = new ConsumerRegistry(worker, (name, caller) => endpoints.connection(name, caller))
  for (const consumer of config.consumers) consumers.put(consumer)
  return {
    drain: async handover => {
      await Promise.all([endpoints.drain(handover), consumers.drain()])
      await audit?.flush()
    },
    stop: async () => audit?.close(),
    requests: {
      services: () => services.list(),
      prepareService: ({ file, version, path }: ServiceRequest) => services.prepare(file, version, path),
      commitService: ({ file, version }: ServiceRequest) => services.commit(file, version),
      abandonService: ({ file }: ServiceRequest) => services.abandon(file),
      removeService: ({ file }: ServiceRequest) => services.remove(file),
      putChannel: (channel: EndpointConfig) => endpoints.putChannel(channel),
      removeChannel: (name: string) => endpoints.removeChannel(name),
      putConnection: (connection: EndpointConfig) => endpoints.putConnection(connection),
      removeConnection: (name: string) => endpoints.removeConnection(name),
      putConsumer: (consumer: ConsumerConfig) => consumers.put(consumer),
      removeConsumer: (consumer: ConsumerConfig) => consumers.remove(consumer),
      putSecurity: (definitions: SecurityConfig[]) => security.replace(definitions),
    },
  }
}

/** One broken file must not keep the others from running; worker 0 speaks for all. */
function reportErrors(worker: WorkerContext, errors: SignalboxError[], mustLoad: string[]): void {
  for (const error of errors) {
    if (mustLoad.includes(String(error.details?.file))) throw error
    if (worker.slot === 0) {
      worker.log.error({ code: error.code, details: error.details }, `service not loaded: ${error.message}`)
    }
  }
}

function servicePorts(worker: WorkerContext, endpoints: EndpointRegistry): ServicePorts {
  const { system } = worker
  return {
    clock: system.clock,
    log: worker.log,
    ask: (service, payload, options) => system.ask(`service/${service}`, payload, options),
    tell: (service, payload, options) => system.tell(`service/${service}`, payload, options),
    keep: keeping(system),
    connection: (name, caller) => endpoints.connection(name, caller),
    cpu: (file, payload, timeoutMs, signal) => worker.cpu(file, payload, timeoutMs, signal),
  }
}
