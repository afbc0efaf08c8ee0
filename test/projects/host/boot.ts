/** The boot module of the tests of worker hosts: one actor that misbehaves as it is told, and starts that fail. */
import { existsSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { parentPort, threadId } from 'node:worker_threads'
import type { WorkerContext, WorkerHooks } from '../../../core/worker/worker-context.ts'

export interface HostConfig {
  /** What goes wrong at the start; with `broken` only while that file exists. */
  start?: 'throw' | 'exit' | 'spin' | 'hang'
  broken?: string
  drainMs?: number
}

const later = (run: () => void) => {
  setImmediate(run)
  return new Promise<never>(() => {})
}

const FAULTS: Record<string, () => unknown> = {
  where: () => threadId,
  exit: () => process.exit(7),
  throw: () =>
    later(() => {
      throw new Error('thrown outside any actor')
    }),
  reject: () => later(() => void Promise.reject(new Error('never handled'))),
  garbage: () => {
    for (const message of [
      null,
      7,
      'ready',
      { type: 'reply', id: 99 },
      { type: 'nonsense' },
      { type: 'cpuCancel' },
    ]) {
      parentPort!.postMessage(message)
    }
    return threadId
  },
}

const STARTS: Record<string, () => unknown> = {
  throw: () => {
    throw new Error('broken on purpose')
  },
  exit: () => process.exit(3),
  spin: () => {
    for (;;);
  },
  hang: () => new Promise(() => {}),
}

export default async function boot(worker: WorkerContext): Promise<WorkerHooks> {
  const { start, broken, drainMs = 0 } = worker.config as HostConfig
  if (start && (broken === undefined || existsSync(broken))) await STARTS[start]!()
  const behaviour = () => ({ receive: (fault: unknown) => FAULTS[fault as string]!() })
  worker.declare('service/fault', { placement: 'everyWorker', spec: { concurrency: 16, behaviour } })
  return { drain: () => wait(drainMs) }
}
