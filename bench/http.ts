/** HTTP request -> channel -> service -> JSON back, two workers on one port, beside bare node:http in two threads. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import autocannon from 'autocannon'
import type { FromServer } from './http-server.ts'
import { median, QUICK, ROUNDS, WARM_UPS } from './measure.ts'
import type { BenchRow } from './row.ts'

const CONNECTIONS = 64
const SECONDS = QUICK ? 0.4 : 3
const ORDER = {
  id: 1_000,
  customer: 'C-17',
  lines: [
    { sku: 'A-1', quantity: 2, price: 12.5 },
    { sku: 'B-17', quantity: 1, price: 99.95 },
  ],
}

type Load = Pick<autocannon.Options, 'method' | 'body' | 'headers'> & { path: string }

const LOADS: Record<string, Load> = {
  'GET, JSON back': { path: '/hello' },
  'POST JSON, schemas, JSON back': {
    path: '/orders',
    method: 'POST',
    body: JSON.stringify(ORDER),
    headers: { 'content-type': 'application/json' },
  },
}

interface Figures {
  perSecond: number
  /** Processor time of the server for one request; the load generator, which shares the cores, does not count. */
  cpuUs: number
  p99Ms: number
}

export async function run(): Promise<BenchRow[]> {
  await using ours = await start('signalbox')
  await using bare = await start('bare')
  const rows: BenchRow[] = []
  for (const [name, load] of Object.entries(LOADS)) {
    const rounds: { ours: Figures; bare: Figures }[] = []
    for (let round = 0; round < WARM_UPS + ROUNDS; round++) {
      rounds.push({ ours: await measure(ours, load), bare: await measure(bare, load) })
    }
    const of = (side: 'ours' | 'bare', key: keyof Figures) =>
      median(rounds.slice(WARM_UPS).map(round => round[side][key]))
    const row = (what: string, key: keyof Figures, unit: string, goal?: string): BenchRow => ({
      name: `HTTP ${name}${what}`,
      value: of('ours', key),
      unit,
      limit: of('bare', key),
      ...(goal && { goal }),
    })
    rows.push(
      row('', 'perSecond', 'requests/s', 'at least 0.75 of bare node:http'),
      row(', processor time of the server', 'cpuUs', 'us'),
      row(', p99', 'p99Ms', 'ms'),
    )
  }
  return rows
}

interface Server extends AsyncDisposable {
  url: string
  cpuMs(): Promise<number>
}

async function start(kind: 'signalbox' | 'bare'): Promise<Server> {
  const child = fork(fileURLToPath(new URL('http-server.ts', import.meta.url)), [kind])
  const url = await said(child, 'url')
  return {
    url,
    cpuMs: () => {
      child.send('cpu')
      return said(child, 'cpuMs')
    },
    [Symbol.asyncDispose]: async () => {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}

/** The next message of this kind. Rejects when the process ends instead. */
async function said<K extends 'url' | 'cpuMs'>(
  child: ChildProcess,
  key: K,
): Promise<Extract<FromServer, Record<K, unknown>>[K]> {
  const over = new AbortController()
  const options = { signal: over.signal }
  const ended = once(child, 'exit', options).then(([code]) => {
    throw new Error(`the server of the benchmark ended with exit code ${code}`)
  })
  try {
    const [message] = (await Promise.race([once(child, 'message', options), ended])) as [Record<K, never>]
    return message[key]
  } finally {
    ended.catch(() => {})
    over.abort()
  }
}

async function measure(server: Server, { path, ...load }: Load): Promise<Figures> {
  const cpuBefore = await server.cpuMs()
  const result = await autocannon({
    url: server.url + path,
    connections: CONNECTIONS,
    duration: SECONDS,
    ...load,
  })
  const cpuMs = (await server.cpuMs()) - cpuBefore
  const done = result['2xx']
  if (done === 0 || result.non2xx > 0 || result.errors > 0) {
    throw new Error(`${path}: ${done} answers, ${result.non2xx} with another status, ${result.errors} errors`)
  }
  return {
    perSecond: done / result.duration,
    cpuUs: (cpuMs / done) * 1000,
    p99Ms: result.latency.p99,
  }
}
