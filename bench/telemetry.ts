/** What telemetry costs: `invoke` on one worker with it off, with metrics on, and with traces on. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serviceActor } from '../actors/service-host.ts'
import { ActorSystem } from '../core/actor/index.ts'
import { Type } from '../core/schema.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { Service } from '../core/service/service.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { measureServices } from '../core/telemetry/meters.ts'
import { setTracer } from '../core/telemetry/observe.ts'
import { startTraces } from '../core/telemetry/open-telemetry.ts'
import { telemetrySettings } from '../core/telemetry/options.ts'
import type { BenchRow } from './row.ts'

const MEASURE_MS = 300
const ROUNDS = 5
const IN_FLIGHT = 64

class Echo extends Service<unknown> {
  static override input = Type.Object({ id: Type.Integer() })
  static override output = Type.Object({ id: Type.Integer() })
  handle(order: unknown) {
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
    cpu: () => Promise.reject(new Error('no CPU pool here')),
  }
  const runner = new ServiceRunner('echo', Echo, ports)
  system.spawn('service/echo', serviceActor(system, runner))
  return system
}

/** Calls per second, 64 in flight. */
async function rate(system: ActorSystem): Promise<number> {
  let calls = 0
  const end = performance.now() + MEASURE_MS
  const begin = performance.now()
  const caller = async () => {
    while (performance.now() < end) {
      // Several calls between two looks at the clock.
      for (let i = 0; i < 16; i++) await system.ask('service/echo', { id: calls++ })
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller))
  return (calls / (performance.now() - begin)) * 1000
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
  const collector = await startCollector()
  const system = startSystem()
  const { modes: list, stop } = await modes(collector.endpoint)
  const rates = new Map<string, number[]>(list.map(({ name }) => [name, []]))
  for (let round = -1; round < ROUNDS; round++) {
    for (const mode of list) {
      mode.on()
      const measured = await rate(system)
      mode.off()
      if (round >= 0) rates.get(mode.name)!.push(measured)
    }
  }
  await system.shutdown()
  await stop()
  collector.close()
  const base = median(rates.get('off')!)
  return list.flatMap(({ name }) => {
    const value = median(rates.get(name)!)
    const row: BenchRow = {
      name: `service invoke, same worker: telemetry ${name}`,
      value: Math.round(value),
      unit: 'calls/s',
    }
    if (name === 'off') return [row]
    return [
      row,
      {
        name: `telemetry ${name}: share of the throughput that is left`,
        value: value / base,
        unit: 'ratio',
        limit: 1,
        goal: 'at least 0.85',
      },
    ]
  })
}
