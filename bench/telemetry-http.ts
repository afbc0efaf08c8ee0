/** The whole way of a request, HTTP channel, service, answer, with and without telemetry: nodes loaded in turn. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import autocannon from 'autocannon'
import { median, QUICK, ROUNDS, WARM_UPS } from './measure.ts'
import type { BenchRow } from './row.ts'
import type { FromServer } from './telemetry-server.ts'

const SECONDS = QUICK ? 0.4 : 1
/** Many and short: the cores are shared with the load and the collector, and with whatever else runs. */
const HTTP_ROUNDS = QUICK ? 1 : 4 * ROUNDS + 1
const GOAL = 'at least 0.85 of off'
const CPU_GOAL = 'at most 1.18x off'

interface Server {
  name: string
  goal: boolean
  child: ChildProcess
  url: string
  rates: number[]
  cpuUs: number[]
}

/** A collector that reads what it is sent and says so. */
export async function startCollector() {
  const server = createServer((request, response) => {
    request
      .resume()
      .on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { endpoint: `http://127.0.0.1:${port}`, close: () => server.close().closeAllConnections() }
}

export async function httpRows(): Promise<BenchRow[]> {
  const collector = await startCollector()
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint }
  const ratio = (share: string) => ({
    ...on,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: share,
  })
  const servers = [
    await start('off', {}, false),
    await start('metrics and traces', on, true),
    await start('metrics and traces, 0.1 sampled', ratio('0.1'), false),
    await start('metrics and traces, all sampled', ratio('1'), false),
  ]
  for (let round = 0; round < WARM_UPS + HTTP_ROUNDS; round++) {
    // There and back, so that none always comes after the same other one.
    const inTurn = round % 2 === 0 ? servers : servers.toReversed()
    for (const server of inTurn) await load(server, round >= WARM_UPS)
  }
  const rows = servers.flatMap(server => rowsOf(server, servers[0]!))
  const { wanted, kept } = await figures(servers.at(-1)!.child)
  rows.push(shareRow('HTTP request to a service', kept, wanted))
  for (const { child } of servers) {
    const exited = once(child, 'exit')
    child.disconnect()
    await exited
  }
  collector.close()
  return rows
}

/** Where all traces are to be kept, and their spans come faster than they can be exported, some are not begun. */
export function shareRow(what: string, kept: number, wanted: number): BenchRow {
  return { name: `${what}, telemetry: all sampled, share that had room`, value: kept / wanted, unit: 'x' }
}

async function start(name: string, env: Record<string, string>, goal: boolean): Promise<Server> {
  const child = fork(fileURLToPath(new URL('telemetry-server.ts', import.meta.url)), {
    env: { ...process.env, ...env },
  })
  const { url } = (await said(child)) as { url: string }
  return { name, goal, child, url, rates: [], cpuUs: [] }
}

async function load({ name, child, url, rates, cpuUs }: Server, counts: boolean): Promise<void> {
  const before = await figures(child)
  const result = await autocannon({ url: `${url}/where`, connections: 64, duration: SECONDS, workers: 1 })
  const after = await figures(child)
  const done = result['2xx']
  if (done === 0 || result.non2xx > 0 || result.errors > 0) {
    throw new Error(`${name}: ${done} answers, ${result.non2xx} with another status, ${result.errors} errors`)
  }
  if (!counts) return
  rates.push(done / result.duration)
  cpuUs.push(((after.cpuMs - before.cpuMs) / done) * 1000)
}

function rowsOf(server: Server, off: Server): BenchRow[] {
  const name = `HTTP request to a service, telemetry: ${server.name}`
  const beside = (key: 'rates' | 'cpuUs', goal: string) => ({
    ...(server !== off && { peers: { off: median(off[key]) } }),
    ...(server.goal && { goal }),
  })
  return [
    { name, value: Math.round(median(server.rates)), unit: 'requests/s', ...beside('rates', GOAL) },
    {
      name: `${name}, processor time of the server`,
      value: median(server.cpuUs),
      unit: 'us',
      ...beside('cpuUs', CPU_GOAL),
    },
  ]
}

async function figures(child: ChildProcess) {
  child.send('figures')
  return (await said(child)) as Extract<FromServer, { cpuMs: number }>
}

/** What the process says next. Rejects when it ends instead. */
async function said(child: ChildProcess): Promise<FromServer> {
  const over = new AbortController()
  const options = { signal: over.signal }
  const ended = once(child, 'exit', options).then(([code]) => {
    throw new Error(`the server of the benchmark ended with exit code ${code}`)
  })
  try {
    const [message] = (await Promise.race([once(child, 'message', options), ended])) as [FromServer]
    return message
  } finally {
    ended.catch(() => {})
    over.abort()
  }
}
