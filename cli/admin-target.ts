/** Where the admin API is, and with which token: from the options, the environment or the project's folder. */
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { SignalboxError } from '../core/errors.ts'
import { stateFoldersOf, TOKEN_FILE, URL_FILE } from './state-folder.ts'

export const DEFAULT_ADMIN_URL = 'http://127.0.0.1:7700'

/** Options that every verb has that talks to a node. */
export interface AdminFlags {
  url?: string
  token?: string
}

type Environment = Readonly<Record<string, string | undefined>>

export interface AdminTarget {
  url: URL
  token: string | undefined
}

/**
 * The options win over SIGNALBOX_URL and SIGNALBOX_TOKEN, and these over what the node of the project has written into
 * its state, which is looked for from `folder` upwards. The token of a file is for the node of this machine: it is sent
 * to loopback addresses only. Throws SIGNALBOX_USAGE for a URL that is none.
 */
export function adminTarget(
  flags: AdminFlags,
  folder: string = process.cwd(),
  environment: Environment = process.env,
): AdminTarget {
  const left = leftByNode(folder, environment)
  const text = flags.url || environment.SIGNALBOX_URL || left.url || DEFAULT_ADMIN_URL
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    const message = `'${text}' is no URL of an admin API; give one like ${DEFAULT_ADMIN_URL}`
    throw new SignalboxError('SIGNALBOX_USAGE', message)
  }
  const given = flags.token || environment.SIGNALBOX_TOKEN
  const token = given || (isLoopback(url) ? left.token : undefined)
  if (token !== undefined && !/^[!-~]+$/.test(token)) {
    throw new SignalboxError('SIGNALBOX_USAGE', 'the admin token has spaces or characters that no token has')
  }
  return { url, token }
}

/** The nearest folder at or above `folder` that has `name` in it. */
export function folderWith(name: string, folder: string): { folder: string; text: string } | undefined {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const text = textOf(join(at, name))
    if (text !== undefined) return { folder: at, text }
    if (at === dirname(at)) return undefined
  }
}

/** What the node of the nearest project at or above `folder` has written; both come from the same one. */
function leftByNode(folder: string, environment: Environment): { url?: string; token?: string } {
  for (let at = resolve(folder); ; at = dirname(at)) {
    for (const state of stateFoldersOf(at, environment)) {
      const [url, token] = [URL_FILE, TOKEN_FILE].map(name => textOf(join(state, name))?.trim())
      if (url || token) return { ...(url && { url }), ...(token && { token }) }
    }
    if (at === dirname(at)) return {}
  }
}

/** Undefined when there is no such file. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw unreadable(path, error)
  }
}

function isLoopback({ hostname }: URL): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

function unreadable(path: string, cause: unknown): SignalboxError {
  return new SignalboxError('SIGNALBOX_USAGE', `${path} cannot be read: ${(cause as Error).message}`, {
    cause,
  })
}
