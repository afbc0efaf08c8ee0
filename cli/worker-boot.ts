/** Sets up the actors of a worker: the services, routes, connections and channels of the project. */
import { startRecorder } from '../actors/audit/audit-actor.ts'
import { ChannelSecurity, type SecurityConfig } from '../actors/channel-security.ts'
import { type EndpointConfig, EndpointRegistry } from '../actors/endpoint-registry.ts'
import type { ConsumerConfig } from '../actors/messages/consumer.ts'
import { ConsumerRegistry } from '../actors/messages/consumer-registry.ts'
import { keeping } from '../actors/messages/keeping.ts'
import { PUBSUB_API, pubsubActor } from '../actors/messages/pubsub-api.ts'
import { remoteState } from '../actors/messages/state.ts'
import { RunningRoutes, routesActor, routesAddress, routeUnits } from '../actors/route-units.ts'
import { serviceUnits } from '../actors/service-units.ts'
import { UNIT_FOLDERS, type UnitKind, UnitRegistry } from '../actors/unit-registry.ts'
import type { AuditSettings } from '../core/audit/policy.ts'
import { idSource } from '../core/clock.ts'
import type { SignalboxError } from '../core/errors.ts'
import type { RoutePorts } from '../core/route/compiling.ts'
import { projectSeams } from '../core/route/seams.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { addressOf } from '../core/service/runner.ts'
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
  /** Whether the node has a folder for its state. */
  keepsState?: boolean
  /** Files (`services/a.ts`, `routes/b.yaml`) without which the worker must not start; of others that do not load the rest goes on. */
  mustLoad?: string[]
}

interface UnitRequest {
  kind: UnitKind
  file: string
  version: string
  path?: string
}

export default async function boot(worker: WorkerContext): Promise<WorkerHooks> {
  const config = worker.config as BootConfig
  const audit = startRecorder(worker, config.audit)
  const security = new ChannelSecurity(worker.system.clock, worker.log)
  const endpoints = new EndpointRegistry(worker, transportNamed, security.guard)
  const ports = servicePorts(worker, endpoints)
  const running = new RunningRoutes()
  const units = {
    service: new UnitRegistry(worker, serviceUnits(worker.system, ports), config.root),
    route: new UnitRegistry(
      worker,
      routeUnits(worker.system, routePorts(worker, config, ports), running),
      config.root,
    ),
  }
  worker.declare(routesAddress(worker.node), {
    placement: 'singleton',
    spec: routesActor(worker.system, running, worker.log),
  })
  worker.declare(PUBSUB_API, { placement: 'everyWorker', spec: pubsubActor(worker.system) })
  security.replace(config.security)
  for (const connection of config.connections) endpoints.putConnection(connection)
  for (const kind of ['service', 'route'] as const) {
    reportErrors(worker, kind, await units[kind].start(), config.mustLoad ?? [])
  }
  for (const channel of config.channels) await endpoints.putChannel(channel)
  const consumers = new ConsumerRegistry(worker, (name, caller) => endpoints.connection(name, caller))
  for (const consumer of config.consumers) consumers.put(consumer)
  return {
    drain: async handover => {
      await Promise.all([endpoints.drain(handover), consumers.drain()])
      // What came from outside may have given the routes something to do by themselves.
      await running.drain()
      await audit?.flush()
    },
    stop: async () => audit?.close(),
    requests: {
      units: () => [...units.service.list(), ...units.route.list()],
      services: () => units.service.list(),
      routes: () => units.route.list(),
      prepareUnit: ({ kind, file, version, path }: UnitRequest) => units[kind].prepare(file, version, path),
      commitUnit: ({ kind, file, version }: UnitRequest) => units[kind].commit(file, version),
      abandonUnit: ({ kind, file }: UnitRequest) => units[kind].abandon(file),
      removeUnit: ({ kind, file }: UnitRequest) => units[kind].remove(file),
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
function reportErrors(
  worker: WorkerContext,
  kind: UnitKind,
  errors: SignalboxError[],
  mustLoad: string[],
): void {
  for (const error of errors) {
    if (mustLoad.includes(`${UNIT_FOLDERS[kind]}/${String(error.details?.file)}`)) throw error
    if (worker.slot === 0) {
      worker.log.error({ code: error.code, details: error.details }, `${kind} not loaded: ${error.message}`)
    }
  }
}

function servicePorts(worker: WorkerContext, endpoints: EndpointRegistry): ServicePorts {
  const { system } = worker
  return {
    clock: system.clock,
    log: worker.log,
    ask: (service, payload, options) => system.ask(addressOf(service), payload, options),
    tell: (service, payload, options) => system.tell(addressOf(service), payload, options),
    keep: keeping(system),
    connection: (name, caller) => endpoints.connection(name, caller),
    cpu: (file, payload, timeoutMs, signal) => worker.cpu(file, payload, timeoutMs, signal),
  }
}

function routePorts(worker: WorkerContext, config: BootConfig, service: ServicePorts): RoutePorts {
  const { system } = worker
  return {
    service,
    state: remoteState(system),
    hasState: config.keepsState ?? false,
    clock: system.clock,
    random: system.random,
    ids: idSource(),
    seams: projectSeams(config.root),
    tokens: (bucket, rate) => system.ask(routesAddress(worker.node), { bucket, rate }) as Promise<number>,
  }
}
