/**
 * The work of the scaling benchmark, in three ways: as the boot module of a worker, whose service `work` is asked by
 * an actor in the same worker; as a bare thread that does the same work in a loop; and as a measure of its length.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { servicePlacement } from '../actors/service-host.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { service } from '../core/service/service.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import type { WorkerContext, WorkerHooks } from '../core/worker/worker-context.ts'

const LANES = 64

/** What a worker is told to do. */
export interface Drive {
  service: string
  ms: number
}

/** Computes `steps` steps; the result depends on each of them. */
export function work(steps: number): number {
  let state = steps | 1
  for (let i = 0; i < steps; i++) state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) | 1
  return state
}

/** How many steps take so many microseconds on this machine. */
export function stepsFor(us: number): number {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < 50; i++) {
    const start = performance.now()
    work(100_000)
    best = Math.min(best, performance.now() - start)
  }
  return Math.round((us / 1000 / best) * 100_000)
}

export default function boot(worker: WorkerContext): WorkerHooks {
  const { steps } = worker.config as { steps: number }
  const { system } = worker
  const ports = { clock: system.clock, log: silentLogger } as ServicePorts
  for (const balance of ['localFirst', 'roundRobin'] as const) {
    const type = service({ balance, handle: () => work(steps) })
    worker.declare(`service/${balance}`, servicePlacement(system, new ServiceRunner(balance, type, ports)))
  }
  return {
    requests: {
      drive: ({ service, ms }: Drive) => untilThen(ms, () => system.ask(`service/${service}`, undefined)),
    },
  }
}

/** Keeps so many calls in flight for `ms`, and returns how many were answered. */
async function untilThen(ms: number, call: () => Promise<unknown>): Promise<number> {
  const end = performance.now() + ms
  let answered = 0
  const lane = async () => {
    while (performance.now() < end) {
      await call()
      answered++
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return answered
}

const bare = workerData as { bareSteps?: number } | null
if (bare?.bareSteps !== undefined) {
  parentPort!.on('message', ({ ms }: { ms: number }) => {
    const end = performance.now() + ms
    let done = 0
    for (; performance.now() < end; done++) work(bare.bareSteps!)
    parentPort!.postMessage(done)
  })
}
