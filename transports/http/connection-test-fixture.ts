/** Opens connections for tests and closes them, with their servers, when the test ends. */
import type { ServerOptions } from 'node:https'
import type { TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { parseOptions } from '../../core/schema.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import { type HttpPeer, httpPeer, type PeerHandler } from '../../test/http-peer.ts'
import { HttpConnection, type HttpConnectionSeams } from './connection.ts'
import { connectionOptions } from './connection-options.ts'

/** A server for one test. */
export async function serve(t: TestContext, handler: PeerHandler, tls?: ServerOptions): Promise<HttpPeer> {
  const peer = await httpPeer(handler, tls)
  t.after(() => peer.stop())
  return peer
}

/** A connected connection for one test. */
export async function open(
  t: TestContext,
  options: Record<string, unknown>,
  seams: HttpConnectionSeams = {},
): Promise<HttpConnection> {
  const context = {
    name: 'test',
    log: silentLogger,
    clock: systemClock,
    signal: new AbortController().signal,
    lost: () => {},
  }
  const connection = new HttpConnection(parseOptions(connectionOptions, options, 'test'), context, seams)
  t.after(() => connection.close())
  await connection.connect()
  return connection
}
