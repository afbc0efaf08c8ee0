/** Starts the workers of a node, watches them, replaces those that die, and changes their number while it runs. */
import { MessageChannel, Worker } from 'node:worker_threads'
import { backoffMs } from '../actor/supervision.ts'
import { type Clock, type Random, systemClock, type Timer } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { siblingModule } from '../module-url.ts'
import { type Place, placeOf } from '../router/place.ts'
import type { Router } from '../router/router.ts'
import type { Logger } from '../telemetry/log.ts'
import type { TelemetrySettings } from '../telemetry/options.ts'
import { SpanExport } from '../telemetry/span-export.ts'
import type { CpuPool } from './cpu-pool.ts'
import { HostedWorker } from './hosted-worker.ts'
import { keepLoopsInterruptible } from './interruptible.ts'
import { KEEPER_SLOT } from './keeper-slot.ts'
import type { WorkerInit } from './messages.ts'

export interface WorkerLimits {
  /** Heap of one worker in MiB, garbage not counted; a worker that needs more is replaced. Default 512. */
  heapMb?: number
  /** Memory outside the heap (Buffers) of one worker in MiB; likewise. Default 1,024. */
  externalMb?: number
  /** A worker whose event loop has not turned for this long is replaced. Default 2,000 ms. */
  stuckMs?: number
  /** A worker that is not ready after this long is ended. Default 30,000 ms. */
  startMs?: number
  /** One that dies sooner after it was ready is replaced after a pause when it was not the first. Default 1,000 ms. */
  stableMs?: number
}

/** The worker for what is kept on disk. */
export interface KeeperOptions {
  /** Module that sets up its actors. */
  boot: URL
  config: () => unknown
  /** The other workers wait for it. */
  first: boolean
}

export interface HostOptions {
  nodeId: string
  workers: number
  /** Module that sets up the actors of each worker; its default export gets a WorkerContext. */
  boot: URL
  /** Plain data for the boot module, asked for at each start of a worker. */
  config: () => unknown
  /** Absent: nothing is kept. */
  keeper?: KeeperOptions | undefined
  /** Called when a worker has become ready; it counts as ready when this has resolved. */
  onReady?: ((worker: HostedWorker) => Promise<void>) | undefined
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
/** A worker that dies so soon after it was ready would most likely do so again at once. */
const DEFAULT_STABLE_MS = 1_000
const RESTART_BACKOFF = { minMs: 100, maxMs: 10_000, factor: 2, jitter: 0.2 }
/** How long a worker that is taken away may go on with what it has. */
const RETIRE_MS = 30_000
const DEFAULT_HEAP_MB = 512
const MEBIBYTE = 1024 * 1024
const KEEPER_START_MS = 600_000
/** It holds an index of everything that is queued. */
const KEEPER_HEAP_MB = 2_048

export class WorkerHost {
  readonly #options: HostOptions
  readonly #log: Logger
  readonly #clock: Clock
  readonly #stuckMs: number
  readonly #startMs: number
  readonly #stableMs: number
  readonly #externalBytes: number
  readonly #workers = new Map<Place, HostedWorker>()
  /** Fresh workers that are to take the place of another. */
  readonly #standIns = new Set<HostedWorker>()
  readonly #incarnations = new Map<number, number>()
  /** When the worker of a slot became ready. */
  readonly #readyAt = new Map<number, number>()
  /** Workers in a row that died before they were ready or soon after, by slot. */
  readonly #earlyDeaths = new Map<number, number>()
  /** Exports the spans of the workers; undefined where none are made, or each worker exports its own. */
  readonly #spans: SpanExport | undefined
  #state: 'starting' | 'running' | 'stopped' = 'starting'
  #target = 0
  #watch: Timer | undefined
  #lastLook = 0
  #turn = 0
  #scaling: Promise<void> = Promise.resolve()
  #stopping: Promise<void> | undefined
  replaced = 0

  constructor(options: HostOptions) {
    this.#options = options
    this.#log = options.log
    this.#clock = options.clock ?? systemClock
    this.#stuckMs = options.limits?.stuckMs ?? 2_000
    this.#startMs = options.limits?.startMs ?? 30_000
    this.#stableMs = options.limits?.stableMs ?? DEFAULT_STABLE_MS
    this.#externalBytes = (options.limits?.externalMb ?? 1_024) * MEBIBYTE
    const { telemetry: settings, nodeId: node } = options
    if (settings?.traces && !settings.traces.sdkInWorker) {
      this.#spans = new SpanExport({ node, settings }, this.#log, () => this.#exportSpans(this.all))
    }
  }

