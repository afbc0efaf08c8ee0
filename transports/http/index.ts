/** The HTTP transport. */
import { type Capabilities, defineTransport } from '../../core/transport.ts'
import { HttpChannel } from './channel.ts'
import { HttpChannelOptions } from './channel-options.ts'

export const capabilities: Capabilities = {
  ordered: false,
  persistent: false,
  requestReply: true,
  acknowledges: false,
  headers: true,
  transactions: false,
  streams: true,
}

export default defineTransport({
  name: 'http',
  description: 'HTTP/1.1 and REST, with TLS: JSON, XML, forms, uploads, streams and Server-Sent Events',
  capabilities,
  channel: {
    options: HttpChannelOptions,
    placement: 'everyWorker',
    create: (options, context) => new HttpChannel(options, context),
  },
})
