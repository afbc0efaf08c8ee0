/** The service or route files of a project on disk: nothing is written, read or removed outside their folder. */
import { lstat, mkdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize, sep } from 'node:path'
import { SignalboxError } from '../core/errors.ts'
import { isRouteFile } from '../core/route/load.ts'
import { findFiles, isServiceFile } from '../core/service/load.ts'
import { UNIT_FOLDERS, type UnitKind, versionOf } from './unit-registry.ts'

/** Of a new version while it is tried; the name keeps it from being taken for one of them. */
const PENDING = '_pending.'
const MAX_NAME_CHARACTERS = 200
/** What file systems allow for one part of a path. */
const MAX_PART_BYTES = 255 - PENDING.length

/** A new version of a file that lies beside the one that runs. */
export interface PendingFile {
  /** Where it lies now, below the folder. */
  path: string
  /** Puts it in the place of the file. */
  putInPlace(): Promise<void>
  /** Makes everything as it was before, also after {@link putInPlace}. */
  undo(): Promise<void>
}

const IS_FILE: Readonly<Record<UnitKind, (path: string) => boolean>> = {
  service: isServiceFile,
  route: isRouteFile,
}
const ENDINGS: Readonly<Record<UnitKind, string>> = {
  service: '.ts, .mts, .js or .mjs',
  route: '.yaml, .yml, .ts, .mts, .js or .mjs',
}

export class UnitFiles {
  /** `services/` or `routes/` of the project; this one may be a link. */
  readonly folder: string
  readonly #kind: UnitKind

  constructor(root: string, kind: UnitKind) {
    this.#kind = kind
    this.folder = join(root, UNIT_FOLDERS[kind])
  }

  /** All files, below the folder. Links are not followed. */
  async list(): Promise<string[]> {
    return (await findFiles(this.folder, IS_FILE[this.#kind])).map(path => path.slice(this.folder.length + 1))
  }

  versionOf(file: string): Promise<string> {
    return versionOf(join(this.folder, file))
  }

  /** Throws SIGNALBOX_USAGE for a name that leads elsewhere or is that of no such file. */
  checkName(file: string): void {
    const path = normalize(file)
    const parts = path.split(/[\\/]/)
    const isOutside = isAbsolute(path) || parts.includes('..') || /[\p{Cc}\\:]/u.test(file)
    const isLong =
      file.length > MAX_NAME_CHARACTERS || parts.some(part => Buffer.byteLength(part) > MAX_PART_BYTES)
    if (!isOutside && !isLong && IS_FILE[this.#kind](path)) return
    const shown = file.slice(0, MAX_NAME_CHARACTERS)
    const message = `'${shown}' is no name of a ${this.#kind} file: a path below ${UNIT_FOLDERS[this.#kind]}/ that ends in ${ENDINGS[this.#kind]}`
    throw new SignalboxError('SIGNALBOX_USAGE', message)
  }

  /** Stores a version of a file beside the one that runs. Throws SIGNALBOX_USAGE where a link leads elsewhere. */
  async begin(file: string, source: string): Promise<PendingFile> {
    const path = await this.#pathOf(file)
    const folder = dirname(path)
    const made = await mkdir(folder, { recursive: true })
    // Beside the real one, so that what it imports is found.
    const pending = join(folder, `${PENDING}${path.slice(folder.length + 1)}`)
    let isInPlace = false
    let before: Buffer | undefined
    const undo = async () => {
      await rm(pending, { force: true })
      if (isInPlace && before) {
        await writeFile(pending, before, { flag: 'wx' })
        await rename(pending, path)
      } else if (isInPlace) await rm(path, { force: true })
      if (made !== undefined) await removeEmpty(folder, made)
    }
    try {
      // What lies there, be it a link, is left from before; nothing is written through it.
      await rm(pending, { force: true })
      await writeFile(pending, source, { flag: 'wx' })
    } catch (error) {
      await undo()
      throw error
    }
    const putInPlace = async () => {
      before = (await isPlainFile(path)) ? await readFile(path) : undefined
      await rename(pending, path)
      isInPlace = true
    }
    return { path: pending.slice(this.folder.length + 1), putInPlace, undo }
  }

  /** Throws SIGNALBOX_NOT_FOUND, and SIGNALBOX_USAGE where a link leads elsewhere. */
  async remove(file: string): Promise<void> {
    const path = await this.#pathOf(file)
    try {
      await rm(path)
    } catch (cause) {
      throw new SignalboxError('SIGNALBOX_NOT_FOUND', `there is no ${this.#kind} file ${file}`, { cause })
    }
  }

  /** Where a file belongs. Throws SIGNALBOX_USAGE when the way there is no plain folder, or a folder is there. */
  async #pathOf(file: string): Promise<string> {
    const parts = normalize(file).split(sep)
    let path = this.folder
    for (const [index, part] of parts.entries()) {
      path = join(path, part)
      const isLast = index === parts.length - 1
      const found = await lstat(path).catch(absent)
      // A link in the place of the file itself is replaced, not followed.
      if (found === undefined || found.isDirectory() !== isLast) continue
      const what = found.isSymbolicLink() ? 'a link' : found.isDirectory() ? 'a folder' : 'no folder'
      const place = parts.slice(0, index + 1).join('/')
      const folder = UNIT_FOLDERS[this.#kind]
      const message = `${folder}/${place} is ${what}: ${this.#kind} files lie in plain folders below ${folder}/`
      throw new SignalboxError('SIGNALBOX_USAGE', message, { details: { file } })
    }
    return path
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

async function isPlainFile(path: string): Promise<boolean> {
  return (await lstat(path).catch(absent))?.isFile() ?? false
}

/** Removes the folders from `folder` up to `top` as long as nothing is in them. */
async function removeEmpty(folder: string, top: string): Promise<void> {
  for (let path = folder; path.length >= top.length; path = dirname(path)) {
    try {
      await rmdir(path)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // Somebody else has put something there meanwhile, or has removed it.
      if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOENT') return
      throw error
    }
  }
}
