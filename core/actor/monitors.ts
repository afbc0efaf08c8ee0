/** Who wants to know when an actor stops. */
import type { SignalboxError } from '../errors.ts'
import type { Address } from './address.ts'
import type { Down } from './behaviour.ts'

export class Monitors {
  readonly #watchers = new Map<Address, Set<(notice: Down) => void>>()

  /** Returns the way to stop watching. */
  add(address: Address, notify: (notice: Down) => void): () => void {
    let watchers = this.#watchers.get(address)
    if (!watchers) {
      watchers = new Set()
      this.#watchers.set(address, watchers)
    }
    // A function of its own: the same `notify` may watch twice.
    const watcher = (notice: Down) => notify(notice)
    watchers.add(watcher)
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0 && this.#watchers.get(address) === watchers) this.#watchers.delete(address)
    }
  }

  /** Tells all who watch, once. */
  stopped(address: Address, reason: SignalboxError | undefined): void {
    const watchers = this.#watchers.get(address)
    if (!watchers) return
    this.#watchers.delete(address)
    for (const notify of watchers) notify({ address, reason })
  }
}
