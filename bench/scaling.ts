/** A service with 20 microseconds of work, in one worker and in two, beside bare threads that do the same work. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { startNode } from '../core/node.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { medians, QUICK } from './measure.ts'
import type { BenchRow } from './row.ts'
import { type Drive, stepsFor } from './scaling-thread.ts'

const WORK_US = 20
const ROUND_MS = QUICK ? 50 : 800
const THREAD = new URL('./scaling-thread.ts', import.meta.url)

export async function run(): Promise<BenchRow[]> {
  const steps = stepsFor(WORK_US)
  const node = await startNode({ boot: THREAD, config: { steps }, workers: 2, log: silentLogger })
  const threads = [0, 1].map(() => new Worker(THREAD, { workerData: { bareSteps: steps } }))
  const drive = (service: string, workers: number) => async () => {
    const request: Drive = { service, ms: ROUND_MS }
    const counts = node.host.workers.slice(0, workers).map(worker => worker.request('drive', request))
    return perSecond((await Promise.all(counts)) as number[])
  }
  const loop = (count: number) => async () => {
    const answers = threads.slice(0, count).map(thread => once(thread, 'message'))
    for (const thread of threads.slice(0, count)) thread.postMessage({ ms: ROUND_MS })
    return perSecond((await Promise.all(answers)).map(([done]) => done as number))
  }
  const rates = await medians(
    {
      bare1: loop(1),
      local1: drive('localFirst', 1),
      bare2: loop(2),
      local2: drive('localFirst', 2),
      spread2: drive('roundRobin', 2),
    },
    measure => measure(),
  )
  await Promise.all(threads.map(thread => thread.terminate()))
  await node.stop(1_000)
  const [one, ideal] = [rates.local1!, rates.bare2! / rates.bare1!]
  const row = { unit: 'x', limit: ideal }
  return [
    {
      name: '1 -> 2 workers, 20 us of work, calls stay in their worker',
      value: rates.local2! / one,
      ...row,
      goal: 'at least 1.8 x',
    },
    { name: '1 -> 2 workers, 20 us of work, calls take turns', value: rates.spread2! / one, ...row },
    { name: 'calls with 20 us of work, one worker', value: one, unit: 'calls/s', limit: rates.bare1! },
  ]
}

function perSecond(counts: readonly number[]): number {
  return (counts.reduce((sum, count) => sum + count, 0) / ROUND_MS) * 1000
}
