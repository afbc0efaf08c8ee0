/** Where a node keeps its state, and what it leaves there for the command line. Loads nothing: each verb needs it. */
import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'

/** Names of files in the folder of the state. */
export const TOKEN_FILE = 'admin-token'
/** Where the admin API of the running node listens; not there while it does not. */
export const URL_FILE = 'admin-url'

const INSIDE = '.signalbox'

type Environment = Readonly<Record<string, string | undefined>>

/** Where the state of a project lies: in `.signalbox` there, or below SIGNALBOX_STATE_DIR. */
export function stateFolderOf(root: string, environment: Environment = process.env): string {
  const elsewhere = environment.SIGNALBOX_STATE_DIR
  if (!elsewhere) return join(resolve(root), INSIDE)
  return join(elsewhere, createHash('sha256').update(resolve(root)).digest('hex').slice(0, 16))
}

/** Where it may lie, the likeliest first: a node may have been started with another environment. */
export function stateFoldersOf(root: string, environment: Environment): string[] {
  return [...new Set([stateFolderOf(root, environment), join(resolve(root), INSIDE)])]
}
