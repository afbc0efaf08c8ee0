/** Runs the actors of a thread that have work, in turns, without ever starving the event loop. */

/** Something with work to do. `run` does a bounded piece and says whether more is left. */
export interface Runnable {
  run(): boolean
}

/** After this many pieces without the event loop having had its turn, the rest waits for `setImmediate`. */
const MAX_PIECES_PER_TURN = 1024

export class Scheduler {
  #ready: Runnable[] = []
  #next: Runnable[] = []
  #armed = false
  /** Pieces run since the event loop last had a turn. */
  #pieces = 0
  #marked = false
  readonly #drain = () => this.#runReady()
  readonly #turn = () => {
    this.#marked = false
    this.#pieces = 0
  }

  /** Puts a runnable in line. The caller sees to it that it is not in line already. */
  schedule(runnable: Runnable): void {
    this.#ready.push(runnable)
    if (this.#armed) return
    this.#armed = true
    if (this.#pieces < MAX_PIECES_PER_TURN) queueMicrotask(this.#drain)
    else setImmediate(this.#drain)
  }

  #runReady(): void {
    while (this.#ready.length > 0) {
      const batch = this.#ready
      this.#ready = this.#next
      this.#next = batch
      for (let i = 0; i < batch.length; i++) if (batch[i]!.run()) this.#ready.push(batch[i]!)
      this.#pieces += batch.length
      batch.length = 0
      if (this.#pieces >= MAX_PIECES_PER_TURN) break
    }
    if (this.#pieces >= MAX_PIECES_PER_TURN / 2 && !this.#marked) {
      this.#marked = true
      setImmediate(this.#turn)
    }
    if (this.#ready.length > 0) setImmediate(this.#drain)
    else this.#armed = false
  }
}
