/** The ZAP handler (ZeroMQ RFC 27): decides by public key which CURVE connections of a context are let in. */
import { type Context, Reply } from 'zeromq'
import type { Logger } from '../telemetry/log.ts'

/** Connections of other domains are refused: only our own sockets use this handler. */
export const ZAP_DOMAIN = 'signalbox'

export interface ZapHandler {
  close(): void
}

/**
 * Serves ZAP in a context. `isKnown` gets the 32 raw bytes of the key that the connection has proved to hold.
 * Must be open before a socket is bound: with `zapEnforceDomain` a missing handler refuses everybody.
 */
export async function serveZap(
  context: Context,
  log: Logger,
  isKnown: (publicKey: Buffer) => boolean,
  onRefused: (remoteAddress: string) => void,
): Promise<ZapHandler> {
  const socket = new Reply({ context, linger: 0 })
  await socket.bind('inproc://zeromq.zap.01')
  void answer(socket, isKnown, onRefused).catch(error => {
    if (!socket.closed) log.error({ err: error }, 'the ZAP handler failed; new connections are refused')
  })
  return { close: () => socket.close() }
}

async function answer(
  socket: Reply,
  isKnown: (publicKey: Buffer) => boolean,
  onRefused: (remoteAddress: string) => void,
): Promise<void> {
  for await (const [version, requestId, domain, address, , mechanism, key] of socket) {
    const known =
      version?.toString() === '1.0' &&
      domain?.toString() === ZAP_DOMAIN &&
      mechanism?.toString() === 'CURVE' &&
      key?.length === 32 &&
      isKnown(key)
    if (!known) onRefused(address?.toString() ?? '')
    const verdict = known ? ['200', 'OK'] : ['400', 'unknown key']
    await socket.send(['1.0', requestId ?? '', ...verdict, '', ''])
  }
}
