/** File operations that do the whole of what they are asked, or fail. */
import * as fs from 'node:fs'
import { open, readdir, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Writes all of a buffer. */
export function writeAll(
  fd: number,
  bytes: Buffer,
  length: number,
  at: number,
  done: (error: Error | null) => void,
): void {
  write(fd, bytes, 0, length, at, done)
}

function write(
  fd: number,
  bytes: Buffer,
  from: number,
  to: number,
  at: number,
  done: (error: Error | null) => void,
): void {
  fs.write(fd, bytes, from, to - from, at, (error, written) => {
    if (error) done(error)
    else if (from + written >= to) done(null)
    // A write that is cut short fails when it goes on, with the reason.
    else write(fd, bytes, from + written, to, at + written, done)
  })
}

/** As {@link writeAll}, as a promise. */
export function writeFully(fd: number, bytes: Buffer, at: number): Promise<void> {
  return new Promise((resolve, reject) => {
    writeAll(fd, bytes, bytes.length, at, error => (error ? reject(error) : resolve()))
  })
}

export function dataSync(fd: number): Promise<void> {
  return new Promise((resolve, reject) => fs.fdatasync(fd, error => (error ? reject(error) : resolve())))
}

export function sizeOf(fd: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.fstat(fd, (error, stats) => (error ? reject(error) : resolve(stats.size)))
  })
}

/** Reads up to `length` bytes; fewer only at the end of the file. */
export async function readFully(
  fd: number,
  into: Buffer,
  from: number,
  length: number,
  at: number,
): Promise<number> {
  let got = 0
  while (got < length) {
    const read = await readSome(fd, into, from + got, length - got, at + got)
    if (read === 0) break
    got += read
  }
  return got
}

function readSome(fd: number, into: Buffer, from: number, length: number, at: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, from, length, at, (error, read) => (error ? reject(error) : resolve(read)))
  })
}

/** Syncs a folder, so that the names in it survive a loss of power. Windows has no such thing, and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Writes a file that is complete and on disk, though perhaps not its name. */
export async function writeSynced(path: string, bytes: Buffer): Promise<void> {
  const handle = await open(path, 'w', 0o600)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Gives a file its name, durably. */
export async function renameDurably(from: string, to: string): Promise<void> {
  await rename(from, to)
  await syncFolder(dirname(to))
}

/** The names in a folder; none when it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
