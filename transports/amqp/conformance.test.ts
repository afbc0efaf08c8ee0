import { after, before, describe } from 'node:test'
import { transportConformance } from '../../test/conformance/transport.ts'
import { RabbitServer, rabbitTest } from '../../test/servers/rabbitmq.ts'
import { openChannelEndpoint, openConnectionEndpoint } from './harness.ts'
import { amqp } from './index.ts'

describe('on RabbitMQ', rabbitTest(), () => {
  let server: RabbitServer
  before(async () => {
    server = await RabbitServer.start()
  })
  after(() => server.close())

  transportConformance(amqp, {
    channel: { open: () => openChannelEndpoint(server) },
    connection: { open: () => openConnectionEndpoint(server) },
    waived: {
      'channel: the signal of a message is aborted when its sender gives up':
        'a broker does not tell who waits for an answer',
    },
  })
})
