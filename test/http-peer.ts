/** Real HTTP and HTTPS servers for tests, on free ports, that can be stopped and started again. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'

/** Answers one request whose body was read already. */
export type PeerHandler = (request: IncomingMessage, body: Buffer, response: ServerResponse) => unknown

/** A server under test. */
export interface HttpPeer {
  /** Without a final slash. */
  url: string
  port: number
  /** Sockets accepted since it was made. */
  sockets(): number
  stop(): Promise<void>
  /** Listens on the same port again. */
  start(): Promise<void>
}

/** Starts a server on a free port of 127.0.0.1; with `tls`, an HTTPS server. Stop it in the end. */
export async function httpPeer(handler: PeerHandler, tls?: ServerOptions): Promise<HttpPeer> {
  let port = 0
  let sockets = 0
  const listener: RequestListener = async (request, response) => {
    try {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      await handler(request, Buffer.concat(chunks), response)
    } catch (error) {
      response.destroy(error as Error) // the client went away, or the handler of the test failed: the client sees it
    }
  }
  const open = async () => {
    const server = tls ? createTlsServer(tls, listener) : createServer(listener)
    server.on('connection', () => sockets++)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(port, '127.0.0.1', resolve)
    })
    port = (server.address() as AddressInfo).port
    return server
  }
  let server: Awaited<ReturnType<typeof open>> | undefined = await open()
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    sockets: () => sockets,
    async stop() {
      const stopping = server
      server = undefined
      stopping?.closeAllConnections()
      await new Promise(resolve => (stopping ? stopping.close(resolve) : resolve(undefined)))
    },
    async start() {
      server ??= await open()
    },
  }
}
