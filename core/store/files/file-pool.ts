/**
 * Open files, of all journals of this thread: opened when they are needed, kept open while they are used often, and
 * closed, longest idle first, when there are too many. So thousands of idle journals need no descriptors and no timers.
 */
import { close, open } from 'node:fs'

/** How many idle files stay open. */
const MAX_IDLE = 128

/** A file that the pool opens and closes. */
export class PooledFile {
  readonly path: string
  readonly flags: number
  /** -1 while it is closed. */
  fd = -1
  users = 0
  /** It was given up, and is closed when its last user is done. */
  retired = false
  /** Callers that wait until it is open. */
  readonly waiting: ((error: Error | null, fd: number) => void)[] = []

  constructor(path: string, flags: number) {
    this.path = path
    this.flags = flags
  }
}

/** In the order in which they became idle. */
const idle = new Set<PooledFile>()

/** Opens a file, or takes it as it is. With no error, `done` has to be followed by {@link release}. */
export function acquire(file: PooledFile, done: (error: Error | null, fd: number) => void): void {
  file.users++
  idle.delete(file)
  if (file.fd >= 0) {
    done(null, file.fd)
    return
  }
  file.waiting.push(done)
  // Somebody opens it already.
  if (file.waiting.length > 1) return
  open(file.path, file.flags, (error, fd) => {
    const waiting = file.waiting.splice(0)
    if (error) file.users -= waiting.length
    else file.fd = fd
    for (const each of waiting) each(error, error ? -1 : fd)
  })
}

/** Ends one use of a file. */
export function release(file: PooledFile): void {
  if (--file.users > 0) return
  idle.add(file)
  const [longest] = idle
  if (file.retired) shut(file)
  else if (idle.size > MAX_IDLE) shut(longest!)
}

/** Closes a file as soon as nobody uses it; nobody may acquire it again. */
export function retire(file: PooledFile): void {
  file.retired = true
  if (file.users === 0 && file.fd >= 0) shut(file)
}

/** Runs something with a file that is open. */
export function withFile<T>(file: PooledFile, run: (fd: number) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    acquire(file, (error, fd) => {
      if (error) return reject(error)
      void run(fd)
        .finally(() => release(file))
        .then(resolve, reject)
    })
  })
}

function shut(file: PooledFile): void {
  idle.delete(file)
  const { fd } = file
  file.fd = -1
  // What was confirmed is synced, so that closing cannot lose it, and on Linux the descriptor is free in any case.
  close(fd, () => {})
}
