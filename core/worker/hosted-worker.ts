/** One worker thread, as its node sees it. */
import type { MessagePort, Worker } from 'node:worker_threads'
import type { Clock } from '../clock.ts'
import { fromWire, SignalboxError, toSignalboxError } from '../errors.ts'
import type { Place } from '../router/place.ts'
import type { Router, RouterWorker } from '../router/router.ts'
import type { Logger } from '../telemetry/log.ts'
import type { CpuPool } from './cpu-pool.ts'
import type { FromWorker, ToWorker, WorkerInit } from './messages.ts'

export type WorkerState = 'starting' | 'ready' | 'draining' | 'gone'

interface Around {
  router: Router
  cpu: CpuPool
  log: Logger
  onReady?: ((worker: HostedWorker) => Promise<void>) | undefined
}

/** Garbage that a heap may hold beside what is in use: V8 collects it late. */
const GARBAGE_BYTES = 1024 * 1024 * 1024

/** A thread that was told to stop and did not is ended after this long. */
const END_MS = 2_000
export class HostedWorker {
  readonly slot: number
  readonly place: Place
  /** Resolves when the actors of the worker have started; rejects when it died before. */
  readonly ready: Promise<void>
  /** Resolves with the reason when the thread has ended. */
  readonly gone: Promise<SignalboxError>
  state: WorkerState = 'starting'
  wasReady = false
  /** It was told to go. */
  leaving = false
  readonly #thread: Worker
  readonly #port: MessagePort
  readonly #around: Around
  readonly #beats: Int32Array
  readonly #requests = new Map<number, PromiseWithResolvers<unknown>>()
  readonly #cpu = new Map<number, AbortController>()
  readonly #ready = Promise.withResolvers<void>()
  readonly #gone = Promise.withResolvers<SignalboxError>()
  readonly #drained = Promise.withResolvers<void>()
  #ids = 0
  #reason: SignalboxError | undefined
  #lastBeat = 0
  #lastBeatAt = 0
  /** When it was looked at first. */
  #startedAt: number | undefined
  #askingMemory = false
  #killed = false

