/**
 * A process that serves what the HTTP benchmark asks for: `http-server.ts signalbox` runs the project `hello` with
 * two workers, `http-server.ts bare` the same with nothing but node:http in two threads on one port.
 */
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { startProject } from '../cli/start.ts'

const WORKERS = 2

/** What the process says and is asked. */
export type FromServer = { url: string } | { cpuMs: number }

if (isMainThread) {
  const url = process.argv[2] === 'bare' ? await startBare() : await startSignalbox()
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send!({ cpuMs: (user + system) / 1000 } satisfies FromServer)
  })
  process.on('disconnect', () => process.exit())
  process.send!({ url } satisfies FromServer)
} else {
  http.createServer(answer).listen({ port: workerData as number, host: '127.0.0.1', reusePort: true }, () => {
    parentPort!.postMessage('listening')
  })
}

async function startSignalbox(): Promise<string> {
  const folder = fileURLToPath(new URL('projects/hello', import.meta.url))
  const { node } = await startProject(folder, { workers: WORKERS })
  const { workers } = await node.inspect()
  const channel = (workers[0]!.actors as { address: string; endpoint?: string }[]).find(
    actor => actor.endpoint,
  )
  return channel!.endpoint!
}

async function startBare(): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  for (let i = 0; i < WORKERS; i++) {
    await once(new Worker(new URL(import.meta.url), { workerData: port }), 'message')
  }
  return `http://127.0.0.1:${port}`
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  if (request.url === '/hello') {
    send(response, { message: 'How goes it?' })
    return
  }
  const chunks: Buffer[] = []
  request.on('data', chunk => chunks.push(chunk))
  request.on('end', () => {
    const order = JSON.parse(Buffer.concat(chunks).toString()) as {
      id: number
      lines: { quantity: number; price: number }[]
    }
    send(response, {
      id: order.id,
      total: order.lines.reduce((sum, { quantity, price }) => sum + quantity * price, 0),
    })
  })
}

function send(response: ServerResponse, value: unknown): void {
  const body = JSON.stringify(value)
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}
