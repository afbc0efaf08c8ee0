/** Checks of what must stay secret. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Check } from './check.ts'

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
