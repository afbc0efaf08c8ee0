/** An OTLP/HTTP collector that keeps what it is sent, for tests of telemetry. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Received {
  url: string
  headers: IncomingHttpHeaders
  body: Buffer
}

/** Keeps requests, whatever they are; answers 200. */
export async function startPeer(type = 'application/json', answer = '{}') {
  const received: Received[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      received.push({ url: request.url!, headers: request.headers, body: Buffer.concat(chunks) })
      response.writeHead(200, { 'content-type': type }).end(answer)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return { url: `http://127.0.0.1:${port}`, received, close }
}

/** A span as OTLP/JSON writes it, with its attributes and those of its resource as objects. */
export interface Span {
  name: string
  traceId: string
  spanId: string
  parentSpanId: string | undefined
  kind: number
  status: { code?: number; message?: string }
  attributes: Record<string, unknown>
  resource: Record<string, unknown>
  traceState: string | undefined
}

interface KeyValue {
  key: string
  value: Record<string, unknown>
}

interface TraceRequest {
  resourceSpans: {
    resource: { attributes: KeyValue[] }
    scopeSpans: { spans: (Omit<Span, 'attributes' | 'resource'> & { attributes: KeyValue[] })[] }[]
  }[]
}

/** The spans of all OTLP/JSON requests for traces. */
export function spansOf(received: readonly Received[]): Span[] {
  return received
    .filter(({ url }) => url === '/v1/traces')
    .flatMap(({ body }) => (JSON.parse(body.toString()) as TraceRequest).resourceSpans)
    .flatMap(({ resource, scopeSpans }) =>
      scopeSpans.flatMap(({ spans }) =>
        spans.map(span => ({
          ...span,
          attributes: plain(span.attributes),
          resource: plain(resource.attributes),
        })),
      ),
    )
}

function plain(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}
