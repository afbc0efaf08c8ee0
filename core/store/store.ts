/**
 * The contract of a store engine: where resources, durable state and administrative logs live. Engines differ in
 * where the bytes are; every promise below is checked for each of them by test/conformance/store.ts.
 */

/** A value in a collection. Every read gives a fresh copy. */
export interface StoreRecord<T = unknown> {
  key: string
  value: T
  /** Counts up over the whole store: a later change of any record has a higher number, and none is used twice. */
  revision: number
  /** When it was written: milliseconds since the epoch by the clock of the writer. For people, not for order. */
  changedAt: number
}

/** An entry of an append-only log. */
export interface LogEntry<T = unknown> {
  /** Counts up by one in each log, from 1. */
  position: number
  entry: T
  /** When it was appended, milliseconds since the epoch. */
  at: number
}

/** One step of a transaction. `ifRevision`: the revision the record must have; 0 means it must not exist. */
export type Change =
  | { type: 'put'; collection: string; key: string; value: unknown; ifRevision?: number }
  | { type: 'delete'; collection: string; key: string; ifRevision?: number }
  | { type: 'append'; log: string; entry: unknown }

/** What a step did, in the order of the steps. */
export type Outcome =
  | { type: 'put'; record: StoreRecord }
  | { type: 'delete'; existed: boolean; revision: number }
  | { type: 'append'; position: number }

/** What a watcher is told. */
export type WatchEvent<T = unknown> =
  | { type: 'put'; collection: string; key: string; revision: number; record: StoreRecord<T> }
  | { type: 'delete'; collection: string; key: string; revision: number }

/** Which records {@link Store.list} gives. */
export interface ListOptions {
  /** Only keys that begin with it. */
  prefix?: string
  /** Only keys behind this one, for paging. */
  after?: string
  /** At most so many, 1 to 100,000; default 10,000. */
  limit?: number
}

/** Which entries {@link Store.read} gives. */
export interface ReadOptions {
  /** Only entries behind this position; default 0. */
  after?: number
  /** At most so many, 1 to 100,000; default 10,000. */
  limit?: number
}

/** A place whose bytes are not those that were written. */
export interface Damage {
  /** Collection and key, or log and position, as far as they can be read. */
  place: string
  reason: string
}

/**
 * A store. All operations may be called at once and in any number; changes are applied one after another, in the
 * order of the calls of this process. Names of collections and logs are 1 to 64 lower-case letters, digits, dots
 * and dashes, beginning with a letter; keys are 1 to 512 bytes of well-formed text without control characters.
 * Values are what `packValue` in value.ts takes. Anything else is refused with SIGNALBOX_STORE_ENTRY_INVALID.
 *
 * A change that has resolved is on disk (fsync) and survives kill -9 and loss of power. One that was rejected left
 * nothing behind: with SIGNALBOX_STORE_FULL when there is no room, SIGNALBOX_OVERLOADED when more changes wait
 * than the engine keeps, SIGNALBOX_STORE_UNAVAILABLE when the disk or server fails or after `close`.
 */
export interface Store {
  /** The record, or undefined. Throws SIGNALBOX_STORE_DAMAGED, never returns wrong bytes. Sees every change that has resolved. */
  get<T = unknown>(collection: string, key: string): Promise<StoreRecord<T> | undefined>
  /** Records in the order of their keys (UTF-8 bytes), all of one moment. Throws SIGNALBOX_STORE_DAMAGED at a damaged one. */
  list<T = unknown>(collection: string, options?: ListOptions): Promise<StoreRecord<T>[]>
  /** Writes a record. Throws SIGNALBOX_STORE_CONFLICT when `ifRevision` is given and differs. */
  put<T>(
    collection: string,
    key: string,
    value: T,
    options?: { ifRevision?: number },
  ): Promise<StoreRecord<T>>
  /** Deletes a record; whether there was one. Throws SIGNALBOX_STORE_CONFLICT as `put` does. */
  delete(collection: string, key: string, options?: { ifRevision?: number }): Promise<boolean>
  /**
   * Applies all changes or none, seen by readers at once. A record may be named once. Throws
   * SIGNALBOX_STORE_CONFLICT with every conflicting record in `details.conflicts`.
   */
  transact(changes: readonly Change[]): Promise<Outcome[]>
  /** Appends to a log; the position of the entry. Positions have no gaps. */
  append(log: string, entry: unknown): Promise<number>
  /** Entries in order of position. */
  read<T = unknown>(log: string, options?: ReadOptions): Promise<LogEntry<T>[]>
  /** Deletes the entries up to and including a position; how many there were. Positions are not used again. */
  trim(log: string, upTo: number): Promise<number>
  /**
   * Tells every change of a collection after it is durable, in the order of the revisions, before the promise of
   * its writer resolves. To miss nothing, watch first, then list. A listener must not throw: what it throws is an
   * uncaught exception. Returns the function that ends it.
   */
  watch<T = unknown>(collection: string, listener: (event: WatchEvent<T>) => void): () => void
  /** The revision of the last change; 0 for a new store. */
  revision(): number
  /** Reads everything and returns what is damaged; empty when all is well. */
  verify(): Promise<Damage[]>
  /** Writes a consistent copy, which can be opened as a store, to a folder that is new or empty. Changes go on meanwhile. */
  backup(to: string): Promise<void>
  /** Finishes the changes that were accepted, then frees everything. Idempotent. */
  close(): Promise<void>
}
