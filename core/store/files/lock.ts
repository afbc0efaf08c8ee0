/**
 * One process at a time has a folder: see lmdb/owner.ts. Without a transaction to take over in, the owner is the last
 * of files with a number in their name. Taking over makes the next one, which only one process can, and an owner that
 * goes empties its file instead of removing it, so that no number comes twice.
 */
import { randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Clock, systemClock, type Timer } from '../../clock.ts'
import { SignalboxError } from '../../errors.ts'
import { BEAT_MS, beat, checkOwner, takeOwnership } from '../lmdb/owner.ts'
import { failure } from './failure.ts'

const OWNER = /^owner\.(\d{1,15})\.json$/

interface Lock {
  path: string
  users: number
  warn: (error: SignalboxError) => void
}

/** Folders this thread owns. One timer shows for all of them that their owner lives. */
const locks = new Map<string, Lock>()
let beating: Timer | undefined

/**
 * Takes a folder for this process, or shares it with those of this thread that have it; what it returns gives it
 * back. Throws SIGNALBOX_STORE_LOCKED, or SIGNALBOX_STORE_UNAVAILABLE when the folder cannot be written.
 */
export function lockFolder(
  folder: string,
  warn: (error: SignalboxError) => void,
  clock: Clock = systemClock,
): () => void {
  const key = resolve(folder)
  let lock = locks.get(key)
  if (!lock) {
    lock = { path: take(key), users: 0, warn }
    locks.set(key, lock)
    beating ??= clock.after(BEAT_MS, () => beatAll(clock))
  }
  lock.users++
  let released = false
  return () => {
    if (released) return
    released = true
    release(key, lock)
  }
}

function take(folder: string): string {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const last = generations(folder).at(-1) ?? 0
    if (last > 0) checkOwner(ownerPath(folder, last))
    const mine = ownerPath(folder, last + 1)
    claim(folder, mine)
    const all = generations(folder)
    if (all.at(-1) !== last + 1) {
      // Somebody was here, and went or stayed, between the look and the claim.
      rmSync(mine, { force: true })
      throw lost(folder)
    }
    for (const old of all) if (old <= last) rmSync(ownerPath(folder, old), { force: true })
    return mine
  } catch (error) {
    throw failure(error, `the folder ${folder} cannot be taken`)
  }
}

/** Makes the file of the owner, complete, unless there is one. */
function claim(folder: string, path: string): void {
  const draft = join(folder, `owner.${randomUUID()}.draft`)
  try {
    takeOwnership(draft)
    linkSync(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw lost(folder)
    throw error
  } finally {
    rmSync(draft, { force: true })
  }
}

function lost(folder: string): SignalboxError {
  const message = `${folder}: another process took it at the same moment; try again`
  return new SignalboxError('SIGNALBOX_STORE_LOCKED', message, { retryAfterMs: 1_000 })
}

function release(key: string, lock: Lock): void {
  if (--lock.users > 0) return
  locks.delete(key)
  if (locks.size === 0) {
    beating?.cancel()
    beating = undefined
  }
  try {
    const empty = `${lock.path}.${randomUUID()}.draft`
    writeFileSync(empty, '{}', { mode: 0o600 })
    renameSync(empty, lock.path)
  } catch (error) {
    // The next process sees that this one ended; this one itself finds the folder taken.
    lock.warn(failure(error, `${lock.path} cannot be given back`))
  }
}

function beatAll(clock: Clock): void {
  for (const lock of locks.values()) {
    try {
      beat(lock.path)
    } catch (error) {
      lock.warn(failure(error, `${lock.path} cannot be touched: another host may take the journal over`))
    }
  }
  beating = clock.after(BEAT_MS, () => beatAll(clock))
}

function generations(folder: string): number[] {
  const numbers = readdirSync(folder).flatMap(name => OWNER.exec(name)?.[1] ?? [])
  return numbers.map(Number).sort((a, b) => a - b)
}

function ownerPath(folder: string, generation: number): string {
  return join(folder, `owner.${generation}.json`)
}
