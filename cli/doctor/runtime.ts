/** Checks of Node.js and of what it loads. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { nodeAdvice } from '../node-version.mjs'
import type { Check } from './check.ts'

export function nodeVersion(version: string = process.versions.node): Check {
  return {
    id: 'node-version',
    title: 'Node.js',
    run: async () => ({
      status: nodeAdvice(version) === undefined ? 'ok' : 'fail',
      detail: version,
      why: 'Older versions do not run TypeScript and miss functions that the bus uses.',
      fix: 'Install Node.js 24 or later from https://nodejs.org.',
    }),
  }
}

/** Each connection and each file takes one; Node.js raises the soft limit to the hard one when it starts. */
const FEW_FILES = 10_000
const TOO_FEW_FILES = 1_024

/** `read` gives the number of files this process may have open. */
export function openFiles(read: () => Promise<number> = openFileLimit): Check {
  return {
    id: 'open-files',
    title: 'open files',
    run: async () => {
      const limit = await read()
      return {
        status: limit < TOO_FEW_FILES ? 'fail' : limit < FEW_FILES ? 'warn' : 'ok',
        detail: Number.isFinite(limit) ? `at most ${limit}` : 'no limit',
        why: 'Every connection takes one; when they are used up, new clients are not served.',
        fix: 'ulimit -n 65536  (systemd: LimitNOFILE=65536)',
      }
    },
  }
}

async function openFileLimit(): Promise<number> {
  // On Windows there is no such limit.
  if (process.platform === 'win32') return Number.POSITIVE_INFINITY
  const text =
    process.platform === 'linux'
      ? /^Max open files\s+(\S+)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1]
      : (await promisify(execFile)('/bin/sh', ['-c', 'ulimit -n'])).stdout.trim()
  return text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text)
}

const NATIVE: Record<string, () => Promise<unknown>> = { zeromq: () => import('zeromq') }

/** Packages with native code: they load, or say why not. */
export function nativePackages(packages: Record<string, () => Promise<unknown>> = NATIVE): Check {
  return {
    id: 'native-packages',
    title: 'native packages',
    run: async () => {
      const failures: string[] = []
      for (const [name, load] of Object.entries(packages)) {
        await load().catch((error: Error) => failures.push(`${name}: ${error.message}`))
      }
      return {
        status: failures.length > 0 ? 'fail' : 'ok',
        detail: failures.join('; ') || `${Object.keys(packages).join(', ')} loaded`,
        why: 'Without them nodes and programs cannot reach each other.',
        fix: 'npm rebuild',
      }
    },
  }
}
