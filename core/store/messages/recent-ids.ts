/** Ids of recent messages, by which duplicates are known. */

interface Entry {
  seq: number
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

  find(id: string, now: number, { dedupWindowMs }: Window): Entry | undefined {
    const entry = this.#entries.get(id)
    // A clock that was put back must not make an id last longer.
    return entry !== undefined && Math.abs(now - entry.at) <= dedupWindowMs ? entry : undefined
  }

  /** Remembers an id, of a message that is on disk or is being written. */
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
  place(id: string, position: number): void {
    const entry = this.#entries.get(id)
    if (entry) entry.position = position
  }

  forget(id: string): void {
    this.#entries.delete(id)
  }

  /** Forgets what is over, or too many. */
  trim(now: number, { dedupWindowMs, dedupMaxIds }: Window): void {
    for (const [id, { at }] of this.#entries) {
      if (Math.abs(now - at) <= dedupWindowMs && this.#entries.size <= dedupMaxIds) return
      this.#entries.delete(id)
    }
  }

  /** Where the oldest message is whose id still counts; undefined when there is none. */
  get oldestPosition(): number | undefined {
    for (const { position } of this.#entries.values()) return position
    return undefined
  }
}
