/** Runs the actors of a thread that have work, in turns, without ever starving the event loop. */
import { performance } from 'node:perf_hooks'

/** Something with work to do. `run` does a bounded piece and says whether more is left. */
export interface Runnable {
  run(): boolean
}

/** After this long without the event loop having had its turn, the rest waits for `setImmediate`. */
const MAX_TURN_MS = 5
/** The clock is looked at after a piece that left work behind, and after this many others. */
const PIECES_PER_LOOK = 16

export class Scheduler {
  #ready: Runnable[] = []
  #spare: Runnable[] = []
  #armed = false
  #unlooked = 0
  /** When the present turn of the event loop was first looked at; undefined before that. */
  #turnStart: number | undefined
  /** This turn has used its time. */
  #spent = false
  readonly #time: () => number
  readonly #drain = () => this.#runReady()
  readonly #turn = () => {
    this.#turnStart = undefined
    this.#spent = false
  }

  constructor(time = () => performance.now()) {
    this.#time = time
  }

  /** Puts a runnable in line. The caller sees to it that it is not in line already. */
  schedule(runnable: Runnable): void {
    this.#ready.push(runnable)
    if (this.#armed) return
    this.#armed = true
    if (this.#spent) setImmediate(this.#drain)
    else queueMicrotask(this.#drain)
  }

  #runReady(): void {
    try {
      while (this.#ready.length > 0 && !this.#spent) this.#runBatch()
    } finally {
      if (this.#ready.length > 0) setImmediate(this.#drain)
      else this.#armed = false
    }
  }

  #runBatch(): void {
    const batch = this.#ready
    this.#ready = this.#spare
    let done = 0
    try {
      while (done < batch.length && !this.#spent) {
        const runnable = batch[done++]!
        const more = runnable.run()
        if (more) this.#ready.push(runnable)
        if (more || ++this.#unlooked >= PIECES_PER_LOOK) this.#look()
      }
    } finally {
      // Those that had no turn come before those that had one; also when one has thrown.
      if (done < batch.length) this.#ready = batch.slice(done).concat(this.#ready)
      batch.length = 0
      this.#spare = batch
    }
  }

  #look(): void {
    this.#unlooked = 0
    const now = this.#time()
    if (this.#turnStart === undefined) {
      this.#turnStart = now
      setImmediate(this.#turn)
    } else if (now - this.#turnStart > MAX_TURN_MS) this.#spent = true
  }
}
