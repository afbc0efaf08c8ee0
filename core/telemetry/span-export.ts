/** The thread that exports spans, as its node sees it: it is started with the first worker and again when it dies. */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { type Clock, systemClock, type Timer } from '../clock.ts'
import { siblingModule } from '../module-url.ts'
import type { Logger } from './log.ts'
import type { SpanThreadInit, ToSpanThread } from './span-thread.ts'

/** The heap of the thread, in MiB: batches on their way and nothing else. */
const HEAP_MB = 256
/** How long the last spans may take to be sent, in milliseconds. */
const STOP_MS = 2_000
const RESTART_MS = 1_000

export class SpanExport {
  readonly #init: SpanThreadInit
  readonly #log: Logger
  readonly #clock: Clock
  readonly #restarted: () => void
  #thread: Worker | undefined
  #ended: Promise<void> = Promise.resolve()
  #restart: Timer | undefined
  #stopped = false

  /** `restarted` is called when all ports are dead and workers need new ones. */
  constructor(init: SpanThreadInit, log: Logger, restarted: () => void, clock: Clock = systemClock) {
    this.#init = init
    this.#log = log
    this.#restarted = restarted
    this.#clock = clock
  }

  /** The port for the spans of a worker; undefined while the thread is about to be started again. */
  connect(worker: string): MessagePort | undefined {
    if (this.#stopped || this.#restart !== undefined) return undefined
    this.#thread ??= this.#start()
    const { port1, port2 } = new MessageChannel()
    this.#thread.postMessage({ type: 'source', worker, port: port2 } satisfies ToSpanThread, [port2])
    return port1
  }

  /** Sends what is left, for at most two seconds, and ends the thread. Call it when the workers have gone. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#restart?.cancel()
    const thread = this.#thread
    if (thread === undefined) return
    thread.postMessage({ type: 'stop' } satisfies ToSpanThread)
    const late = this.#clock.after(STOP_MS, () => {
      this.#log.warn({}, 'the last traces could not be sent in time')
      void thread.terminate()
    })
    await this.#ended
    late.cancel()
  }

  #start(): Worker {
    const thread = new Worker(siblingModule(import.meta.url, './span-thread'), {
      workerData: this.#init,
      name: 'spans',
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    })
    let reason: unknown
    thread.on('error', error => {
      reason = error
    })
    this.#ended = new Promise(resolve => {
      thread.once('exit', () => {
        this.#thread = undefined
        if (!this.#stopped) this.#startAgain(reason)
        resolve()
      })
    })
    return thread
  }

  #startAgain(reason: unknown): void {
    this.#log.error({ err: reason }, 'the thread that exports spans died and is started again')
    this.#restart = this.#clock.after(RESTART_MS, () => {
      this.#restart = undefined
      this.#restarted()
    })
  }
}
