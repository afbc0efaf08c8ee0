/** For the tests of this folder: channels and connections on a real server, and what they got. */
import type { TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { parseOptions } from '../../core/schema.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type { Inbound, TransportContext } from '../../core/transport.ts'
import { bytesOf } from '../../test/conformance/messages.ts'
import { until } from '../../test/conformance/wait.ts'
import { RedisChannel } from './channel.ts'
import { RedisConnection } from './connection.ts'
import {
  RedisChannelOptions,
  type RedisChannelSettings,
  RedisConnectionOptions,
  type RedisConnectionSettings,
} from './options.ts'

/** A context that keeps the errors given to `lost`. */
export function testContext(name = 'test'): TransportContext & { losses: Error[] } {
  const losses: Error[] = []
  const { signal } = new AbortController()
  return { name, log: silentLogger, clock: systemClock, signal, losses, lost: error => losses.push(error) }
}

type Behave = (message: Inbound, delivery: number) => unknown

/** A channel that is open, what it received, and the errors it was lost with. */
export async function startChannel(
  t: TestContext,
  options: Record<string, unknown>,
  behave: Behave = () => undefined,
  name = 'test',
) {
  const settings = parseOptions<RedisChannelSettings>(
    RedisChannelOptions,
    { service: 'test', ...options },
    'test',
  )
  const context = testContext(name)
  const channel = new RedisChannel(settings, context)
  t.after(() => channel.close())
  const received: Inbound[] = []
  const receive = async (message: Inbound) => {
    received.push(message)
    return { payload: await behave(message, received.length), headers: {}, cid: message.cid ?? 'made' }
  }
  await channel.connect(receive)
  return {
    channel,
    received,
    losses: context.losses,
    texts: () => received.map(({ payload }) => bytesOf(payload).toString()),
    count: (count: number) => until(() => received.length >= count, `${count} messages`),
  }
}

/** A connection that is not open yet. */
export function makeConnection(t: TestContext, options: Record<string, unknown>) {
  const settings = parseOptions<RedisConnectionSettings>(RedisConnectionOptions, options, 'test')
  const context = testContext()
  const connection = new RedisConnection(settings, context)
  t.after(() => connection.close())
  return { connection, losses: context.losses }
}

/** A connection that is open. */
export async function startConnection(t: TestContext, options: Record<string, unknown>) {
  const { connection } = makeConnection(t, options)
  await connection.connect()
  return connection
}

/** Entries of a stream as objects of text. */
export async function entriesOf(
  client: { xrange(key: string, from: '-', to: '+'): Promise<[string, string[]][]> },
  key: string,
): Promise<Record<string, string>[]> {
  const entries = await client.xrange(key, '-', '+')
  return entries.map(([, fields]) => {
    const pairs = fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]!] as const] : []))
    return Object.fromEntries(pairs)
  })
}
