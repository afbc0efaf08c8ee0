/** Declares exchanges, queues and bindings, again each time that a connection is made. */
import type { Channel, ChannelModel } from 'amqplib'
import { brokerError } from './errors.ts'
import type { QueueSettings, TopologySettings } from './server-options.ts'

/**
 * Declares all of it, and what is in `more`. Rejects with SIGNALBOX_BROKER_TOPOLOGY when something exists with other
 * properties or is missing, SIGNALBOX_CONNECT_REFUSED_CREDENTIALS when the user may not declare it.
 */
export async function declareTopology(
  model: ChannelModel,
  topology: TopologySettings,
  more: readonly Step[] = [],
): Promise<void> {
  const steps = [...stepsOf(topology), ...more]
  if (steps.length === 0) return
  const channel = await model.createChannel()
  // What the broker says about a step also rejects that step; the event must be heard all the same.
  channel.on('error', () => {})
  for (const { what, run } of steps) {
    try {
      await run(channel)
    } catch (error) {
      throw brokerError(error as Error, what)
    }
  }
  await channel.close()
}

export interface Step {
  what: string
  run(channel: Channel): Promise<unknown>
}

function stepsOf({ exchanges, queues, bindings }: TopologySettings): Step[] {
  return [
    ...exchanges.map(({ name, type, passive, ...options }): Step => {
      const run = (channel: Channel) =>
        passive ? channel.checkExchange(name) : channel.assertExchange(name, type, options)
      return { what: `exchange ${name}`, run }
    }),
    ...queues.map((queue): Step => {
      const run = (channel: Channel) =>
        queue.passive
          ? channel.checkQueue(queue.name)
          : channel.assertQueue(queue.name, {
              durable: queue.durable,
              autoDelete: queue.autoDelete,
              arguments: argumentsOf(queue),
            })
      return { what: `queue ${queue.name}`, run }
    }),
    ...bindings.map(({ source, queue, exchange, routingKey, arguments: table }): Step => {
      const run = (channel: Channel) =>
        queue !== undefined
          ? channel.bindQueue(queue, source, routingKey, table)
          : channel.bindExchange(exchange!, source, routingKey, table)
      return { what: `binding of ${source} to ${queue ?? exchange}`, run }
    }),
  ]
}

/** The arguments of a queue, by the names that the broker has for them. */
function argumentsOf(queue: QueueSettings): Record<string, unknown> {
  const named = {
    'x-queue-type': queue.type === 'classic' ? undefined : queue.type,
    'x-single-active-consumer': queue.singleActiveConsumer || undefined,
    'x-message-ttl': queue.messageTtlMs,
    'x-expires': queue.expiresMs,
    'x-max-length': queue.maxLength,
    'x-max-length-bytes': queue.maxLengthBytes,
    'x-overflow': queue.overflow,
    'x-max-priority': queue.maxPriority,
    'x-delivery-limit': queue.deliveryLimit,
    'x-dead-letter-exchange': queue.deadLetterExchange,
    'x-dead-letter-routing-key': queue.deadLetterRoutingKey,
  }
  return { ...named, ...queue.arguments }
}
