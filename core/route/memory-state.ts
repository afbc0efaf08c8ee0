/** The state of routes in memory, for tests of routes: the same answers and conflicts as the store, and gone after it. */
import { type Conflict, checkChanges, checkLimit, conflicting } from '../store/entry.ts'
import type { Change, ListOptions, Outcome, StoreRecord } from '../store/store.ts'
import { packValue, unpackValue } from '../store/value.ts'
import type { RouteState } from './state.ts'

interface Packed {
  value: Buffer
  revision: number
  changedAt: number
}

export class MemoryState implements RouteState {
  readonly #collections = new Map<string, Map<string, Packed>>()
  #revision = 0

  async get<T>(collection: string, key: string): Promise<StoreRecord<T> | undefined> {
    const packed = this.#of(collection).get(key)
    return packed && recordOf<T>(key, packed)
  }

  async list<T>(collection: string, options: ListOptions = {}): Promise<StoreRecord<T>[]> {
    const { prefix = '', after, limit } = options
    const keys = [...this.#of(collection).keys()]
      .filter(key => key.startsWith(prefix) && (after === undefined || compare(key, after) > 0))
      .sort(compare)
      .slice(0, checkLimit(limit))
    return keys.map(key => recordOf<T>(key, this.#of(collection).get(key)!))
  }

  async put<T>(collection: string, key: string, value: T, options: { ifRevision?: number } = {}) {
    const [outcome] = await this.transact([{ type: 'put', collection, key, value, ...options }])
    return (outcome as Outcome & { type: 'put' }).record as StoreRecord<T>
  }

  async delete(collection: string, key: string, options: { ifRevision?: number } = {}): Promise<boolean> {
    const [outcome] = await this.transact([{ type: 'delete', collection, key, ...options }])
    return (outcome as Outcome & { type: 'delete' }).existed
  }

  async transact(changes: readonly Change[]): Promise<Outcome[]> {
    checkChanges(changes)
    const packed = changes.map(change => (change.type === 'put' ? packValue(change.value) : undefined))
    const conflicts = changes.flatMap(change => this.#conflict(change) ?? [])
    if (conflicts.length > 0) throw conflicting(conflicts)
    return changes.map((change, i) => this.#apply(change, packed[i]))
  }

  #apply(change: Change, value: Buffer | undefined): Outcome {
    if (change.type === 'append') throw new TypeError('the state of routes has no logs')
    const { collection, key } = change
    const revision = ++this.#revision
    if (value === undefined) return { type: 'delete', existed: this.#of(collection).delete(key), revision }
    const packed = { value, revision, changedAt: Date.now() }
    this.#of(collection).set(key, packed)
    return { type: 'put', record: recordOf(key, packed) }
  }

  #conflict(change: Change): Conflict | undefined {
    if (change.type === 'append' || change.ifRevision === undefined) return undefined
    const { collection, key, ifRevision: expected } = change
    const actual = this.#of(collection).get(key)?.revision ?? 0
    return actual === expected ? undefined : { collection, key, expected, actual }
  }

  #of(collection: string): Map<string, Packed> {
    const records = this.#collections.get(collection) ?? new Map<string, Packed>()
    this.#collections.set(collection, records)
    return records
  }
}

function recordOf<T>(key: string, { value, revision, changedAt }: Packed): StoreRecord<T> {
  return { key, value: unpackValue(value) as T, revision, changedAt }
}

function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
