/** Forgets what routes need not remember any more: a page of records in each sweep, round and round. */
import type { Clock } from '../clock.ts'
import type { Change } from '../store/store.ts'
import { CLAIMS, isConflict, type RouteState, SEEN, SEQUENCES } from './state.ts'

/** A record that is deleted when its time is over. */
export interface Expiring {
  expiresAt: number
  /** What goes with it. */
  with?: { collection: string; key: string }[]
}

const COLLECTIONS = [SEEN, CLAIMS, SEQUENCES]
const PAGE = 500

export class Housekeeping {
  readonly #prefix: string
  readonly #state: RouteState
  readonly #clock: Clock
  #collection = 0
  #after: string | undefined

  constructor(route: string, state: RouteState, clock: Clock) {
    this.#prefix = `${route}/`
    this.#state = state
    this.#clock = clock
  }

  async sweep(): Promise<void> {
    const collection = COLLECTIONS[this.#collection]!
    const page = await this.#state.list<Expiring>(collection, {
      prefix: this.#prefix,
      limit: PAGE,
      ...(this.#after !== undefined && { after: this.#after }),
    })
    const now = this.#clock.now()
    for (const { key, value, revision } of page) {
      if (value.expiresAt > now) continue
      const also = (value.with ?? []).map((place): Change => ({ type: 'delete', ...place }))
      try {
        await this.#state.transact([{ type: 'delete', collection, key, ifRevision: revision }, ...also])
      } catch (error) {
        // It is in use again.
        if (!isConflict(error)) throw error
      }
    }
    this.#after = page.length < PAGE ? undefined : page.at(-1)!.key
    if (this.#after === undefined) this.#collection = (this.#collection + 1) % COLLECTIONS.length
  }
}
