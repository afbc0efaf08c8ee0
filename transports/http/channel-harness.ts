/** The channel side of the conformance harness: clients of undici, each request over a socket of the pool. */
import { Agent } from 'undici'
import type { Channel } from '../../core/transport.ts'
import type { ChannelEndpoint, TestAnswer, TestMessage } from '../../test/conformance/transport.ts'

/** Opens a client side; the channel listens on a free port of its own. */
export async function openChannelEndpoint(): Promise<ChannelEndpoint> {
  const agent = new Agent({ connections: 128 })
  return {
    options: { host: '127.0.0.1', port: 0 },
    send: (message, channel) => post(agent, message, channel),
    close: () => agent.destroy(),
  }
}

async function post(agent: Agent, message: TestMessage, channel: Channel): Promise<TestAnswer> {
  const url = new URL(channel.endpoint())
  const response = await agent.request({
    origin: url.origin,
    path: '/',
    method: 'POST',
    headers: {
      'content-type': 'application/octet-stream',
      ...message.headers,
      ...(message.cid !== undefined && { 'x-signalbox-cid': message.cid }),
    },
    body: message.payload,
    ...(message.signal && { signal: message.signal }),
  })
  const payload = Buffer.from(await response.body.arrayBuffer())
  if (response.statusCode >= 400)
    throw new Error(`status ${response.statusCode}: ${payload.toString('utf8', 0, 200)}`)
  const headers = Object.entries(response.headers).map(([name, value]) => [name, String(value)])
  return { payload, headers: Object.fromEntries(headers) }
}
