/** What the audit log costs: HTTP requests to a service with it off, on, with services, and with bodies; in turn. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import autocannon from 'autocannon'
import type { FromServer } from './audit-server.ts'
import { median, QUICK, ROUNDS, WARM_UPS } from './measure.ts'
import type { BenchRow } from './row.ts'

const SECONDS = QUICK ? 0.4 : 1
/** Many and short: the cores are shared with the load, and with whatever else runs. */
const HTTP_ROUNDS = QUICK ? 1 : 4 * ROUNDS + 1
const GOAL = 'at least 0.9 of off'

interface Server {
  name: string
  goal: boolean
  child: ChildProcess
  url: string
  rates: number[]
  cpuUs: number[]
  requests: number
}

type Figures = Extract<FromServer, { cpuMs: number }>

/** Alternating rounds; the ratios are of medians of one run. */
export async function run(): Promise<BenchRow[]> {
  const servers = [
    await start('off', 'false', 'false', 'none', false),
    await start('on, without bodies', 'true', 'false', 'none', true),
    await start('on, with services', 'true', 'true', 'none', false),
    await start('on, with all bodies', 'true', 'false', 'all', false),
  ]
  for (let round = 0; round < WARM_UPS + HTTP_ROUNDS; round++) {
    // There and back, so that none always comes after the same other one.
    for (const server of round % 2 === 0 ? servers : servers.toReversed())
      await load(server, round >= WARM_UPS)
  }
  const rows = servers.flatMap(server => rowsOf(server, servers[0]!))
  rows.push(await shareRow(servers[1]!))
  for (const { child } of servers) {
    const exited = once(child, 'exit')
    child.disconnect()
    await exited
  }
  return rows
}

/** A log that drops would look cheap. */
async function shareRow({ name, child, requests }: Server): Promise<BenchRow> {
  const { records } = await figures(child)
  return {
    name: `audit log: ${name}, share of requests that were recorded`,
    value: records / requests,
    unit: 'x',
  }
}

async function start(
  name: string,
  enabled: string,
  services: string,
  bodies: string,
  goal: boolean,
): Promise<Server> {
  const child = fork(fileURLToPath(new URL('audit-server.ts', import.meta.url)), {
    env: {
      ...process.env,
      SIGNALBOX_BENCH_AUDIT: enabled,
      SIGNALBOX_BENCH_AUDIT_SERVICES: services,
      SIGNALBOX_BENCH_AUDIT_BODIES: bodies,
    },
  })
  const { url } = (await said(child)) as { url: string }
  return { name, goal, child, url, rates: [], cpuUs: [], requests: 0 }
}

async function load(server: Server, counts: boolean): Promise<void> {
  const { name, child, url, rates, cpuUs } = server
  const before = await figures(child)
  const result = await autocannon({ url: `${url}/hello`, connections: 64, duration: SECONDS, workers: 1 })
  const after = await figures(child)
  const done = result['2xx']
  if (done === 0 || result.non2xx > 0 || result.errors > 0) {
    throw new Error(`${name}: ${done} answers, ${result.non2xx} with another status, ${result.errors} errors`)
  }
  server.requests += done
  if (!counts) return
  rates.push(done / result.duration)
  cpuUs.push(((after.cpuMs - before.cpuMs) / done) * 1000)
}

function rowsOf(server: Server, off: Server): BenchRow[] {
  const name = `HTTP request to a service, audit log: ${server.name}`
  const beside = (key: 'rates' | 'cpuUs') => ({
    ...(server !== off && { peers: { off: median(off[key]) } }),
    ...(server.goal && key === 'rates' && { goal: GOAL }),
  })
  return [
    { name, value: Math.round(median(server.rates)), unit: 'requests/s', ...beside('rates') },
    {
      name: `${name}, processor time of the server`,
      value: median(server.cpuUs),
      unit: 'us',
      ...beside('cpuUs'),
    },
  ]
}

async function figures(child: ChildProcess): Promise<Figures> {
  child.send('figures')
  return (await said(child)) as Figures
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
