/** Checks of what must stay secret. */
import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'
import { isReference } from '../../core/security/references.ts'
import { plainTextSecrets, stepsOf } from '../../core/security/secret-paths.ts'
import { transports } from '../../transports/index.ts'
import type { Check } from './check.ts'

/** Secrets that are written down in signalbox.yaml. Their values are never shown. */
export function plainSecrets(root: string): Check {
  return {
    id: 'plain-secrets',
    title: 'secrets in signalbox.yaml',
    run: async () => {
      const found = plainIn(
        root,
        parse(await readFile(join(root, 'signalbox.yaml'), 'utf8'), { maxAliasCount: 100 }),
      )
      return {
        status: found.length > 0 ? 'fail' : 'ok',
        detail: found.length > 0 ? `in plain text: ${found.join(', ')}` : 'none in plain text',
        why: 'Who can read the file, or its history in git, has them.',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what the file says
        fix: 'signalbox secret set NAME, then write ${secret:NAME} in the file; replace what was in git',
      }
    },
  }
}

function plainIn(root: string, file: unknown): string[] {
  const { network, ...sides } = (file ?? {}) as Record<string, unknown>
  const found: string[] = []
  const secretKey = (network as { secretKey?: unknown } | undefined)?.secretKey
  if (typeof secretKey === 'string' && secretKey !== '' && !isReference(secretKey))
    found.push('network.secretKey')
  for (const side of ['channel', 'connection'] as const) {
    const list = sides[`${side}s`]
    for (const entry of Array.isArray(list) ? list : []) {
      const { name, type, options } = (entry ?? {}) as Record<string, unknown>
      const schema = transports.find(transport => transport.name === type)?.[side]?.options
      if (!schema || typeof options !== 'object' || options === null) continue
      const pointers = plainTextSecrets(schema, options).filter(pointer => !isFile(root, options, pointer))
      found.push(...pointers.map(pointer => `${side} ${String(name)}${pointer}`))
    }
  }
  return found
}

/** Some options take the path of a file in the place of the secret itself. */
function isFile(root: string, options: object, pointer: string): boolean {
  const value = stepsOf(pointer).reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], options)
  return (
    typeof value === 'string' && /[./]/.test(value) && value.length < 1024 && existsSync(resolve(root, value))
  )
}

const STATE_FOLDER = '.signalbox'
const SECRET_FILE = /token|key/

/** The admin token and the master key: for the owner alone. */
export function secretFiles(root: string): Check {
  const folder = join(root, STATE_FOLDER)
  return {
    id: 'secret-files',
    title: 'token and master key',
    run: async () => {
      const files =
        process.platform === 'win32'
          ? []
          : (await readdir(folder).catch(none)).filter(name => SECRET_FILE.test(name))
      const open: string[] = []
      for (const name of files) {
        const { mode } = await stat(join(folder, name))
        if ((mode & 0o077) !== 0)
          open.push(`${join(STATE_FOLDER, name)} (mode ${(mode & 0o777).toString(8)})`)
      }
      return {
        status: open.length > 0 ? 'fail' : 'ok',
        detail:
          open.length > 0
            ? `others have access to ${open.join(', ')}`
            : `${files.length} files, closed to others`,
        why: 'The token lets everyone who reads it do everything; the master key opens all secrets.',
        fix: `chmod 600 ${open.length > 0 ? open.map(text => join(root, text.split(' (')[0]!)).join(' ') : join(folder, '*')}, and replace what others may have read`,
      }
    },
  }
}

function none(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return []
  throw error
}
