/** Time and chance of a simulation: everything that happens is a task at a time, run one after the other from a seed. */
import { setImmediate as turn } from 'node:timers/promises'
import { type Clock, type Random, seededRandom, type Timer } from '../../core/clock.ts'

interface Task {
  at: number
  order: number
  run: (() => void) | undefined
}

/** An arbitrary start of the monotonic clock, and of the wall clock. */
const START_MS = 10_000
const EPOCH_MS = 1_700_000_000_000

export class World {
  readonly random: Random
  /** What happened, a line each: two runs of a seed have the same. */
  readonly history: string[] = []
  #monotonic = START_MS
  #skewMs = 0
  #order = 0
  readonly #tasks: Task[] = []

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  get time(): number {
    return this.#monotonic
  }

  /** Wall-clock time. */
  get wall(): number {
    return EPOCH_MS + this.#monotonic + this.#skewMs
  }

  /** Sets the wall clock. */
  jump(ms: number): void {
    this.#skewMs += ms
  }

  note(text: string): void {
    this.history.push(`${this.#monotonic.toFixed(3)} ${text}`)
  }

  /** A whole number from `least` to `most`. */
  int(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)]!
  }

  after(ms: number, run: () => void): Timer {
    const task: Task = { at: this.#monotonic + Math.max(0, ms), order: this.#order++, run }
    this.#tasks.push(task)
    this.#rise(this.#tasks.length - 1)
    return {
      cancel: () => {
        task.run = undefined
      },
    }
  }

  sleep(ms: number): Promise<void> {
    return new Promise(resolve => this.after(ms, resolve))
  }

  /** A clock of one process: when that dies, its timers do. */
  clock(isAlive: () => boolean): Clock {
    return {
      now: () => this.wall,
      monotonic: () => this.#monotonic,
      // Never so soon that the sum of times is rounded to before.
      after: (ms, run) => this.after(ms + 1e-6, () => isAlive() && run()),
    }
  }

  /**
   * Runs tasks until `done`. Between two of them everything that needs no time happens: what is left of promises
   * is through when the event loop has turned, since nothing but this ever waits for it.
   */
  async run(done: () => boolean, mostMs: number): Promise<boolean> {
    const end = this.#monotonic + mostMs
    while (!done()) {
      const task = this.#pop()
      if (task === undefined || task.at > end) return false
      if (task.run === undefined) continue
      this.#monotonic = Math.max(this.#monotonic, task.at)
      task.run()
      await turn()
    }
    return true
  }

  #pop(): Task | undefined {
    const tasks = this.#tasks
    const first = tasks[0]
    const last = tasks.pop()
    if (first === undefined || last === first) return first
    tasks[0] = last!
    this.#sink()
    return first
  }

  #rise(from: number): void {
    const tasks = this.#tasks
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1
      if (!before(tasks[at]!, tasks[parent]!)) return
      ;[tasks[at], tasks[parent]] = [tasks[parent]!, tasks[at]!]
      at = parent
    }
  }

  #sink(): void {
    const tasks = this.#tasks
    for (let at = 0; ; ) {
      const left = 2 * at + 1
      if (left >= tasks.length) return
      const child = left + 1 < tasks.length && before(tasks[left + 1]!, tasks[left]!) ? left + 1 : left
      if (!before(tasks[child]!, tasks[at]!)) return
      ;[tasks[at], tasks[child]] = [tasks[child]!, tasks[at]!]
      at = child
    }
  }
}

function before(a: Task, b: Task): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
