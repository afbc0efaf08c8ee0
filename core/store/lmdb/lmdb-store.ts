/** The embedded store: one LMDB environment in a folder, owned by one process. */
import { mkdirSync, readdirSync } from 'node:fs'
import { open as openFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock, type Timer } from '../../clock.ts'
import { SignalboxError } from '../../errors.ts'
import {
  type Conflict,
  checkChanges,
  checkKey,
  checkLimit,
  checkName,
  checkNumber,
  conflicting,
} from '../entry.ts'
import type {
  Change,
  Damage,
  ListOptions,
  LogEntry,
  Outcome,
  ReadOptions,
  Store,
  StoreRecord,
  WatchEvent,
} from '../store.ts'
import { packValue, seal, unseal } from '../value.ts'
import { Watchers } from '../watchers.ts'
import {
  DATA_FILE,
  type Environment,
  type OpenEnvironment,
  openEnvironment,
  writeHead,
} from './environment.ts'
import { failure } from './failure.ts'
import { BEAT_MS, beat, releaseOwnership } from './owner.ts'
import { behind, describe, entryPlace, keyOf, lastPlace, recordPlace } from './places.ts'
import { Writer } from './writer.ts'

export interface LmdbStoreOptions {
  /** The folder; made when it does not exist. On a local disk: LMDB does not work over a network. */
  folder: string
  /** Changes that add are refused with SIGNALBOX_STORE_FULL above this; deleting is not. Default: 64 GiB. */
  maxBytes?: number
  clock?: Clock
  /** Told when the file that shows the owner alive cannot be touched: other hosts may take the store over. */
  warn?: (error: SignalboxError) => void
}

const DEFAULT_MAX_BYTES = 64 * 1024 ** 3
/** How many entries are deleted or verified before others have their turn. */
const CHUNK = 1_000

/** What is kept where only the numbers count. */
const NOTHING = packValue(null)
/** A change whose value is packed and whose conditions are yet to be checked. */
type Prepared = { change: Change; place: Buffer; body: Buffer }

/**
 * Opens the store in a folder. Throws SIGNALBOX_STORE_LOCKED when another process has it open, and
 * SIGNALBOX_STORE_FOREIGN, _DAMAGED or _UNAVAILABLE when the folder cannot be used.
 */
export async function openLmdbStore(options: LmdbStoreOptions): Promise<Store> {
  if (options.maxBytes !== undefined) checkNumber(options.maxBytes, 'maxBytes')
  return new LmdbStore(options, openEnvironment(options.folder))
}

class LmdbStore implements Store {
  readonly #env: Environment
  readonly #open: OpenEnvironment
  readonly #clock: Clock
  readonly #maxBytes: number
  readonly #warn: (error: SignalboxError) => void
  readonly #watchers = new Watchers()
  readonly #writer = new Writer(write => this.#commit(write))
  /** Given out, also to changes that are not on disk yet. */
  #nextRevision: number
  #revision: number
  #beat: Timer
  #closing: Promise<void> | undefined
  #closed = false

  constructor(options: LmdbStoreOptions, opened: OpenEnvironment) {
    this.#open = opened
    this.#env = opened.env
    this.#clock = options.clock ?? systemClock
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
    this.#warn = options.warn ?? (() => {})
    this.#revision = opened.revision
    this.#nextRevision = opened.revision + 1
    this.#beat = this.#clock.after(BEAT_MS, () => this.#showAlive())
  }

  async get<T>(collection: string, key: string): Promise<StoreRecord<T> | undefined> {
    checkName(collection, 'collection')
    checkKey(key)
    return this.#reading(() => this.#record<T>(recordPlace(collection, key)))
  }

