/** What may be stored: names, keys, values, sizes. The same for every engine. */
import { SignalboxError } from '../errors.ts'
import type { Change } from './store.ts'

const MAX_KEY_BYTES = 512
const MAX_CHANGES = 10_000
const MAX_LIMIT = 100_000
const DEFAULT_LIMIT = 10_000
const NAME = /^[a-z][a-z0-9.-]{0,63}$/

/** Throws SIGNALBOX_STORE_ENTRY_INVALID unless it names a collection or log. */
export function checkName(name: string, what: 'collection' | 'log'): void {
  if (typeof name === 'string' && NAME.test(name)) return
  throw refused(
    `${what} ${JSON.stringify(name)} must be 1 to 64 lower-case letters, digits, dots and dashes, a letter first`,
  )
}

/** Throws SIGNALBOX_STORE_ENTRY_INVALID unless it can be the key of a record. */
export function checkKey(key: string): void {
  if (typeof key !== 'string' || key.length === 0) throw refused('a key must be text that is not empty')
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw refused(`the key ${JSON.stringify(key.slice(0, 40))}... is longer than ${MAX_KEY_BYTES} bytes`)
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(key) || !key.isWellFormed()) {
    throw refused(`the key ${JSON.stringify(key)} has control characters or is not well-formed Unicode`)
  }
}

/** The number of items to give: the default, or what was asked for if that is allowed. */
export function checkLimit(limit: number = DEFAULT_LIMIT): number {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw refused(`limit must be an integer from 1 to ${MAX_LIMIT}, not ${String(limit)}`)
}

/** A position or revision: an integer from 0. */
export function checkNumber(value: number, what: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw refused(`${what} must be an integer from 0, not ${String(value)}`)
}

/** Throws SIGNALBOX_STORE_ENTRY_INVALID unless the changes can be one transaction. */
export function checkChanges(changes: readonly Change[]): void {
  if (changes.length > MAX_CHANGES) throw refused(`a transaction has at most ${MAX_CHANGES} changes`)
  const seen = new Set<string>()
  for (const change of changes) {
    if (change.type === 'append') {
      checkName(change.log, 'log')
      continue
    }
    checkName(change.collection, 'collection')
    checkKey(change.key)
    if (change.ifRevision !== undefined) checkNumber(change.ifRevision, 'ifRevision')
    const place = `${change.collection}/${change.key}`
    if (seen.has(place)) throw refused(`a transaction changes ${place} twice`)
    seen.add(place)
  }
}

/** The error for something that the store cannot hold. */
export function refused(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_STORE_ENTRY_INVALID', message)
}

/** A record that has another revision than expected. */
export interface Conflict {
  collection: string
  key: string
  expected: number
  /** 0 when the record does not exist. */
  actual: number
}

/** The error for changes whose `ifRevision` differs. */
export function conflicting(conflicts: Conflict[]): SignalboxError {
  const list = conflicts.map(({ collection, key, expected, actual }) => {
    const found = actual === 0 ? 'does not exist' : `has revision ${actual}`
    return `${collection}/${key} ${found}, expected ${expected === 0 ? 'that it does not exist' : expected}`
  })
  return new SignalboxError('SIGNALBOX_STORE_CONFLICT', list.join('; '), { details: { conflicts } })
}
