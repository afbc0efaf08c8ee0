/** The conformance suite over each kind of channel, with a server that has TLS, a password and a synced log. */
import { after, before, describe } from 'node:test'
import { transportConformance } from '../../test/conformance/transport.ts'
import { RedisServer } from '../../test/servers/redis.ts'
import { serverTest } from '../../test/servers/require.ts'
import { type Mode, openChannelEndpoint, openConnectionEndpoint, SERVER } from './harness.ts'
import { redis } from './index.ts'

/** What the kinds have less than a stream; the README says so. */
const LESS = {
  stream: {},
  list: { headers: false },
  pubsub: { headers: false, acknowledges: false, persistent: false },
}

describe('redis', serverTest('redis-server'), () => {
  let server: RedisServer
  before(async () => {
    server = await RedisServer.start(SERVER)
  })
  after(() => server.close())

  for (const mode of ['stream', 'list', 'pubsub'] as const) {
    const name = mode === 'stream' ? redis.name : `${redis.name}-${mode}`
    const capabilities = { ...redis.capabilities, ...LESS[mode] }
    const side = <E>(open: (server: RedisServer, mode: Mode) => () => Promise<E>) => ({
      open: () => open(server, mode)(),
    })
    transportConformance(
      { ...redis, name, capabilities },
      { channel: side(openChannelEndpoint), connection: side(openConnectionEndpoint) },
    )
  }
})
