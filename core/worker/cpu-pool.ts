/** CPU-heavy work off the event loop: a pool of threads for functions that services hand over. */
import { availableParallelism } from 'node:os'
import { isAbsolute } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { type Clock, systemClock, type Timer } from '../clock.ts'
import { fromWire, SignalboxError, type WireError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { type CpuRequest, type CpuResponse, decodePayload, encodePayload, movable } from './cpu-task.ts'
import { keepLoopsInterruptible } from './interruptible.ts'

export interface CpuPoolOptions {
  /** Tasks that run at once, each in its own thread. Default: as many as there are cores. */
  maxThreads?: number
  /** How long a thread without work is kept, in milliseconds. Default 30,000. */
  idleTimeoutMs?: number
  /** Tasks that may wait for a thread; one more is refused. Default 1,000. */
  maxQueue?: number
  /** Memory that a task may use, JavaScript heap and Buffers together, in MiB. Default 1,024. Looked at every 25 ms. */
  maxHeapMb?: number
  log: Logger
  clock?: Clock
}

export interface CpuRunOptions {
  /** Time limit in milliseconds, waiting for a thread included. Default 30,000. */
  timeoutMs?: number
  /** The same as a point in time, milliseconds since the epoch; the earlier of the two counts. */
  deadlineAt?: number
  /** Gives the task up. */
  signal?: AbortSignal
}

export interface CpuPoolStats {
  threads: number
  running: number
  waiting: number
  /** Since the start: tasks that gave a value, that failed, and that were stopped by their time limit or caller. */
  succeeded: number
  failed: number
  stopped: number
}

interface Task {
  readonly file: string
  readonly request: CpuRequest
  readonly buffers: ArrayBuffer[]
  /** Aborting it ends the thread that runs the task. */
  readonly stop: AbortController
  readonly settle: (result: { value: unknown } | { error: SignalboxError }) => void
  readonly release: () => void
}

const TASK_FILE = fileURLToPath(
  new URL(`./cpu-task${import.meta.url.endsWith('.js') ? '.js' : '.ts'}`, import.meta.url),
)
const DEFAULT_TIMEOUT_MS = 30_000

/**
 * Runs tasks in threads, first come, first served. Starts no thread before the first task. A thread is used for one
 * task at a time and then for the next, so what a task leaves running may disturb a later one.
 */
export class CpuPool {
  readonly #options: Required<CpuPoolOptions>
  #piscina: Piscina | undefined
  /** Our own queue, because piscina's stands still when the last thread is ended. */
  readonly #waiting = new Set<Task>()
  readonly #running = new Set<Task>()
  /** Every thread that has not ended yet, also those that piscina has let go. */
  readonly #threads = new Set<Worker>()
  /** Threads that were asked for the size of their heap and have not answered. */
  readonly #asked = new Set<Worker>()
  #heapWatch: NodeJS.Timeout | undefined
  #closed = false
  #succeeded = 0
  #failed = 0
  #stopped = 0

  constructor(options: CpuPoolOptions) {
    this.#options = {
      maxThreads: availableParallelism(),
      idleTimeoutMs: 30_000,
      maxQueue: 1_000,
      maxHeapMb: 1_024,
      clock: systemClock,
      ...options,
    }
  }

  /**
   * Calls the default export of `file` (an absolute path or a file: URL; TypeScript is run directly) with `payload`
   * in a thread, and resolves with what it returns. Both travel as messages do, see core/router/codec.ts.
   *
   * Rejects with SIGNALBOX_CPU_TIMEOUT or SIGNALBOX_CANCELLED when the time is up or `signal` is aborted: a task
   * that runs by then is ended together with its thread. Rejects with SIGNALBOX_CPU_FAILED when the file does not
   * load, the task throws, exits or exhausts its heap; with the task's own error when that has a code and a status;
   * with SIGNALBOX_OVERLOADED when too many tasks wait; with SIGNALBOX_CANCELLED (retryable) when the pool closes.
   */
  run(file: URL | string, payload: unknown, options: CpuRunOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw poolClosed()
      if (options.signal?.aborted) throw cancelled(options.signal)
      const timeoutMs = this.#timeLeft(options)
      if (timeoutMs <= 0) throw timedOut(String(file), timeoutMs)
      if (this.#waiting.size >= this.#options.maxQueue && !this.#hasFreeThread()) throw this.#overloaded()
      const task = this.#createTask(fileUrl(file), payload, timeoutMs, options.signal, resolve, reject)
      this.#waiting.add(task)
      this.#dispatch()
    })
  }

  /** What the pool does at the moment, and has done. */
  stats(): CpuPoolStats {
    return {
      threads: this.#threads.size,
      running: this.#running.size,
      waiting: this.#waiting.size,
      succeeded: this.#succeeded,
      failed: this.#failed,
      stopped: this.#stopped,
    }
  }

  /** Ends all threads; tasks that run or wait are cancelled. Resolves when every thread has ended. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    for (const task of [...this.#waiting, ...this.#running]) this.#stop(task, poolClosed())
    await this.#piscina?.destroy()
    await Promise.all(Array.from(this.#threads, ended))
  }

  #timeLeft({
    timeoutMs = DEFAULT_TIMEOUT_MS,
    deadlineAt = Number.POSITIVE_INFINITY,
  }: CpuRunOptions): number {
    if (Number.isNaN(timeoutMs) || Number.isNaN(deadlineAt)) {
      throw new SignalboxError('SIGNALBOX_USAGE', 'timeoutMs and deadlineAt of a CPU task are numbers')
    }
    return Math.min(timeoutMs, deadlineAt - this.#options.clock.now(), MAX_TIMER_MS)
  }

  #hasFreeThread(): boolean {
    return this.#running.size < this.#options.maxThreads
  }

  #overloaded(): SignalboxError {
    const { maxQueue } = this.#options
    return new SignalboxError('SIGNALBOX_OVERLOADED', `${maxQueue} CPU tasks wait for a thread already`, {
      details: { maxQueue },
      retryAfterMs: 1_000,
    })
  }

  #createTask(
    file: string,
    payload: unknown,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    resolve: (value: unknown) => void,
    reject: (error: SignalboxError) => void,
  ): Task {
    const { encoded, buffers } = movable(encodePayload(payload))
    const onAbort = () => this.#stop(task, cancelled(signal))
    const timer: Timer = this.#options.clock.after(timeoutMs, () =>
      this.#stop(task, timedOut(file, timeoutMs)),
    )
    signal?.addEventListener('abort', onAbort, { once: true })
    const task: Task = {
      file,
      request: { file, payload: encoded, thread: new Int32Array(new SharedArrayBuffer(4)) },
      buffers,
      stop: new AbortController(),
      settle: result => ('error' in result ? reject(result.error) : resolve(result.value)),
      release: () => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
      },
    }
    return task
  }

  #dispatch(): void {
    for (const task of this.#waiting) {
      if (!this.#hasFreeThread() || this.#closed) return
      this.#waiting.delete(task)
      this.#running.add(task)
      this.#heapWatch ??= setInterval(() => this.#checkHeaps(), HEAP_CHECK_MS).unref()
      void this.#execute(task)
    }
  }

  async #execute(task: Task): Promise<void> {
    let result: { value: unknown } | { error: SignalboxError }
    try {
      const { signal } = task.stop
      const work = this.#pool().run(task.request, { transferList: task.buffers, signal })
      this.#watchThreads()
      result = outcome(await work)
    } catch (error) {
      result = { error: threadFailed(task.file, error) }
    }
    // A task that was stopped has been settled and taken out already.
    if (this.#running.delete(task)) {
      if ('error' in result) this.#failed++
      else this.#succeeded++
      task.release()
      task.settle(result)
    }
    this.#dispatch()
  }

  #stop(task: Task, error: SignalboxError): void {
    if (!this.#waiting.delete(task) && !this.#running.delete(task)) return
    if (error.code === 'SIGNALBOX_CPU_FAILED') this.#failed++
    else this.#stopped++
    task.release()
    task.settle({ error })
    task.stop.abort()
    this.#dispatch()
  }

  /**
   * The heap limit of a thread is no safe fence: V8 aborts the whole process when one allocation, or what one
   * builtin allocates, goes past it (an array that grows, `fill`, `join`). So the real limit lies far above, and
   * threads that come near are ended before.
   */
  #checkHeaps(): void {
    if (this.#running.size === 0) {
      clearInterval(this.#heapWatch)
      this.#heapWatch = undefined
    }
    for (const thread of this.#threads) {
      // A thread in the middle of a long builtin answers late.
      if (this.#asked.has(thread)) continue
      this.#asked.add(thread)
      void this.#checkHeap(thread).finally(() => this.#asked.delete(thread))
    }
  }

  async #checkHeap(thread: Worker): Promise<void> {
    const { threadId } = thread
    try {
      const { used_heap_size: heap, external_memory: external } = await thread.getHeapStatistics()
      if (heap + external <= this.#options.maxHeapMb * MIB) return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_WORKER_NOT_RUNNING') {
        this.#options.log.error({ err: error }, 'The memory of a CPU thread cannot be watched')
      }
      return
    }
    const running = [...this.#running].find(task => task.request.thread[0] === threadId)
    if (running === undefined) await thread.terminate()
    else this.#stop(running, outOfMemory(running.file, this.#options.maxHeapMb))
  }

  #pool(): Piscina {
    this.#piscina ??= this.#createPool()
    return this.#piscina
  }

  #createPool(): Piscina {
    const { maxThreads, idleTimeoutMs, maxHeapMb, log } = this.#options
    keepLoopsInterruptible()
    const pool = new Piscina({
      filename: TASK_FILE,
      minThreads: 0,
      maxThreads,
      idleTimeout: idleTimeoutMs,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb + HEAP_HEADROOM_MB },
      // Otherwise a thread is blocked between tasks, and what one left behind breaks out in the middle of the next.
      atomics: 'disabled',
      recordTiming: false,
    })
    pool.on('error', (error: Error) =>
      log.warn({ err: error }, 'A CPU thread failed after its task had ended'),
    )
    return pool
  }

  #watchThreads(): void {
    for (const thread of this.#pool().threads) {
      if (this.#threads.has(thread)) continue
      this.#threads.add(thread)
      thread.once('exit', () => this.#threads.delete(thread))
    }
  }
}

