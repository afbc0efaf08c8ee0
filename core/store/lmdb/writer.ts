/**
 * Group commit: while one transaction is written to disk, the changes that arrive wait and go together in the
 * next. One writer at a time, so that conditions are checked against exactly what the change will meet.
 */
import { type ErrorCode, SignalboxError } from '../../errors.ts'
import { commitFailure } from './failure.ts'

/** Changes that are applied together. */
export interface Task<T> {
  /** Checks, then writes, inside of a write transaction. What it throws rejects this task alone: throw before writing. */
  run(): T
  /** Called when it is on disk, in the order of the tasks. */
  committed(result: T): void
}

interface Waiting {
  task: Task<unknown>
  resolve(result: unknown): void
  reject(error: unknown): void
}

/** Runs a function as one transaction; resolves when it is on disk, and rejects with nothing written. */
export type Commit = (write: () => void) => Promise<void>

const MAX_WAITING = 100_000
const MAX_BATCH = 1_000

export class Writer {
  readonly #commit: Commit
  readonly #waiting: Waiting[] = []
  #running: Promise<void> | undefined
  #closed = false

  constructor(commit: Commit) {
    this.#commit = commit
  }

  /** Runs a task after those before it. Throws SIGNALBOX_OVERLOADED, SIGNALBOX_STORE_UNAVAILABLE, SIGNALBOX_STORE_FULL. */
  write<T>(task: Task<T>): Promise<T> {
    if (this.#closed) return refuse('SIGNALBOX_STORE_UNAVAILABLE', 'the store is closed')
    if (this.#waiting.length >= MAX_WAITING) {
      return refuse('SIGNALBOX_OVERLOADED', `${MAX_WAITING} changes wait for the disk already`)
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, resolve: resolve as Waiting['resolve'], reject })
      this.#running ??= this.#run()
    })
  }

  /** Takes no more tasks; resolves when those taken are done. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #run(): Promise<void> {
    // Changes made in the same turn belong in the first transaction.
    await undefined
    while (this.#waiting.length > 0) await this.#writeBatch(this.#waiting.splice(0, MAX_BATCH))
    this.#running = undefined
  }

  async #writeBatch(batch: Waiting[]): Promise<void> {
    const done: { waiting: Waiting; result: unknown }[] = []
    const failed: { waiting: Waiting; error: unknown }[] = []
    try {
      await this.#commit(() => {
        for (const waiting of batch) {
          try {
            done.push({ waiting, result: waiting.task.run() })
          } catch (error) {
            // An error of the disk or of LMDB may come after the first write: then nothing of the batch may stay.
            if (!(error instanceof SignalboxError)) throw error
            failed.push({ waiting, error })
          }
        }
      })
    } catch (thrown) {
      const error = await commitFailure(thrown, 'the change was not written')
      for (const { reject } of batch) reject(error)
      return
    }
    for (const { waiting, error } of failed) waiting.reject(error)
    for (const { waiting, result } of done) {
      waiting.task.committed(result)
      waiting.resolve(result)
    }
  }
}

function refuse(code: ErrorCode, message: string): Promise<never> {
  return Promise.reject(new SignalboxError(code, message))
}