  async list<T>(collection: string, options: ListOptions = {}): Promise<StoreRecord<T>[]> {
    checkName(collection, 'collection')
    const { prefix = '', after } = options
    if (prefix !== '') checkKey(prefix)
    if (after !== undefined) checkKey(after)
    const limit = checkLimit(options.limit)
    const from = recordPlace(collection, prefix)
    const end = behind(from)
    const start =
      after === undefined ? from : largest(from, Buffer.from([...recordPlace(collection, after), 0]))
    if (Buffer.compare(start, end) >= 0) return []
    return this.#reading(() =>
      [...this.#env.getRange({ start, end, limit, snapshot: true })].map(({ key, value }) =>
        toRecord<T>(Buffer.from(key), value),
      ),
    )
  }

  async put<T>(
    collection: string,
    key: string,
    value: T,
    options: { ifRevision?: number } = {},
  ): Promise<StoreRecord<T>> {
    const [outcome] = await this.transact([{ type: 'put', collection, key, value, ...options }])
    return (outcome as { record: StoreRecord<T> }).record
  }

  async delete(collection: string, key: string, options: { ifRevision?: number } = {}): Promise<boolean> {
    const [outcome] = await this.transact([{ type: 'delete', collection, key, ...options }])
    return (outcome as { existed: boolean }).existed
  }

  async append(log: string, entry: unknown): Promise<number> {
    const [outcome] = await this.transact([{ type: 'append', log, entry }])
    return (outcome as { position: number }).position
  }

  async transact(changes: readonly Change[]): Promise<Outcome[]> {
    checkChanges(changes)
    const prepared = changes.map(prepare)
    return this.#writer.write({
      run: () => this.#apply(prepared),
      committed: outcomes => this.#tell(prepared, outcomes),
    })
  }

  async read<T>(log: string, options: ReadOptions = {}): Promise<LogEntry<T>[]> {
    checkName(log, 'log')
    const after = checkNumber(options.after ?? 0, 'after')
    const limit = checkLimit(options.limit)
    const start = entryPlace(log, after + 1)
    return this.#reading(() =>
      [...this.#env.getRange({ start, end: behind(Buffer.from(`l${log}\0`)), limit, snapshot: true })].map(
        ({ key, value }) => toEntry<T>(Buffer.from(key), value),
      ),
    )
  }

  async trim(log: string, upTo: number): Promise<number> {
    checkName(log, 'log')
    checkNumber(upTo, 'upTo')
    let count = 0
    for (;;) {
      const deleted = await this.#writer.write({ run: () => this.#trimChunk(log, upTo), committed: () => {} })
      count += deleted
      if (deleted < CHUNK) return count
    }
  }

  watch<T>(collection: string, listener: (event: WatchEvent<T>) => void): () => void {
    checkName(collection, 'collection')
    this.#refuseClosed()
    return this.#watchers.add(collection, listener)
  }

  revision(): number {
    return this.#revision
  }

  async verify(): Promise<Damage[]> {
    const found: Damage[] = []
    let start = Buffer.from([0])
    for (;;) {
      const chunk = this.#reading(() => [...this.#env.getRange({ start, limit: CHUNK, snapshot: true })])
      for (const { key, value } of chunk) {
        const place = Buffer.from(key)
        const reason = damageOf(place, value)
        if (reason !== undefined) found.push({ place: describe(place), reason })
      }
      if (chunk.length < CHUNK) return found
      start = Buffer.from([...chunk.at(-1)!.key, 0])
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  async backup(to: string): Promise<void> {
    this.#refuseClosed()
    try {
      mkdirSync(to, { recursive: true, mode: 0o700 })
      const there = readdirSync(to)
      if (there.length > 0) {
        throw new SignalboxError(
          'SIGNALBOX_USAGE',
          `${to} is not empty: a backup is written to a folder of its own`,
        )
      }
      const path = join(to, DATA_FILE)
      await this.#env.backup(`${path}.part`, true)
      // It gets the name of a store only when it is complete and on disk.
      await sync(`${path}.part`)
      await rename(`${path}.part`, path)
      await sync(to)
    } catch (error) {
      throw failure(error, `the backup to ${to} failed`)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#writer.close()
    this.#closed = true
    this.#beat.cancel()
    this.#watchers.clear()
    await this.#env.close()
    releaseOwnership(this.#open.ownerPath, this.#open.ownerId)
  }

  /** One transaction: resolves when it is on disk. */
  async #commit(write: () => void): Promise<void> {
    const before = this.#nextRevision
    try {
      await this.#env.childTransaction(() => {
        write()
        if (this.#nextRevision > before) writeHead(this.#env, this.#nextRevision - 1)
      })
      await this.#env.flushed
    } finally {
      // Readers keep a snapshot for the rest of the turn; the next read shall see this change.
      this.#env.resetReadTxn()
    }
  }

  /** Checks all conditions, then writes: what throws after the first write takes the whole batch with it. */
  #apply(prepared: Prepared[]): Outcome[] {
    const conflicts: Conflict[] = []
    for (const { change, place } of prepared) {
      if (change.type === 'append' || change.ifRevision === undefined) continue
      const actual = this.#record(place)?.revision ?? 0
      const { collection, key, ifRevision } = change
      if (actual !== ifRevision) conflicts.push({ collection, key, expected: ifRevision, actual })
    }
    if (conflicts.length > 0) throw conflicting(conflicts)
    if (prepared.some(({ change }) => change.type !== 'delete')) this.#refuseFull()
    const positions = this.#positions(prepared)
    return prepared.map(each => this.#write(each, positions))
  }

  /** The next position of each log that is appended to; a damaged one is found before anything is written. */
  #positions(prepared: Prepared[]): Map<string, number> {
    const positions = new Map<string, number>()
    for (const { change } of prepared) {
      if (change.type !== 'append' || positions.has(change.log)) continue
      const place = lastPlace(change.log)
      const bytes = this.#env.getBinary(place)
      positions.set(change.log, bytes ? unseal(place, bytes, describe(place)).head[0] : 0)
    }
    return positions
  }

  #write({ change, place, body }: Prepared, positions: Map<string, number>): Outcome {
    const now = this.#clock.now()
    if (change.type === 'append') {
      const position = positions.get(change.log)! + 1
      positions.set(change.log, position)
      const at = entryPlace(change.log, position)
      this.#env.putSync(at, seal(at, [now, 0], body))
      this.#env.putSync(place, seal(place, [position, 0], NOTHING))
      return { type: 'append', position }
    }
    if (change.type === 'delete') {
      const existed = this.#env.removeSync(place)
      return { type: 'delete', existed, revision: existed ? this.#nextRevision++ : 0 }
    }
    const revision = this.#nextRevision++
    const bytes = seal(place, [revision, now], body)
    this.#env.putSync(place, bytes)
    return { type: 'put', record: toRecord(place, bytes) }
  }

  #trimChunk(log: string, upTo: number): number {
    const range = { start: entryPlace(log, 0), end: entryPlace(log, upTo + 1), limit: CHUNK }
    const places = [...this.#env.getKeys(range)].map(place => Buffer.from(place))
    for (const place of places) this.#env.removeSync(place)
    return places.length
  }

  #refuseFull(): void {
    const { lastPageNumber, pageSize } = this.#env.getStats() as { lastPageNumber: number; pageSize: number }
    const bytes = (lastPageNumber + 1) * pageSize
    if (bytes < this.#maxBytes) return
    const message = `the store has ${bytes} bytes, and may have ${this.#maxBytes}`
    throw new SignalboxError('SIGNALBOX_STORE_FULL', message, {
      details: { bytes, maxBytes: this.#maxBytes },
    })
  }

  #tell(prepared: Prepared[], outcomes: Outcome[]): void {
    prepared.forEach(({ change, place, body }, index) => {
      const outcome = outcomes[index]!
      if (change.type === 'append' || outcome.type === 'append') return
      const { collection, key } = change
      const revision = outcome.type === 'put' ? outcome.record.revision : outcome.revision
      if (revision === 0) return
      this.#revision = revision
      if (outcome.type === 'delete') this.#watchers.tell({ type: 'delete', collection, key, revision })
      else if (this.#watchers.has(collection)) {
        // The writer has the record in its hands and may change it.
        const { changedAt } = outcome.record
        const record = toRecord(place, seal(place, [revision, changedAt], body))
        this.#watchers.tell({ type: 'put', collection, key, revision, record })
      }
    })
  }

  #record<T>(place: Buffer): StoreRecord<T> | undefined {
    const bytes = this.#env.getBinary(place)
    return bytes && toRecord<T>(place, bytes)
  }

  #reading<T>(read: () => T): T {
    this.#refuseClosed()
    try {
      return read()
    } catch (error) {
      throw failure(error, 'the store cannot be read')
    }
  }

  #refuseClosed(): void {
    if (this.#closed) throw new SignalboxError('SIGNALBOX_STORE_UNAVAILABLE', 'the store is closed')
  }

  #showAlive(): void {
    try {
      beat(this.#open.ownerPath)
    } catch (error) {
      this.#warn(failure(error, `${this.#open.ownerPath} cannot be touched`))
    }
    this.#beat = this.#clock.after(BEAT_MS, () => this.#showAlive())
  }
}

/** Packs the value, so that one that cannot be stored is refused before anything is written. */
function prepare(change: Change): Prepared {
  if (change.type === 'append') {
    return { change, place: lastPlace(change.log), body: packValue(change.entry) }
  }
  const body = change.type === 'put' ? packValue(change.value) : NOTHING
  return { change, place: recordPlace(change.collection, change.key), body }
}

function toRecord<T>(place: Buffer, bytes: Uint8Array): StoreRecord<T> {
  const { head, value } = unseal(place, bytes, describe(place))
  return { key: keyOf(place), value: value as T, revision: head[0], changedAt: head[1] }
}

function toEntry<T>(place: Buffer, bytes: Uint8Array): LogEntry<T> {
  const { head, value } = unseal(place, bytes, describe(place))
  return { position: Number(place.readBigUInt64BE(place.length - 8)), entry: value as T, at: head[0] }
}

function damageOf(place: Buffer, bytes: Uint8Array): string | undefined {
  try {
    unseal(place, bytes, describe(place))
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

async function sync(path: string): Promise<void> {
  const file = await openFile(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

function largest(a: Buffer, b: Buffer): Buffer {
  return Buffer.compare(a, b) >= 0 ? a : b
}
