/** Skips tests whose server is not installed, or fails them where the servers must be there. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where servers live that are not on the PATH of everyone. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']

/** Options of a test or suite that needs a server. */
export interface ServerTestOptions {
  /** Why the test is skipped, or false. */
  skip: string | false
}

/** Full path of an installed program, or undefined. Looks on the PATH and in the system folders. */
export function findServer(program: string, path = process.env.PATH ?? ''): string | undefined {
  const folders = [...path.split(delimiter).filter(folder => folder !== ''), ...SYSTEM_FOLDERS]
  return folders.map(folder => join(folder, program)).find(isExecutable)
}

/**
 * Options for a test or suite that needs the program of a server: `describe('redis', serverTest('redis-server'),
 * ...)`. Skips it by name when the program is not installed. Throws instead when SIGNALBOX_REQUIRE_SERVERS is
 * `1`, so that the file fails.
 */
export function serverTest(program: string, env: NodeJS.ProcessEnv = process.env): ServerTestOptions {
  if (findServer(program, env.PATH) !== undefined) return { skip: false }
  const reason = `${program} is not installed`
  if (env.SIGNALBOX_REQUIRE_SERVERS !== '1') return { skip: reason }
  throw new Error(`${reason}, and SIGNALBOX_REQUIRE_SERVERS=1 demands it: install it or unset the variable`)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
