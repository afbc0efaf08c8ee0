/** Ids of recent messages, by which duplicates are known. */

interface Entry {
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
  /** In the order of arrival. */
  readonly #entries = new Map<string, Entry>()

  /** `now` is monotonic, so that a clock that is set neither shortens nor lengthens the window. */
  find(id: string, now: number, { dedupWindowMs }: Window): Entry | undefined {
    const entry = this.#entries.get(id)
    return entry !== undefined && now - entry.at < dedupWindowMs ? entry : undefined
  }

  /** Remembers an id, of a message that is on disk or is being written. `at` is monotonic, and may be before its start. */
  add(id: string, seq: number, at: number, where: number | Promise<void>): void {
    const position = typeof where === 'number' ? where : undefined
    const durable = typeof where === 'number' ? undefined : where
    const entry: Entry = { seq, at, position, durable }
    this.#entries.delete(id)
    this.#entries.set(id, entry)
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
    for (const [id, { at }] of this.#entries) {
      if (now - at < dedupWindowMs && this.#entries.size <= dedupMaxIds) return
      this.#entries.delete(id)
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
    for (const entry of this.#entries.values()) return entry
    return undefined
  }
}
