/** The WebSocket transport. */
import { defineTransport } from '../../core/transport.ts'
import { WebSocketChannel } from './channel.ts'
import { WebSocketConnection } from './connection.ts'
import { WebSocketChannelOptions, WebSocketConnectionOptions } from './options.ts'

export const websocket = defineTransport({
  name: 'websocket',
  description: 'WebSocket (RFC 6455): requests and answers in JSON or MessagePack frames, or raw frames',
  capabilities: {
    ordered: true,
    persistent: false,
    requestReply: true,
    acknowledges: false,
    headers: true,
    transactions: false,
    streams: true,
  },
  channel: {
    options: WebSocketChannelOptions,
    placement: 'everyWorker',
    create: (options, context) => new WebSocketChannel(options, context),
  },
  connection: {
    options: WebSocketConnectionOptions,
    create: (options, context) => new WebSocketConnection(options, context),
  },
})
