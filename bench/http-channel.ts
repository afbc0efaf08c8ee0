/**
 * The HTTP channel with a service that returns at once, against bare node:http that does the same work: reads JSON,
 * writes JSON. The ratio is the channel's own share. Run with `node bench/http-channel.ts`.
 */
import { execFile } from 'node:child_process'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { systemClock } from '../core/clock.ts'
import { parseOptions } from '../core/schema.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { HttpChannel } from '../transports/http/channel.ts'
import { HttpChannelOptions, type HttpChannelSettings } from '../transports/http/channel-options.ts'

const ROUNDS = 5
const SECONDS = 2
const CONNECTIONS = 64
const AUTOCANNON = fileURLToPath(import.meta.resolve('autocannon'))
const ANSWER = { hello: 'world', n: 1 }
const ORDER = JSON.stringify({ order: 1, customer: 'ACME', lines: [{ sku: 'x'.repeat(100), quantity: 3 }] })

const run = promisify(execFile)

/** Requests per second; the load comes from another process. */
async function load(url: string, body?: string): Promise<number> {
  const post = body === undefined ? [] : ['-m', 'POST', '-H', 'content-type=application/json', '-b', body]
  const args = [AUTOCANNON, '-j', '-c', String(CONNECTIONS), '-d', String(SECONDS), ...post, url]
  const { stdout } = await run(process.execPath, args)
  const result = JSON.parse(stdout) as { requests: { average: number }; non2xx: number; errors: number }
  if (result.non2xx + result.errors > 0)
    throw new Error(`${url}: ${result.non2xx} not 2xx, ${result.errors} errors`)
  return result.requests.average
}

async function bareServer(): Promise<http.Server> {
  const send = (response: http.ServerResponse, value: unknown) => {
    const text = JSON.stringify(value)
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    response.end(text)
  }
  const server = http.createServer((request, response) => {
    if (request.method === 'GET') return send(response, ANSWER)
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => send(response, JSON.parse(Buffer.concat(chunks).toString())))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return server
}

async function channel(): Promise<HttpChannel> {
  const routes = [
    { path: '/orders/:id', service: 'orders.get' },
    { path: '/orders', method: 'POST', service: 'orders.create' },
  ]
  const options = parseOptions<HttpChannelSettings>(HttpChannelOptions, { port: 0, routes }, 'bench')
  const lost = (error: Error) => {
    throw error
  }
  const { signal } = new AbortController()
  const opened = new HttpChannel(options, {
    name: 'bench',
    log: silentLogger,
    clock: systemClock,
    signal,
    lost,
  })
  await opened.connect(async ({ attributes, payload, cid }) => ({
    payload: attributes.method === 'GET' ? ANSWER : payload,
    headers: {},
    cid: cid!,
  }))
  return opened
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

const bare = await bareServer()
const served = await channel()
const bareUrl = `http://127.0.0.1:${(bare.address() as AddressInfo).port}`
const table: Record<string, object> = {}
for (const [name, path, body] of [
  ['GET with a path parameter', '/orders/7'],
  ['POST of JSON', '/orders', ORDER],
] as const) {
  const limits: number[] = []
  const ours: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    limits.push(await load(bareUrl + path, body))
    ours.push(await load(served.endpoint() + path, body))
  }
  const [limit, own] = [median(limits), median(ours)]
  table[name] = {
    'node:http, req/s': Math.round(limit),
    'channel, req/s': Math.round(own),
    ratio: Number((own / limit).toFixed(2)),
  }
}
console.table(table)
bare.close()
await served.close()
