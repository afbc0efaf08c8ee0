/** Hot deployment: from a file that is saved to its new version on every worker, while requests go on. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import autocannon from 'autocannon'
import type { ServiceView } from '../actors/service-units.ts'
import { hashOf } from '../actors/unit-registry.ts'
import { type RunningProject, startProject } from '../cli/start.ts'
import { median, QUICK } from './measure.ts'
import type { BenchRow } from './row.ts'

const CORE = new URL('../core/index.ts', import.meta.url).href
const FILE = 'version.ts'
const DEPLOYMENTS = QUICK ? 3 : 100
const WARM_UP = QUICK ? 0 : 5
const PER_SECOND = 500
const CONNECTIONS = 16
const GIVE_UP_MS = 20_000

export async function run(): Promise<BenchRow[]> {
  const root = mkdtempSync(join(tmpdir(), 'signalbox-bench-'))
  let bus: RunningProject | undefined
  try {
    mkdirSync(join(root, 'services'))
    writeFileSync(join(root, 'services', FILE), source(0))
    writeFileSync(
      join(root, 'signalbox.yaml'),
      `workers: 2
channels:
  - { name: public, type: http, options: { port: 0, routes: [{ path: /version, service: version }] } }
`,
    )
    bus = await startProject(root)
    return rows(await underLoad(bus, root))
  } finally {
    await bus?.stop(1_000)
    rmSync(root, { recursive: true, force: true })
  }
}

/** The times of all deployments in milliseconds. Rejects when a request fails meanwhile. */
async function underLoad(bus: RunningProject, root: string): Promise<number[]> {
  const url = `${await endpointOf(bus)}/version`
  const ended = Promise.withResolvers<autocannon.Result>()
  const load = autocannon(
    { url, connections: CONNECTIONS, overallRate: PER_SECOND, duration: 3_600 },
    (error, result) => (error ? ended.reject(error) : ended.resolve(result)),
  )
  const times: number[] = []
  try {
    for (let version = 1; version <= WARM_UP + DEPLOYMENTS; version++) {
      const ms = await saved(bus, join(root, 'services', FILE), source(version))
      if (version > WARM_UP) times.push(ms)
    }
  } finally {
    load.stop()
  }
  const { non2xx, errors } = await ended.promise
  if (non2xx + errors > 0) throw new Error(`${non2xx + errors} requests failed during the deployments`)
  return times
}

function rows(times: number[]): BenchRow[] {
  const name = 'hot deployment: file saved to live on every worker'
  const p99 = times.toSorted((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1]!
  return [
    { name: `${name}, p50`, value: median(times), unit: 'ms' },
    { name: `${name}, p99`, value: p99, unit: 'ms', goal: 'at most 1,000 ms' },
  ]
}

/** Saves a version; resolves with the time until every worker runs it. */
async function saved(bus: RunningProject, path: string, text: string): Promise<number> {
  const version = hashOf(text)
  const begin = performance.now()
  writeFileSync(path, text)
  while (!(await isLive(bus, version))) {
    if (performance.now() - begin > GIVE_UP_MS) throw new Error('the version that was saved is not live')
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  return performance.now() - begin
}

async function isLive({ node }: RunningProject, version: string): Promise<boolean> {
  const ready = node.host.workers.filter(({ state }) => state === 'ready')
  const lists = (await Promise.all(
    ready.map(worker => worker.request('services', undefined)),
  )) as ServiceView[][]
  return (
    lists.length >= 2 &&
    lists.every(list => list.some(view => view.file === FILE && view.version === version))
  )
}

async function endpointOf({ node }: RunningProject): Promise<string> {
  const { workers } = await node.inspect()
  const actors = workers.flatMap(worker => worker.actors as { address: string; endpoint?: string }[])
  return actors.find(({ address }) => address === 'channel/http/public')!.endpoint!
}

function source(version: number): string {
  return `import { Service } from '${CORE}'
export default class extends Service {
  handle() {
    return { version: ${version} }
  }
}
`
}
