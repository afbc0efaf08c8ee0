/** Rows one by one, read in batches; the session goes back at the end, when it is left, and when its time is over. */
import type { SignalboxError } from '../../core/errors.ts'
import { type Limits, tooSlow } from './database.ts'
import type { Row } from './session.ts'
import type { Statement } from './statement.ts'

export class RowStream<R> implements AsyncIterableIterator<R, undefined> {
  readonly #batches: AsyncGenerator<Row[], void>
  readonly #release: () => void
  readonly #timer: NodeJS.Timeout
  #batch: Row[]
  #index = 0
  #over = false
  #failure: SignalboxError | undefined

  /** `release` is called once. */
  constructor(
    statement: Statement,
    batches: AsyncGenerator<Row[], void>,
    first: Row[],
    { timeoutMs }: Limits,
    release: () => void,
  ) {
    this.#batches = batches
    this.#batch = first
    this.#release = release
    // A loop that never goes on must not keep the session.
    this.#timer = setTimeout(() => {
      this.#failure = tooSlow(statement, timeoutMs)
      void this.#end()
    }, timeoutMs).unref()
  }

  async next(): Promise<IteratorResult<R, undefined>> {
    if (this.#index < this.#batch.length && !this.#over)
      return { value: this.#batch[this.#index++] as R, done: false }
    if (this.#failure) throw this.#failure
    if (this.#over) return { value: undefined, done: true }
    let read: IteratorResult<Row[], void>
    try {
      read = await this.#batches.next()
    } catch (error) {
      await this.#end()
      throw this.#failure ?? error
    }
    if (read.done || this.#over) {
      await this.#end()
      return { value: undefined, done: true }
    }
    this.#batch = read.value
    this.#index = 0
    return this.next()
  }

  async return(): Promise<IteratorResult<R, undefined>> {
    await this.#end()
    return { value: undefined, done: true }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async #end(): Promise<void> {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    try {
      await this.#batches.return()
    } finally {
      this.#release()
    }
  }
}

/** Opens a stream: its first batch is read, so that what is wrong with the query is the error of the call. */
export async function openRowStream<R>(
  statement: Statement,
  batches: AsyncGenerator<Row[], void>,
  limits: Limits,
  release: () => void,
): Promise<RowStream<R>> {
  try {
    const first = await batches.next()
    return new RowStream<R>(statement, batches, first.done ? [] : first.value, limits, release)
  } catch (error) {
    release()
    throw error
  }
}
