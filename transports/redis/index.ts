/** The Redis transport. */
import { defineTransport } from '../../core/transport.ts'
import { RedisChannel } from './channel.ts'
import { RedisConnection } from './connection.ts'
import { PROTOCOL_MAX_BYTES, RedisChannelOptions, RedisConnectionOptions } from './options.ts'

export const redis = defineTransport({
  name: 'redis',
  description: 'Redis and Valkey: streams, lists and subscriptions; cache, locks and every command',
  // Those of streams; the README says what lists and subscriptions have less.
  capabilities: {
    ordered: true,
    persistent: true,
    requestReply: false,
    acknowledges: true,
    headers: true,
    transactions: true,
    streams: false,
    maxBytes: PROTOCOL_MAX_BYTES,
  },
  channel: {
    options: RedisChannelOptions,
    placement: 'everyWorker',
    // Every subscriber gets every message: one for all workers.
    placementOf: ({ pubsub }) => (pubsub ? 'singleton' : 'everyWorker'),
    create: (options, context) => new RedisChannel(options, context),
  },
  connection: {
    options: RedisConnectionOptions,
    operations: {
      send: 0,
      publish: 2,
      xadd: 2,
      push: 2,
      pop: 1,
      get: 1,
      set: 2,
      getOrSet: 2,
      delete: 1,
      deleteByPrefix: 1,
      lock: 2,
      transaction: 1,
      pipeline: 1,
    },
    create: (options, context) => new RedisConnection(options, context),
  },
})
