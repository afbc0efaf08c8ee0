/** Lets somebody change a text in the editor of their choice. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SignalboxError } from '../core/errors.ts'

/** A text that was edited; `done` removes its file, so that nothing is lost while it cannot be used. */
export interface Edited {
  text: string
  path: string
  done(): Promise<void>
}

/**
 * Opens VISUAL, EDITOR or vi on the text, in a file that nobody else may read. Throws SIGNALBOX_CANCELLED when the
 * editor fails, which is how one leaves it without saving.
 */
export async function edited(text: string, name: string): Promise<Edited> {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-edit-'))
  const path = join(folder, name)
  const done = () => rm(folder, { recursive: true, force: true })
  try {
    await writeFile(path, text, { mode: 0o600 })
    const editor = process.env.VISUAL || process.env.EDITOR || 'vi'
    // By a shell, because the variable may hold arguments, e.g. `code --wait`.
    const child = spawn('sh', ['-c', `${editor} "$1"`, 'sh', path], { stdio: 'inherit' })
    const [code] = await once(child, 'exit')
    if (code !== 0)
      throw new SignalboxError('SIGNALBOX_CANCELLED', `the editor (${editor}) failed; nothing was changed`)
    return { text: await readFile(path, 'utf8'), path, done }
  } catch (error) {
    await done()
    throw error
  }
}
