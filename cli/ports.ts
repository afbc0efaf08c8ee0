/** The ports of listeners that all workers share. */
import { type AddressInfo, createServer, type Server } from 'node:net'
import type { EndpointConfig } from '../actors/endpoint-registry.ts'
import { SignalboxError } from '../core/errors.ts'
import { transportNamed } from './transport-named.ts'

/**
 * Port 0 means any free one, and the same in all workers, which share it. A port that another program holds is found
 * here: workers could join it unnoticed, when that program shares it as well.
 */
export async function withPort(channel: EndpointConfig): Promise<EndpointConfig> {
  const options = channel.options as { port?: number; host?: string }
  if (options.port === undefined || transportNamed(channel.type).channel?.placement !== 'everyWorker')
    return channel
  const server = createServer()
  await listen(server, channel.name, options)
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return { ...channel, options: { ...options, port } }
}

function listen(
  server: Server,
  name: string,
  { host, port }: { port?: number; host?: string },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'another program listens there' : cause.message
      const message = `channel ${name} cannot listen on port ${port} of ${host ?? 'any address'}: ${why}`
      reject(
        new SignalboxError('SIGNALBOX_LISTEN_FAILED', message, {
          cause,
          details: { channel: name, host, port },
        }),
      )
    })
    server.listen({ host, port, exclusive: true }, resolve)
  })
}
