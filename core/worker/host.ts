/** Starts the workers of a node, watches them, replaces those that die, and changes their number while it runs. */
import { MessageChannel, Worker } from 'node:worker_threads'
import { backoffMs } from '../actor/supervision.ts'
import { type Clock, type Random, systemClock, type Timer } from '../clock.ts'
import { SignalboxError, toSignalboxError } from '../errors.ts'
import { siblingModule } from '../module-url.ts'
import { placeOf } from '../router/place.ts'
import type { Router } from '../router/router.ts'
import type { Logger } from '../telemetry/log.ts'
import type { TelemetrySettings } from '../telemetry/options.ts'
import type { CpuPool } from './cpu-pool.ts'
import { keepLoopsInterruptible } from './interruptible.ts'
import { HostedWorker } from './hosted-worker.ts'
import type { WorkerInit } from './messages.ts'

export interface WorkerLimits {
  /** Heap of one worker in MiB; a worker that needs more is replaced. Default 512. */
  heapMb?: number
  /** Memory outside the heap (Buffers) of one worker in MiB; likewise. Default 1,024. */
  externalMb?: number
  /** A worker whose event loop has not turned for this long is replaced. Default 2,000 ms. */
  stuckMs?: number
}

export interface HostOptions {
  nodeId: string
  workers: number
  /** Module that sets up the actors of each worker; its default export gets a WorkerContext. */
  boot: URL
  config: unknown
  limits?: WorkerLimits | undefined
  router: Router
  cpu: CpuPool
  log: Logger
  telemetry?: TelemetrySettings | undefined
  clock?: Clock
  random?: Random
}

const HEARTBEAT_MS = 200
/** A loop that does nothing but allocate fills about a gigabyte in a second. */
const LOOK_MS = 50
/** V8's own limit lies this much above ours: whoever reaches it may take the process down. */
const HEAP_RESERVE_MB = 2_048
const RESTART_BACKOFF = { minMs: 100, maxMs: 10_000, factor: 2, jitter: 0.2 }
/** How long a worker that is taken away may go on with what it has. */
const RETIRE_MS = 30_000
const DEFAULT_HEAP_MB = 512
const MEBIBYTE = 1024 * 1024

export class WorkerHost {
  readonly #options: HostOptions
  readonly #log: Logger
  readonly #clock: Clock
  readonly #stuckMs: number
  readonly #heapBytes: number
  readonly #externalBytes: number
  readonly #workers = new Map<number, HostedWorker>()
  readonly #incarnations = new Map<number, number>()
  /** Starts in a row that did not get as far as ready, by slot. */
  readonly #failedStarts = new Map<number, number>()
  #target = 0
  #watch: Timer | undefined
  #lastLook = 0
  #stopped = false
  #turn = 0
  #scaling: Promise<void> = Promise.resolve()
  replaced = 0

  constructor(options: HostOptions) {
    this.#options = options
    this.#log = options.log
    this.#clock = options.clock ?? systemClock
    this.#stuckMs = options.limits?.stuckMs ?? 2_000
    this.#heapBytes = (options.limits?.heapMb ?? DEFAULT_HEAP_MB) * MEBIBYTE
    this.#externalBytes = (options.limits?.externalMb ?? 1_024) * MEBIBYTE
  }