const MIB = 1_048_576
const HEAP_CHECK_MS = 25
/** The largest single array of V8 has 1 GiB, and growing one needs the old and the new. */
const HEAP_HEADROOM_MB = 2_560

/** The longest time a timer of Node.js can wait. */
const MAX_TIMER_MS = 2_147_483_647

function ended(thread: Worker): Promise<void> {
  return new Promise(resolve => thread.once('exit', () => resolve()))
}

/** The module as a file: URL. */
function fileUrl(file: URL | string): string {
  const text = String(file)
  if (typeof file === 'string' && isAbsolute(file)) return pathToFileURL(file).href
  if (URL.canParse(text) && new URL(text).protocol === 'file:') return text
  throw new SignalboxError('SIGNALBOX_USAGE', `A CPU task is a file: URL or an absolute path, not '${text}'`)
}

function outcome(response: CpuResponse): { value: unknown } | { error: SignalboxError } {
  const payload = decodePayload(response.payload)
  if (response.outcome === 'value') return { value: payload }
  const error = fromWire(payload as WireError)
  if (response.trace !== undefined) error.cause = response.trace
  return { error }
}

/** The thread ended under its task. */
function threadFailed(file: string, error: unknown): SignalboxError {
  const reason = error instanceof Error ? error.message : String(error)
  return new SignalboxError('SIGNALBOX_CPU_FAILED', `CPU task ${file} failed: its thread ended: ${reason}`, {
    cause: error,
  })
}

function outOfMemory(file: string, maxHeapMb: number): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_CPU_FAILED',
    `CPU task ${file} failed: it used more than ${maxHeapMb} MiB`,
    {
      details: { file, maxHeapMb },
    },
  )
}

function timedOut(file: string, timeoutMs: number): SignalboxError {
  const limit = Math.max(0, Math.round(timeoutMs))
  return new SignalboxError('SIGNALBOX_CPU_TIMEOUT', `CPU task ${file} had no result within ${limit} ms`, {
    details: { file, timeoutMs: limit },
  })
}

function cancelled(signal: AbortSignal | undefined): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', 'The caller gave a CPU task up', { cause: signal?.reason })
}

function poolClosed(): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', 'The pool of CPU threads is closed', { retryable: true })
}
