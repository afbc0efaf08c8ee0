/** For the tests of this folder: connections and channels with the options of a test server. */
import type { TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { parseOptions } from '../../core/schema.ts'
import { type Logger, silentLogger } from '../../core/telemetry/log.ts'
import type { Inbound, TransportContext } from '../../core/transport.ts'
import { SqlChannel } from './channel.ts'
import { SqlChannelOptions, type SqlChannelSettings } from './channel-options.ts'
import { SqlConnection } from './connection.ts'
import { SqlConnectionOptions, type SqlConnectionSettings } from './options.ts'

export interface TestEnds {
  log?: Logger
  lost?: (error: Error) => void
}

export function testContext({ log = silentLogger, lost = () => {} }: TestEnds = {}): TransportContext {
  return { name: 'test', log, clock: systemClock, signal: new AbortController().signal, lost }
}

/** A connection that is not open yet; it is closed at the end of the test. */
export function newConnection(
  t: TestContext,
  options: Record<string, unknown>,
  ends?: TestEnds,
): SqlConnection {
  const settings = parseOptions<SqlConnectionSettings>(SqlConnectionOptions, options, 'test')
  const connection = new SqlConnection(settings, testContext(ends))
  t.after(() => connection.close())
  return connection
}

export async function connect(
  t: TestContext,
  options: Record<string, unknown>,
  ends?: TestEnds,
): Promise<SqlConnection> {
  const connection = newConnection(t, options, ends)
  await connection.connect()
  return connection
}

/** A channel that is open; it is closed at the end of the test. `handle` stands for the service. */
export async function openChannel(
  t: TestContext,
  options: Record<string, unknown>,
  handle: (message: Inbound) => Promise<unknown> | unknown,
  ends?: TestEnds,
): Promise<SqlChannel> {
  const settings = parseOptions<SqlChannelSettings>(
    SqlChannelOptions,
    { intervalMs: 20, redeliveryDelayMs: 5, ...options },
    'test',
  )
  const channel = new SqlChannel(settings, testContext(ends))
  t.after(() => channel.close())
  await channel.connect(async message => ({ payload: await handle(message), headers: {}, cid: 'test' }))
  return channel
}