  /** Starts the first workers. Rejects with SIGNALBOX_WORKER_START when one does not start. */
  async start(): Promise<void> {
    keepLoopsInterruptible()
    this.#lastLook = this.#clock.monotonic()
    this.#look()
    await this.scale(this.#options.workers)
  }

  get workers(): readonly HostedWorker[] {
    return [...this.#workers.values()]
  }

  /** Any worker that is ready, in turn. Throws SIGNALBOX_OVERLOADED when there is none at the moment. */
  any(): HostedWorker {
    const ready = this.workers.filter(worker => worker.state === 'ready')
    const worker = ready[this.#turn++ % ready.length]
    if (!worker) throw new SignalboxError('SIGNALBOX_OVERLOADED', 'no worker is ready', { retryAfterMs: 1000 })
    return worker
  }

  /** Changes the number of workers. Resolves when new ones are ready and those to go have drained and gone. */
  scale(count: number): Promise<void> {
    if (!Number.isInteger(count) || count < 1 || count > 256) {
      const message = `the number of workers must be a whole number from 1 to 256, got ${count}`
      return Promise.reject(new SignalboxError('SIGNALBOX_USAGE', message))
    }
    const scaled = this.#scaling.then(() => this.#scale(count))
    this.#scaling = scaled.catch(() => {})
    return scaled
  }

  /** Drains all workers, then stops them. Those that have not drained after `drainMs` are stopped all the same. */
  async stop(drainMs: number): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    await this.#scaling
    await Promise.all(this.workers.map(worker => worker.drain(drainMs, this.#clock, false)))
    this.#watch?.cancel()
    await Promise.all(this.workers.map(worker => worker.end(this.#clock)))
  }

  async #scale(count: number): Promise<void> {
    this.#target = count
    const missing = Array.from({ length: count }, (_, slot) => slot).filter(slot => !this.#workers.has(slot))
    await Promise.all(missing.map(slot => this.#launch(slot).ready))
    const leaving = this.workers.filter(worker => worker.slot >= count)
    await Promise.all(leaving.map(worker => this.#retire(worker)))
  }

  async #retire(worker: HostedWorker): Promise<void> {
    this.#options.router.retire(worker.place)
    await worker.drain(RETIRE_MS, this.#clock, true)
    await worker.end(this.#clock)
  }

  #launch(slot: number): HostedWorker {
    const { nodeId, boot, config, limits, router } = this.#options
    const incarnation = (this.#incarnations.get(slot) ?? 0) + 1
    this.#incarnations.set(slot, incarnation)
    const { port1, port2 } = new MessageChannel()
    const init: WorkerInit = {
      place: placeOf(nodeId, slot, incarnation),
      node: nodeId,
      slot,
      boot: boot.href,
      config,
      routerPort: port2,
      heartbeat: new SharedArrayBuffer(4),
      heartbeatMs: HEARTBEAT_MS,
      telemetry: this.#options.telemetry,
    }
    const thread = new Worker(siblingModule(import.meta.url, 'thread'), {
      workerData: init,
      transferList: [port2],
      name: `worker ${slot}`,
      resourceLimits: { maxOldGenerationSizeMb: (limits?.heapMb ?? DEFAULT_HEAP_MB) + HEAP_RESERVE_MB },
    })
    const worker = new HostedWorker(slot, init, thread, port1, { router, cpu: this.#options.cpu, log: this.#log })
    for (const other of this.workers) {
      if (other.state === 'gone') continue
      const channel = new MessageChannel()
      other.connect(worker.place, channel.port1)
      worker.connect(other.place, channel.port2)
    }
    this.#workers.set(slot, worker)
    router.add(worker.forRouter())
    void worker.gone.then(error => this.#gone(worker, error))
    return worker
  }

  #gone(worker: HostedWorker, error: SignalboxError): void {
    if (this.#workers.get(worker.slot) === worker) this.#workers.delete(worker.slot)
    this.#options.router.remove(worker.place, error)
    if (worker.leaving || this.#stopped) return
    this.#log.error({ worker: worker.slot, code: error.code, err: error }, 'worker died and is replaced')
    this.replaced++
    const failed = worker.wasReady ? 0 : (this.#failedStarts.get(worker.slot) ?? 0) + 1
    this.#failedStarts.set(worker.slot, failed)
    if (failed === 0) this.#relaunch(worker.slot)
    else {
      const delayMs = backoffMs(RESTART_BACKOFF, failed, this.#options.random ?? Math.random)
      this.#clock.after(delayMs, () => this.#relaunch(worker.slot))
    }
  }

  #relaunch(slot: number): void {
    if (this.#stopped || slot >= this.#target || this.#workers.has(slot)) return
    this.#launch(slot).ready.catch(error => {
      this.#log.error({ worker: slot, err: toSignalboxError(error, 'SIGNALBOX_WORKER_START') }, 'worker did not start')
    })
  }

  /** Ends workers that spin or hold too much memory. */
  #look(): void {
    this.#watch = this.#clock.after(LOOK_MS, () => {
      const now = this.#clock.monotonic()
      // When this thread itself was late, the others may have been as well: nobody is blamed for that time.
      const late = Math.max(0, now - this.#lastLook - 2 * HEARTBEAT_MS)
      this.#lastLook = now
      for (const worker of this.workers) {
        worker.look(now, late, this.#stuckMs)
        worker.lookAtMemory(this.#heapBytes, this.#externalBytes)
      }
      this.#look()
    })
  }
}
