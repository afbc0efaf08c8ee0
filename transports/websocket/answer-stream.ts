/** The items of a streamed answer, between the socket that brings them and the service that reads them. */

/** So many items may wait before the socket is read no further. */
const PAUSE_AT = 256

/** An AsyncIterable for one reader. */
export class AnswerStream implements AsyncIterableIterator<unknown> {
  readonly #items: unknown[] = []
  readonly #pause: () => void
  readonly #resume: () => void
  readonly #giveUp: () => void
  #paused = false
  #over = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(pause: () => void, resume: () => void, giveUp: () => void) {
    this.#pause = pause
    this.#resume = resume
    this.#giveUp = giveUp
  }

  push(item: unknown): void {
    if (this.#over) return
    this.#items.push(item)
    if (this.#items.length >= PAUSE_AT && !this.#paused) {
      this.#paused = true
      this.#pause()
    }
    this.#wake?.()
  }

  end(): void {
    this.#over = true
    this.#wake?.()
  }

  fail(error: Error): void {
    this.#error ??= error
    this.end()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<unknown>> {
    while (this.#items.length === 0) {
      this.#goOn()
      if (this.#error) throw this.#error
      if (this.#over) return { done: true, value: undefined }
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return { done: false, value: this.#items.shift() }
  }

  /** The reader wants no more. */
  async return(): Promise<IteratorResult<unknown>> {
    if (!this.#over) this.#giveUp()
    this.#over = true
    this.#error = undefined
    this.#items.length = 0
    this.#goOn()
    return { done: true, value: undefined }
  }

  #goOn(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#resume()
  }
}
