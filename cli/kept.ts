/** What the resources that are kept on disk mean for the keeper and for the workers. */
import type { EndpointConfig } from '../actors/endpoint-registry.ts'
import type { ConsumerConfig } from '../actors/messages/consumer.ts'
import type { LogConfig } from '../actors/messages/log-registry.ts'
import type { QueueResource, SubscriptionResource, TopicResource } from '../actors/messages/options.ts'
import { QUEUE_SUBSCRIPTION } from '../actors/messages/protocol.ts'
import type { ScheduleConfig } from '../actors/schedules/schedule.ts'
import { SignalboxError } from '../core/errors.ts'
import { RESOURCE_KINDS, type ResourceKind } from '../core/resource/resource.ts'
import type { KeeperConfig } from './keeper-boot.ts'

/** Kinds that live in the keeper, in the order in which they depend on each other. */
export const KEPT_KINDS = [
  'queue',
  'topic',
  'subscription',
  'schedule',
] as const satisfies readonly ResourceKind[]

export type KeptKind = (typeof KEPT_KINDS)[number]

export function isKept(kind: ResourceKind): kind is KeptKind {
  return (KEPT_KINDS as readonly ResourceKind[]).includes(kind)
}

/** Resources with options that are valid and complete, by kind. */
export type CompleteResources = Readonly<Partial<Record<ResourceKind, readonly EndpointConfig[]>>>

/** What the keeper is started with. */
export function keeperConfig(folder: string, resources: CompleteResources): Omit<KeeperConfig, 'audit'> {
  return {
    folder,
    queues: [...(resources.queue ?? [])] as LogConfig<QueueResource>[],
    topics: [...(resources.topic ?? [])] as LogConfig<TopicResource>[],
    schedules: [...(resources.schedule ?? [])] as ScheduleConfig[],
    subscriptions: [...(resources.subscription ?? [])] as LogConfig<SubscriptionResource>[],
  }
}

/** The consumers that the workers run. */
export function consumersOf(resources: CompleteResources): ConsumerConfig[] {
  return RESOURCE_KINDS.flatMap(kind =>
    (resources[kind] ?? []).flatMap(config => consumerOf(kind, config) ?? []),
  )
}

/** The consumer of a queue or subscription; undefined when clients fetch its messages. */
export function consumerOf(
  kind: ResourceKind,
  { name, options }: EndpointConfig,
): ConsumerConfig | undefined {
  if (kind !== 'queue' && kind !== 'subscription') return undefined
  const { service, route, connection, prefetch, timeoutMs } = options as QueueResource
  const handlers = [service, route, connection].filter(handler => handler !== undefined)
  if (handlers.length > 1) {
    const message = `${kind} ${name}: give it a service, a route or a connection, one of them`
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', message)
  }
  if (handlers.length === 0) return undefined
  const isQueue = kind === 'queue'
  return {
    name,
    kind: isQueue ? 'queue' : 'topic',
    log: isQueue ? name : (options as SubscriptionResource).topic,
    subscription: isQueue ? QUEUE_SUBSCRIPTION : name,
    target: connection
      ? { connection: connection.name, attributes: connection.attributes ?? {} }
      : route === undefined
        ? `service/${service}`
        : `route/${route}`,
    prefetch: prefetch!,
    timeoutMs: timeoutMs!,
  }
}
