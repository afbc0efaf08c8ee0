/** HTTP and REST: requests from programs outside, and to them. */
import { defineTransport } from '../../core/transport.ts'
import { HttpChannel } from './channel.ts'
import { HttpChannelOptions } from './channel-options.ts'
import { HttpConnection } from './connection.ts'
import { connectionOptions } from './connection-options.ts'

export const http = defineTransport({
  name: 'http',
  description: 'HTTP/1.1 and REST, with TLS: JSON, XML, forms, uploads, streams and Server-Sent Events',
  capabilities: {
    ordered: false,
    persistent: false,
    requestReply: true,
    acknowledges: false,
    headers: true,
    transactions: false,
    streams: true,
  },
  channel: {
    options: HttpChannelOptions,
    placement: 'everyWorker',
    create: (options, context) => new HttpChannel(options, context),
  },
  connection: {
    options: connectionOptions,
    create: (options, context) => new HttpConnection(options, context),
    operations: { send: 0, request: 0, stream: 0, get: 1, post: 1, put: 1, patch: 1, delete: 1 },
  },
})
