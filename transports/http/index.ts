/** HTTP: requests to other servers. */
import { defineTransport } from '../../core/transport.ts'
import { HttpConnection } from './connection.ts'
import { connectionOptions } from './connection-options.ts'

export const http = defineTransport({
  name: 'http',
  description: 'HTTP/1.1 and HTTPS: REST and any other API over HTTP',
  capabilities: {
    ordered: false,
    persistent: false,
    requestReply: true,
    acknowledges: false,
    headers: true,
    transactions: false,
    streams: true,
  },
  connection: {
    options: connectionOptions,
    create: (options, context) => new HttpConnection(options, context),
  },
})
