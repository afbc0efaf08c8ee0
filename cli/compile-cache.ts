/** Keeps compiled code from one start to the next: compiling is half of what a start costs. */
import { mkdirSync, readdirSync, renameSync, rm, statSync } from 'node:fs'
import { enableCompileCache, flushCompileCache, getCompileCacheDir } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** Every version of a service that was ever deployed leaves a file; beyond this many all are made anew. */
const MAX_FILES = 10_000
const FLUSH_AFTER_MS = 2_000

/**
 * Uses Node.js's compile cache, here and in the threads that follow, in a folder that belongs to this user alone:
 * `$XDG_CACHE_HOME/signalbox/compile`, or below `~/.cache`. Where there can be none, nothing is cached. The
 * environment variables NODE_COMPILE_CACHE and NODE_DISABLE_COMPILE_CACHE have the last word.
 */
export function useCompileCache(env: NodeJS.ProcessEnv = process.env): void {
  if (env.NODE_COMPILE_CACHE !== undefined || env.NODE_DISABLE_COMPILE_CACHE !== undefined) return
  const folder = privateFolder(env)
  if (folder === undefined) return
  enableCompileCache(folder)
  // The folder for this version of Node.js, below the one it was given.
  const directory = getCompileCacheDir()
  if (directory === undefined) return
  if (readdirSync(directory).length > MAX_FILES) startOver(directory)
  // What reaches the worker threads.
  env.NODE_COMPILE_CACHE = folder
  // Whoever is killed writes nothing at its end.
  setTimeout(flushCompileCache, FLUSH_AFTER_MS).unref()
}

/** Begins an empty folder; to delete thousands of files takes seconds, so that is done beside. */
function startOver(directory: string): void {
  const old = `${directory}.old-${process.pid}`
  try {
    renameSync(directory, old)
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    // Another process was first.
    if (!['ENOENT', 'EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code!)) throw error
  }
  rm(old, { recursive: true, force: true }, () => {})
}

/** Undefined when there is no such folder, or others could put code there. */
function privateFolder(env: NodeJS.ProcessEnv): string | undefined {
  try {
    const folder = join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'signalbox', 'compile')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { uid, mode } = statSync(folder)
    const mine = process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0)
    return mine ? folder : undefined
  } catch {
    // No home, a disk that is full or read-only: the start is slower, and that is all.
    return undefined
  }
}