  /** Starts the first workers. Rejects with SIGNALBOX_WORKER_START when one does not start; then call {@link stop}. */
  async start(): Promise<void> {
    keepLoopsInterruptible()
    this.#lastLook = this.#clock.monotonic()
    this.#look()
    // Workers may send to what is kept as soon as they are there.
    const { keeper, workers } = this.#options
    if (keeper?.first) await this.startKeeper()
    await this.scale(workers)
    if (keeper && !keeper.first) await this.startKeeper()
    if (this.#state === 'starting') this.#state = 'running'
  }

  /** The workers that run services; not the keeper. */
  get workers(): readonly HostedWorker[] {
    return this.all.filter(({ slot }) => slot !== KEEPER_SLOT)
  }

  /** All workers, the keeper too. */
  get all(): readonly HostedWorker[] {
    return [...this.#workers.values()]
  }

  /** The worker for what is kept on disk: queues, topics, schedules. Undefined until it was started. */
  get keeper(): HostedWorker | undefined {
    return this.all.find(({ slot, leaving }) => slot === KEEPER_SLOT && !leaving)
  }

  /**
   * Starts the keeper, unless it runs. It is a worker as the others are, watched and replaced; there is one of it, and
   * it is neither scaled nor rolled. Rejects with SIGNALBOX_WORKER_START.
   */
  async startKeeper(): Promise<HostedWorker> {
    if (this.#state === 'stopped') throw new SignalboxError('SIGNALBOX_USAGE', 'the node was stopped')
    const keeper = this.keeper ?? this.#launch(KEEPER_SLOT)
    await keeper.ready
    return keeper
  }

  /** Any worker that is ready, in turn. Throws SIGNALBOX_OVERLOADED when there is none at the moment. */
  any(): HostedWorker {
    const ready = this.workers.filter(worker => worker.state === 'ready')
    const worker = ready[this.#turn++ % ready.length]
    if (!worker)
      throw new SignalboxError('SIGNALBOX_OVERLOADED', 'no worker is ready', { retryAfterMs: 1000 })
    return worker
  }

  /**
   * Changes the number of workers. Resolves when new ones are ready and those to go have drained and gone. Rejects
   * with SIGNALBOX_WORKER_START when a new one does not start; it is tried again all the same.
   */
  scale(count: number): Promise<void> {
    if (!Number.isInteger(count) || count < 1 || count > 256) {
      const message = `the number of workers must be a whole number from 1 to 256, got ${count}`
      return Promise.reject(new SignalboxError('SIGNALBOX_USAGE', message))
    }
    const scaled = this.#scaling.then(() => this.#scale(count))
    this.#scaling = scaled.catch(() => {})
    return scaled
  }

  /**
   * Replaces all workers by fresh ones, one after the other; no message is lost. When a fresh one does not start the
   * others stay as they are: rejects with SIGNALBOX_WORKER_START. `config` is for the fresh ones.
   */
  roll(config?: unknown): Promise<void> {
    const rolled = this.#scaling.then(() => this.#roll(config))
    this.#scaling = rolled.catch(() => {})
    return rolled
  }

  /**
   * Drains all workers, then stops them. Those that have not drained after `drainMs` are stopped all the same, those
   * that have not begun at once. Idempotent.
   */
  stop(drainMs: number): Promise<void> {
    this.#stopping ??= this.#stop(drainMs)
    return this.#stopping
  }

  async #stop(drainMs: number): Promise<void> {
    this.#state = 'stopped'
    for (const worker of this.all) if (worker.state === 'starting') worker.kill('the node stops')
    this.#options.router.withdraw()
    // What the others have taken may still have to be kept, so the keeper stays until they are through.
    await Promise.all(this.all.map(worker => worker.drain(drainMs, this.#clock, false)))
    this.#watch?.cancel()
    await Promise.all(this.workers.map(worker => worker.end(this.#clock)))
    await Promise.all(this.all.map(worker => worker.end(this.#clock)))
    await this.#scaling
    await this.#spans?.stop()
  }

  async #roll(config: unknown): Promise<void> {
    for (const old of this.workers.filter(({ state }) => state === 'ready')) {
      if (this.#state === 'stopped') return
      const fresh = this.#launch(old.slot, config)
      this.#standIns.add(fresh)
      try {
        await fresh.ready
      } finally {
        this.#standIns.delete(fresh)
      }
      await this.#retire(old)
    }
  }

  async #scale(count: number): Promise<void> {
    if (this.#state === 'stopped') throw new SignalboxError('SIGNALBOX_USAGE', 'the node was stopped')
    this.#target = count
    const missing = Array.from({ length: count }, (_, slot) => slot).filter(slot => !this.#isTaken(slot))
    await Promise.all(missing.map(slot => this.#launch(slot).ready))
    const leaving = this.workers.filter(worker => worker.slot >= count)
    await Promise.all(leaving.map(worker => this.#retire(worker)))
  }

  async #retire(worker: HostedWorker): Promise<void> {
    this.#options.router.retire(worker.place)
    if (worker.state === 'starting') worker.kill('it is not needed any more')
    await worker.drain(RETIRE_MS, this.#clock, true)
    await worker.end(this.#clock)
  }

  #isTaken(slot: number): boolean {
    return this.all.some(worker => worker.slot === slot && !worker.leaving)
  }

  #launch(slot: number, config: unknown = this.#configOf(slot)): HostedWorker {
    const { nodeId, router } = this.#options
    const boot = slot === KEEPER_SLOT ? this.#options.keeper!.boot : this.#options.boot
    const heapMb = this.#heapMb(slot)
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
      heartbeat: new SharedArrayBuffer(8),
      heartbeatMs: HEARTBEAT_MS,
      telemetry: this.#options.telemetry,
    }
    const thread = new Worker(siblingModule(import.meta.url, 'thread'), {
      workerData: init,
      transferList: [port2],
      name: slot === KEEPER_SLOT ? 'keeper' : `worker ${slot}`,
      resourceLimits: { maxOldGenerationSizeMb: heapMb + HEAP_RESERVE_MB },
    })
    const worker = new HostedWorker(slot, init, thread, port1, {
      router,
      cpu: this.#options.cpu,
      log: this.#log,
      onReady: slot === KEEPER_SLOT ? undefined : this.#options.onReady,
    })
    this.#exportSpans([worker])
    for (const other of this.all) {
      if (other.state === 'gone') continue
      const channel = new MessageChannel()
      other.connect(worker.place, channel.port1)
      worker.connect(other.place, channel.port2)
      // It waits until everybody has said that nothing more comes, also who was not there when it was retired.
      if (other.leaving) worker.post({ type: 'finish', place: other.place })
    }
    this.#workers.set(worker.place, worker)
    router.add(worker.forRouter())
    void worker.gone.then(error => this.#gone(worker, error))
    worker.ready.then(
      () => this.#readyAt.set(slot, this.#clock.monotonic()),
      () => this.#readyAt.delete(slot),
    )
    return worker
  }

  #exportSpans(workers: readonly HostedWorker[]): void {
    for (const worker of workers) {
      const port = this.#spans?.connect(String(worker.slot))
      if (port) worker.post({ type: 'spans', port }, [port])
    }
  }

  #gone(worker: HostedWorker, error: SignalboxError): void {
    this.#workers.delete(worker.place)
    this.#options.router.remove(worker.place, error)
    if (worker.leaving || this.#state !== 'running' || this.#standIns.has(worker)) return
    const retryInMs = Math.round(this.#pauseAfter(worker))
    const data = { worker: worker.slot, code: error.code, err: error, retryInMs }
    this.#log.error(data, worker.wasReady ? 'worker died and is replaced' : 'worker did not start')
    this.replaced++
    if (retryInMs === 0) this.#relaunch(worker.slot)
    else this.#clock.after(retryInMs, () => this.#relaunch(worker.slot))
  }

  /** How long to wait before the worker that died is replaced: one that dies at once again and again has to wait. */
  #pauseAfter({ slot, wasReady }: HostedWorker): number {
    const isEarly = !wasReady || this.#clock.monotonic() - this.#readyAt.get(slot)! < this.#stableMs
    const deaths = isEarly ? (this.#earlyDeaths.get(slot) ?? 0) + 1 : 0
    this.#earlyDeaths.set(slot, deaths)
    if (deaths === 0 || (wasReady && deaths === 1)) return 0
    return backoffMs(RESTART_BACKOFF, deaths, this.#options.random ?? Math.random)
  }

  #relaunch(slot: number): void {
    const isWanted = slot < this.#target || slot === KEEPER_SLOT
    if (this.#state === 'stopped' || !isWanted || this.#isTaken(slot)) return
    this.#launch(slot)
  }

  #configOf(slot: number): unknown {
    const { keeper, config } = this.#options
    if (slot !== KEEPER_SLOT) return config()
    if (!keeper) throw new SignalboxError('SIGNALBOX_USAGE', 'this node has nowhere to keep messages')
    return keeper.config()
  }

  #heapMb(slot: number): number {
    return slot === KEEPER_SLOT ? KEEPER_HEAP_MB : (this.#options.limits?.heapMb ?? DEFAULT_HEAP_MB)
  }

  /** Ends workers that spin or hold too much memory. */
  #look(): void {
    this.#watch = this.#clock.after(LOOK_MS, () => {
      const now = this.#clock.monotonic()
      // When this thread itself was late, the others may have been as well: nobody is blamed for that time.
      const late = Math.max(0, now - this.#lastLook - 2 * HEARTBEAT_MS)
      this.#lastLook = now
      for (const worker of this.all) {
        const isKeeper = worker.slot === KEEPER_SLOT
        // It reads everything that is queued before it is ready.
        worker.look(now, late, this.#stuckMs, isKeeper ? KEEPER_START_MS : this.#startMs)
        worker.lookAtMemory(this.#heapMb(worker.slot) * MEBIBYTE, this.#externalBytes)
      }
      this.#look()
    })
  }
}
