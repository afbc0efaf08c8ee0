/** `signalbox init`: writes a project that runs. */
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SignalboxError } from '../../core/errors.ts'
import { projectFiles } from './files.ts'

const NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/

/**
 * Writes the files of a project below a folder, which gives it its name. Returns their paths. Throws SIGNALBOX_USAGE,
 * and writes nothing, when one of them is there.
 */
export async function initProject(folder: string, version: string): Promise<string[]> {
  const root = resolve(folder)
  const name = basename(root)
  if (!NAME.test(name)) {
    const message = `'${name}' is no name of a project: a letter, then letters, digits, dots, dashes and underscores`
    throw new SignalboxError('SIGNALBOX_USAGE', message)
  }
  const files = projectFiles({ name, source: sourceFor(root, version) })
  const there = Object.keys(files).filter(file => existsSync(join(root, file)))
  if (there.length > 0) {
    const message = `${folder} has ${there.join(', ')} already, and nothing is overwritten: choose another name`
    throw new SignalboxError('SIGNALBOX_USAGE', message)
  }
  for (const [file, content] of Object.entries(files)) {
    const path = join(root, file)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content, { flag: 'wx' })
  }
  return Object.keys(files)
}

/** A checkout is not on npm: projects that are made from one use it where it is. */
function sourceFor(project: string, version: string): string {
  if (!import.meta.url.endsWith('.ts')) return `^${version}`
  const checkout = fileURLToPath(new URL('../..', import.meta.url))
  return `file:${relative(project, checkout).replaceAll(sep, '/')}`
}