  constructor(slot: number, init: WorkerInit, thread: Worker, port: MessagePort, around: Around) {
    this.slot = slot
    this.place = init.place
    this.#thread = thread
    this.#port = port
    this.#around = around
    this.#beats = new Int32Array(init.heartbeat)
    this.ready = this.#ready.promise
    this.gone = this.#gone.promise
    this.ready.catch(() => {})
    thread.on('message', (message: FromWorker) => this.#receive(message))
    thread.on('error', error => {
      this.#reason ??= this.#died(error)
    })
    thread.on('exit', code => this.#exited(code))
  }

  post(message: ToWorker, transfer: MessagePort[] = []): void {
    if (this.state !== 'gone') this.#thread.postMessage(message, transfer)
  }

  connect(place: Place, port: MessagePort): void {
    this.post({ type: 'peer', place, port }, [port])
  }

  /** Asks the worker's boot module something. */
  request(verb: string, payload: unknown): Promise<unknown> {
    if (this.state === 'gone') return Promise.reject(this.#reason)
    const id = this.#ids++
    const request = Promise.withResolvers<unknown>()
    try {
      this.post({ type: 'request', id, verb, payload })
      this.#requests.set(id, request)
    } catch (cause) {
      request.reject(unencodable(cause))
    }
    return request.promise
  }

  /** What the router needs of it. */
  forRouter(): RouterWorker {
    return {
      place: this.place,
      port: this.#port,
      directory: change => this.post({ type: 'directory', change }),
      lost: (place, error) => this.post({ type: 'lost', place, error: error.toWire() }),
      finish: place => this.post({ type: 'finish', place }),
      activate: address => this.post({ type: 'activate', address }),
      deactivate: address => this.post({ type: 'deactivate', address }),
    }
  }

  /** Has it finish what is under way and take nothing new; resolves when it has, or after `ms`. */
  async drain(ms: number, clock: Clock, handover: boolean): Promise<void> {
    this.leaving = true
    if (this.state === 'gone') return
    this.state = 'draining'
    this.post({ type: 'drain', handover })
    const timer = clock.after(ms, () => {
      this.#around.log.warn({ worker: this.slot, drainMs: ms }, 'worker did not drain in time')
      this.#drained.resolve()
    })
    await Promise.race([this.#drained.promise, this.gone])
    timer.cancel()
  }

  /** Stops its actors and ends the thread. */
  async end(clock: Clock): Promise<void> {
    this.leaving = true
    this.post({ type: 'stop' })
    const timer = clock.after(END_MS, () => void this.#thread.terminate())
    await this.gone
    timer.cancel()
  }

  /**
   * Ends the thread when its event loop has not turned for `stuckMs`, or when it is not ready after `startMs`: loading
   * modules takes its time without a turn. `lateMs` are forgiven.
   */
  look(now: number, lateMs: number, stuckMs: number, startMs: number): void {
    this.#startedAt = (this.#startedAt ?? now) + lateMs
    if (this.state === 'starting') {
      this.#lastBeatAt = now
      if (now - this.#startedAt < startMs) return
      this.kill(`it was not ready after ${startMs} ms: a module that it loads does not come to its end`)
      return
    }
    const beat = Atomics.load(this.#beats, 0)
    if (beat !== this.#lastBeat) {
      this.#lastBeat = beat
      this.#lastBeatAt = now
      return
    }
    this.#lastBeatAt += lateMs
    if (now - this.#lastBeatAt < stuckMs) return
    this.kill(`its event loop has not turned for ${Math.round(now - this.#lastBeatAt)} ms`)
  }

  /**
   * Ends the thread when its heap or what it holds outside it is larger than it may be. V8's own heap limit covers
   * no Buffers, and a thread that runs into it often takes the whole process down. What counts is what a collection
   * has left; a loop that only allocates never says, so there is a limit for the heap with its garbage as well.
   */
  lookAtMemory(maxHeapBytes: number, maxExternalBytes: number): void {
    const live = Atomics.load(this.#beats, 1)
    if (live > mebibytes(maxHeapBytes)) {
      this.kill(`its heap has grown to ${live} MiB`)
      return
    }
    if (this.#askingMemory || this.state === 'gone') return
    this.#askingMemory = true
    this.#thread.getHeapStatistics().then(
      ({ used_heap_size: heap, external_memory: external }) => {
        this.#askingMemory = false
        if (heap > maxHeapBytes + GARBAGE_BYTES) this.kill(`its heap has grown to ${mebibytes(heap)} MiB`)
        else if (external > maxExternalBytes) this.kill(`it holds ${mebibytes(external)} MiB of Buffers`)
      },
      // It has not begun to run, or has ended.
      () => {
        this.#askingMemory = false
      },
    )
  }

  /** Ends the thread at once. */
  kill(reason: string): void {
    if (this.#killed) return
    this.#killed = true
    this.#reason ??= new SignalboxError(this.#lostCode(), `worker ${this.slot} was ended: ${reason}`)
    void this.#thread.terminate()
  }

  /** User code can write to this port as well, by mistake: nothing it says may take the node down. */
  #receive(message: FromWorker): void {
    try {
      this.#message(message)
    } catch (error) {
      const { log } = this.#around
      log.warn(
        { worker: this.slot, err: error },
        'a message from a worker makes no sense; parentPort is not for services',
      )
    }
  }

  #message(message: FromWorker): void {
    const { router } = this.#around
    switch (message.type) {
      case 'ready':
        void this.#becomeReady()
        return
      case 'register':
        router.register({ address: message.address, balance: message.balance, place: this.place })
        return
      case 'unregister':
        router.unregister(message.address, this.place)
        return
      case 'candidate':
        router.candidate(message.address, this.place)
        return
      case 'noCandidate':
        router.withdrawCandidate(message.address, this.place)
        return
      case 'drained':
        this.#drained.resolve()
        return
      case 'reply': {
        const request = this.#requests.get(message.id)
        this.#requests.delete(message.id)
        if (message.error) request?.reject(fromWire(message.error))
        else request?.resolve(message.value)
        return
      }
      case 'cpu':
        void this.#runCpu(message)
        return
      case 'cpuCancel':
        this.#cpu.get(message.id)?.abort()
    }
  }

  async #becomeReady(): Promise<void> {
    try {
      await this.#around.onReady?.(this)
    } catch (error) {
      this.#around.log.warn({ worker: this.slot, err: error }, 'worker could not be brought up to date')
    }
    if (this.state === 'starting') this.state = 'ready'
    this.wasReady = true
    this.#ready.resolve()
  }

  async #runCpu({ id, file, payload, timeoutMs }: Extract<FromWorker, { type: 'cpu' }>): Promise<void> {
    const controller = new AbortController()
    this.#cpu.set(id, controller)
    try {
      const value = await this.#around.cpu.run(file, payload, { timeoutMs, signal: controller.signal })
      this.post({ type: 'cpuResult', id, value })
    } catch (thrown) {
      this.post({ type: 'cpuResult', id, error: toSignalboxError(thrown, 'SIGNALBOX_CPU_FAILED').toWire() })
    } finally {
      this.#cpu.delete(id)
    }
  }

  #died(error: unknown): SignalboxError {
    const { code, message } = error as { code?: string; message?: string }
    const why = code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'it ran out of heap' : (message ?? String(error))
    return new SignalboxError(this.#lostCode(), `worker ${this.slot} died: ${why}`, { cause: error })
  }

  #lostCode(): 'SIGNALBOX_WORKER_LOST' | 'SIGNALBOX_WORKER_START' {
    return this.wasReady ? 'SIGNALBOX_WORKER_LOST' : 'SIGNALBOX_WORKER_START'
  }

  #exited(code: number): void {
    this.state = 'gone'
    const reason =
      this.#reason ?? new SignalboxError(this.#lostCode(), `worker ${this.slot} ended with exit code ${code}`)
    this.#reason = reason
    this.#ready.reject(reason)
    for (const request of this.#requests.values()) request.reject(reason)
    this.#requests.clear()
    for (const controller of this.#cpu.values()) controller.abort()
    this.#gone.resolve(reason)
  }
}

function unencodable(cause: unknown): SignalboxError {
  const message = `a value cannot travel to a worker: ${(cause as Error).message}`
  return new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', message, { cause })
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1_048_576)
}
