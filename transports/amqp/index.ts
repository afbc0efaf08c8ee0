/** The AMQP 0-9-1 transport (RabbitMQ). */
import { defineTransport } from '../../core/transport.ts'
import { AmqpChannel } from './channel.ts'
import { AmqpConnection } from './connection.ts'
import { AmqpChannelOptions, AmqpConnectionOptions } from './options.ts'

export const amqp = defineTransport({
  name: 'amqp',
  description: 'AMQP 0-9-1 (RabbitMQ): queues and exchanges, publisher confirms, request/reply, TLS',
  capabilities: {
    ordered: true,
    persistent: true,
    requestReply: true,
    acknowledges: true,
    headers: true,
    transactions: false,
    streams: false,
  },
  channel: {
    options: AmqpChannelOptions,
    placement: 'everyWorker',
    create: (options, context) => new AmqpChannel(options, context),
  },
  connection: {
    options: AmqpConnectionOptions,
    operations: { send: 0, publish: 0, request: 0, publishBatch: 1 },
    create: (options, context) => new AmqpConnection(options, context),
  },
})
