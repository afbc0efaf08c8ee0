/**
 * What telemetry costs: `invoke` within one worker and HTTP requests to a service, with it off, with metrics, with
 * traces as they are kept by default, a tenth of them, and all of them.
 */
import { setImmediate } from 'node:timers/promises'
import { serviceActor } from '../actors/service-host.ts'
import { ActorSystem } from '../core/actor/index.ts'
import { Type } from '../core/schema.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { Service } from '../core/service/service.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { measureServices } from '../core/telemetry/meters.ts'
import { setTracer } from '../core/telemetry/observe.ts'
import { telemetrySettings } from '../core/telemetry/options.ts'
import { RecordTracer } from '../core/telemetry/record-tracer.ts'
import { RootSampler, type TraceCounts } from '../core/telemetry/root-sampler.ts'
import { SpanExport } from '../core/telemetry/span-export.ts'
import { maxQueuedSpans, SpanOutbox } from '../core/telemetry/span-outbox.ts'
import { median, QUICK, ROUNDS } from './measure.ts'
import type { BenchRow } from './row.ts'
import { httpRows, shareRow, startCollector } from './telemetry-http.ts'

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
  /** What it has decided on traces that began. */
  roots?: TraceCounts
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

/** Calls that were handled per second of this thread's processor time, 64 in flight: others may want the cores too. */
async function rate(call: Call): Promise<number> {
  const before = handled
  const begin = process.threadCpuUsage()
  const end = performance.now() + MEASURE_MS
  const caller = async () => {
    while (performance.now() < end) {
      // Several calls between two looks at the clock and two turns of the event loop.
      for (let i = 0; i < 16; i++) await call({ id: i })
      await setImmediate()
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller))
  const { user, system } = process.threadCpuUsage(begin)
  return ((handled - before) / (user + system)) * 1e6
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

function modes(endpoint: string): { modes: Mode[]; stop(): Promise<void> } {
  const settings = telemetrySettings({ traces: { endpoint } }, {})
  const spans = new SpanExport({ node: 'bench', settings }, silentLogger, () => {})
  const off = () => {
    measureServices(false)
    setTracer(undefined)
  }
  const traced = (name: string, ratio: number, maxPerSecond?: number): Mode => {
    const outbox = new SpanOutbox(maxQueuedSpans())
    outbox.connect(spans.connect('0')!)
    const sampler = new RootSampler(ratio, maxPerSecond, () => outbox.full)
    const tracer = new RecordTracer(outbox, sampler)
    const on = () => {
      measureServices(true)
      setTracer(tracer)
    }
    return { name, on, off, roots: sampler.counts }
  }
  return {
    modes: [
      { name: 'off', on: off, off },
      { name: 'metrics', on: () => measureServices(true), off },
      traced('metrics and traces', 1, settings.traces!.maxPerSecond),
      traced('metrics and traces, 0.1 sampled', 0.1),
      traced('metrics and traces, all sampled', 1),
    ],
    stop: () => spans.stop(),
  }
}

/** Alternating rounds; the ratios are of medians of one run. */
export async function run(): Promise<BenchRow[]> {
  return [...(await invokeRows()), ...(await httpRows())]
}

async function invokeRows(): Promise<BenchRow[]> {
  const collector = await startCollector()
  const system = startSystem()
  const { modes: list, stop } = modes(collector.endpoint)
  const invoke: Call = order => system.ask('service/echo', order)
  const bare = bareCall()
  const limits: number[] = []
  const rates = new Map<string, number[]>(list.map(({ name }) => [name, []]))
  for (let round = -1; round < 2 * ROUNDS; round++) {
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
  const rows = rowsOf('service invoke, same worker', rates, median(limits))
  const { kept, queue } = list.at(-1)!.roots!
  return [...rows, shareRow('service invoke', kept, kept + queue)]
}

/** What is on by default must not cost much; beyond it, the figures say what it costs. */
function rowsOf(what: string, rates: ReadonlyMap<string, number[]>, limit: number): BenchRow[] {
  const off = Math.round(median(rates.get('off')!))
  return Array.from(rates, ([name, values]) => ({
    name: `${what}, telemetry: ${name}`,
    value: Math.round(median(values)),
    unit: 'calls/s',
    limit: Math.round(limit),
    ...(name !== 'off' && { peers: { off } }),
  }))
}
