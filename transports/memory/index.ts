/** The reference transport: channels and connections that meet in a queue of one thread. */
import { defineTransport } from '../../core/transport.ts'
import { MemoryChannel } from './channel.ts'
import { MemoryConnection } from './connection.ts'
import { channelOptions, connectionOptions } from './options.ts'

export const memory = defineTransport({
  name: 'memory',
  description: 'Queues inside one thread, for tests and for flows that need no server',
  capabilities: {
    ordered: true,
    persistent: false,
    requestReply: true,
    acknowledges: true,
    headers: true,
    transactions: false,
    streams: false,
  },
  channel: {
    options: channelOptions,
    placement: 'everyWorker',
    create: (options, context) => new MemoryChannel(options, context),
  },
  connection: {
    options: connectionOptions,
    create: (options, context) => new MemoryConnection(options, context),
  },
})
