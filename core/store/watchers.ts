/** Who is told of changes, for engines that see every change themselves. */
import type { WatchEvent } from './store.ts'

type Listener = (event: WatchEvent<never>) => void

export class Watchers {
  readonly #listeners = new Map<string, Set<Listener>>()

  /** Adds a listener of one collection; the same function may be added twice. Returns what removes it. */
  add(collection: string, listener: Listener): () => void {
    // A wrapper of its own, so that removing one of two equal listeners leaves the other.
    const own: Listener = event => listener(event)
    const set = this.#listeners.get(collection) ?? new Set()
    this.#listeners.set(collection, set.add(own))
    return () => {
      set.delete(own)
      if (set.size === 0 && this.#listeners.get(collection) === set) this.#listeners.delete(collection)
    }
  }

  has(collection: string): boolean {
    return this.#listeners.has(collection)
  }

  tell(event: WatchEvent): void {
    for (const listener of this.#listeners.get(event.collection) ?? []) {
      try {
        listener(event as WatchEvent<never>)
      } catch (error) {
        // The other listeners and the writer are not to blame.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  clear(): void {
    this.#listeners.clear()
  }
}
