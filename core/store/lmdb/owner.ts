/**
 * Who has the folder open: a small file with the process that does. LMDB itself lets several processes write; the
 * revisions, watchers and caches above it do not. Whoever writes this file does it inside of an LMDB write
 * transaction, which only one process at a time can have, so that two that take over at once cannot both win.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { resolve, sep } from 'node:path'
import { SignalboxError } from '../../errors.ts'

/** How often the owner shows that it lives, in milliseconds. */
export const BEAT_MS = 5_000
/** An owner on another host (another container) that has not shown itself for so long is dead, in milliseconds. */
const DEAD_MS = 30_000

interface Owner {
  id: string
  pid: number
  host: string
  /** When the process started, as the system says it; tells two processes with the same pid apart. */
  startedAt: string
}

/** Folders that no other thread of this process opens. */
const soleFolders: string[] = []
/** Owners that this thread is. */
const mine = new Set<string>()

/**
 * Says that no other thread of this process opens anything in a folder: what one has open there belongs to a thread that
 * was ended before it could give it back.
 */
export function openOnlyHere(folder: string): void {
  soleFolders.push(resolve(folder) + sep)
}

/** Throws SIGNALBOX_STORE_LOCKED when somebody alive owns the folder. */
export function checkOwner(path: string): void {
  const owner = readOwner(path)
  if (!owner || !isAlive(owner, path)) return
  const who = owner.pid === process.pid ? 'this process itself' : `process ${owner.pid} on ${owner.host}`
  throw new SignalboxError('SIGNALBOX_STORE_LOCKED', `${path}: ${who} has the store open`, {
    details: { pid: owner.pid, host: owner.host },
    retryAfterMs: DEAD_MS,
  })
}

/** Takes the folder; call it inside of a write transaction. Throws as {@link checkOwner} does. The id of the owner. */
export function takeOwnership(path: string): string {
  checkOwner(path)
  const owner: Owner = {
    id: randomUUID(),
    pid: process.pid,
    host: hostname(),
    startedAt: startOf(process.pid) ?? '',
  }
  const fresh = `${path}.${owner.id}`
  writeFileSync(fresh, JSON.stringify(owner), { mode: 0o600, flag: 'wx' })
  renameSync(fresh, path)
  mine.add(owner.id)
  return owner.id
}

/** Shows that the owner lives. */
export function beat(path: string): void {
  const now = new Date()
  utimesSync(path, now, now)
}

/** Gives the folder back, unless somebody else has taken it. */
export function releaseOwnership(path: string, id: string): void {
  if (readOwner(path)?.id === id) rmSync(path, { force: true })
}

/** The owner; undefined when there is none, or the file is not one: it is renamed into place, so never half written. */
function readOwner(path: string): Owner | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const owner = parseOwner(text)
  return owner && Number.isSafeInteger(owner.pid) && owner.pid > 0 ? owner : undefined
}

function parseOwner(text: string): Owner | undefined {
  try {
    return JSON.parse(text) as Owner
  } catch {
    // After a loss of power the file can be empty: it is not synced, and its owner is as dead as can be.
    return undefined
  }
}

function isAlive(owner: Owner, path: string): boolean {
  if (owner.host !== hostname()) return Date.now() - statSync(path).mtimeMs < DEAD_MS
  if (owner.pid === process.pid && !mine.has(owner.id)) {
    if (soleFolders.some(folder => resolve(path).startsWith(folder))) return false
  }
  if (owner.pid === process.pid) return owner.startedAt === (startOf(owner.pid) ?? '')
  try {
    process.kill(owner.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const startedAt = startOf(owner.pid)
  return startedAt === undefined || startedAt === owner.startedAt
}

/** Field 22 of /proc/PID/stat (proc(5)); undefined where there is no /proc, and `dead` for one not yet reaped. */
function startOf(pid: number): string | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    // Not Linux, or the process ended just now; the signal has told what can be told.
    return undefined
  }
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? 'dead' : fields[19]
}
