/** Ids of recent messages, by which duplicates are known. */

interface Entry {
  id: string
  seq: number
  /** Monotonic milliseconds. */
  at: number
  /** Where the message is; undefined while it is being written. */
  position: number | undefined
  /** Resolves when the message is on disk; undefined when it is. */
  durable: Promise<void> | undefined
}

export interface Window {
  dedupWindowMs: number
  dedupMaxIds: number
}

export class RecentIds {
  readonly #entries = new Map<string, Entry>()
  /** In the order of arrival; those that are forgotten before their time stay in until it is their turn. */
  #order: Entry[] = []
  #head = 0

  /** `now` is monotonic, so that a clock that is set neither shortens nor lengthens the window. */
  find(id: string, now: number, { dedupWindowMs }: Window): Entry | undefined {
    const entry = this.#entries.get(id)
    return entry !== undefined && now - entry.at < dedupWindowMs ? entry : undefined
  }

  /** Remembers an id, of a message that is on disk or is being written. `at` is monotonic, and may be before its start. */
  add(id: string, seq: number, at: number, where: number | Promise<void>): void {
    const position = typeof where === 'number' ? where : undefined
    const durable = typeof where === 'number' ? undefined : where
    const entry: Entry = { id, seq, at, position, durable }
    this.#entries.set(id, entry)
    this.#order.push(entry)
    durable?.then(
      () => {
        entry.durable = undefined
      },
      // Its publisher was told; the id is forgotten.
      () => {},
    )
  }

  /** The message of this id is on disk. */
  place(id: string, seq: number, position: number): void {
    const entry = this.#entries.get(id)
    if (entry?.seq === seq) entry.position = position
  }

  /** The message was not written. */
  forget(id: string, seq: number): void {
    if (this.#entries.get(id)?.seq === seq) this.#entries.delete(id)
  }

  /** Forgets what is over, or too many. */
  trim(now: number, { dedupWindowMs, dedupMaxIds }: Window): void {
    for (let oldest = this.#oldest; oldest !== undefined; oldest = this.#oldest) {
      if (now - oldest.at < dedupWindowMs && this.#entries.size <= dedupMaxIds) return
      this.#entries.delete(oldest.id)
    }
  }

  /** Where the oldest message is whose id still counts; undefined when there is none. */
  get oldestPosition(): number | undefined {
    return this.#oldest?.position
  }

  /** When it came, monotonic. */
  get oldestAt(): number | undefined {
    return this.#oldest?.at
  }

  get #oldest(): Entry | undefined {
    while (this.#head < this.#order.length) {
      const entry = this.#order[this.#head]!
      if (this.#entries.get(entry.id) === entry) return entry
      this.#head++
      if (this.#head > 1_024 && this.#head * 2 > this.#order.length) {
        this.#order = this.#order.slice(this.#head)
        this.#head = 0
      }
    }
    return undefined
  }
}
