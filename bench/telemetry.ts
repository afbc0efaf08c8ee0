/** What telemetry costs: `invoke` on one worker with it off, with metrics on, and with traces on. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import autocannon from 'autocannon'
import { serviceActor } from '../actors/service-host.ts'
import { startProject } from '../cli/start.ts'
import { ActorSystem } from '../core/actor/index.ts'
import type { Node } from '../core/node.ts'
import { Type } from '../core/schema.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { Service } from '../core/service/service.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { measureServices } from '../core/telemetry/meters.ts'
import { setTracer } from '../core/telemetry/observe.ts'
import { startTraces } from '../core/telemetry/open-telemetry.ts'
import { telemetrySettings } from '../core/telemetry/options.ts'
import { urlOf } from '../test/faulty-bus.ts'
import { QUICK, ROUNDS } from './measure.ts'
import type { BenchRow } from './row.ts'

const MEASURE_MS = QUICK ? 20 : 300
const IN_FLIGHT = 64

let handled = 0

class Echo extends Service<unknown> {
  static override input = Type.Object({ id: Type.Integer() })
  static override output = Type.Object({ id: Type.Integer() })
  handle(order: unknown) {
    handled++
    return order
  }
}

/** One way to run: switched on, measured, switched off. */
interface Mode {
  name: string
  on(): void
  off(): void
}

function startSystem(): ActorSystem {
  const system = new ActorSystem()
  const ports: ServicePorts = {
    clock: system.clock,
    log: silentLogger,
    ask: (service, payload, options) => system.ask(`service/${service}`, payload, options),
    tell: (service, payload, options) => system.tell(`service/${service}`, payload, options),
    connection: () => {
      throw new Error('no connections here')
    },
    keep: () => Promise.reject(new Error('this benchmark keeps nothing')),
    cpu: () => Promise.reject(new Error('no CPU pool here')),
  }
  const runner = new ServiceRunner('echo', Echo, ports)
  system.spawn('service/echo', serviceActor(system, runner))
  return system
}

type Call = (order: { id: number }) => Promise<unknown>

/** Calls that were handled per second, 64 in flight. */
async function rate(call: Call): Promise<number> {
  const before = handled
  const begin = performance.now()
  const end = begin + MEASURE_MS
  const caller = async () => {
    while (performance.now() < end) {
      // Several calls between two looks at the clock.
      for (let i = 0; i < 16; i++) await call({ id: i })
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller))
  return ((handled - before) / (performance.now() - begin)) * 1000
}

/** The limit: a function behind an array that is drained once per microtask, without anything of the bus. */
function bareCall(): Call {
  let queue: (() => void)[] = []
  const drain = () => {
    const waiting = queue
    queue = []
    for (const run of waiting) run()
  }
  return order =>
    new Promise(resolve => {
      if (queue.length === 0) queueMicrotask(drain)
      queue.push(() => {
        handled++
        resolve(order)
      })
    })
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}

/** A collector that reads what it is sent and says so. */
async function startCollector() {
  const server = createServer((request, response) => {
    request
      .resume()
      .on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end())
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return { endpoint: `http://127.0.0.1:${port}`, close: () => server.close().closeAllConnections() }
}

async function modes(endpoint: string): Promise<{ modes: Mode[]; stop(): Promise<void> }> {
  const settings = telemetrySettings({ traces: { endpoint, sampleRatio: 1 } }, {})
  const speaker = { node: 'bench', worker: '0', log: silentLogger }
  const all = await startTraces(settings, speaker)
  const tenth = await startTraces({ ...settings, traces: { ...settings.traces!, ratio: 0.1 } }, speaker)
  const off = () => {
    measureServices(false)
    setTracer(undefined)
  }
  const traced = (name: string, { tracer }: typeof all): Mode => ({
    name,
    on: () => {
      measureServices(true)
      setTracer(tracer)
    },
    off,
  })
  return {
    modes: [
      { name: 'off', on: off, off },
      { name: 'metrics', on: () => measureServices(true), off },
      traced('metrics and traces, 0.1 sampled', tenth),
      traced('metrics and traces, all sampled', all),
    ],
    stop: async () => {
      await all.stop()
      await tenth.stop()
    },
  }
}

/** Alternating rounds; the ratios are of medians of one run. */
export async function run(): Promise<BenchRow[]> {
  return [...(await invokeRows()), ...(await httpRows())]
}

async function invokeRows(): Promise<BenchRow[]> {
  const collector = await startCollector()
  const system = startSystem()
  const { modes: list, stop } = await modes(collector.endpoint)
  const invoke: Call = order => system.ask('service/echo', order)
  const bare = bareCall()
  const limits: number[] = []
  const rates = new Map<string, number[]>(list.map(({ name }) => [name, []]))
  for (let round = -1; round < ROUNDS; round++) {
    const limit = await rate(bare)
    if (round >= 0) limits.push(limit)
    for (const mode of list) {
      mode.on()
      const measured = await rate(invoke)
      mode.off()
      if (round >= 0) rates.get(mode.name)!.push(measured)
    }
  }
  await system.shutdown()
  await stop()
  collector.close()
  return rowsOf('service invoke, same worker', rates, median(limits))
}

function rowsOf(what: string, rates: ReadonlyMap<string, number[]>, limit?: number): BenchRow[] {
  const base = median(rates.get('off')!)
  return Array.from(rates, ([name, values]) => {
    const value = Math.round(median(values))
    const row = {
      name: `${what}, telemetry: ${name}`,
      value,
      unit: 'calls/s',
      ...(limit && { limit: Math.round(limit) }),
    }
    return name === 'off' ? row : { ...row, peers: { off: Math.round(base) }, goal: 'at least 0.85 of off' }
  })
}

const HTTP_SECONDS = QUICK ? 0.4 : 2
const PLAIN = fileURLToPath(new URL('../test/projects/plain', import.meta.url))

/** The whole way of a request: HTTP channel, service, answer; the nodes stay up and are loaded in turn. */
async function httpRows(): Promise<BenchRow[]> {
  const collector = await startCollector()
  const endpoint = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
  }
  const environments: [string, Record<string, string>][] = [
    ['off', {}],
    ['metrics and traces, 0.1 sampled', { ...endpoint, OTEL_TRACES_SAMPLER_ARG: '0.1' }],
    ['metrics and traces, all sampled', { ...endpoint, OTEL_TRACES_SAMPLER_ARG: '1' }],
  ]
  const buses: { name: string; node: Node; url: string }[] = []
  for (const [name, environment] of environments) {
    Object.assign(process.env, environment)
    const { node } = await startProject(PLAIN, { workers: 1 })
    buses.push({ name, node, url: await urlOf(node) })
    for (const key of Object.keys(environment)) delete process.env[key]
  }
  const rates = new Map<string, number[]>(buses.map(({ name }) => [name, []]))
  for (let round = -1; round < 3; round++) {
    for (const { name, url } of buses) {
      const result = await autocannon({
        url: `${url}/where`,
        connections: 64,
        duration: HTTP_SECONDS,
        workers: 1,
      })
      if (result.non2xx > 0 || result.errors > 0)
        throw new Error(`${name}: ${result.non2xx + result.errors} requests failed`)
      if (round >= 0) rates.get(name)!.push(result['2xx'] / result.duration)
    }
  }
  for (const { node } of buses) await node.stop(2_000)
  collector.close()
  return rowsOf('HTTP request to a service', rates)
}
