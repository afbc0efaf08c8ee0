/** Files of schemas: read from one folder and from nowhere else. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, realpathSync } from 'node:fs'
import { join, posix, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SignalboxError } from '../../errors.ts'

const MAX_FILE_BYTES = 16 * 1_048_576
const MAX_FILES = 500

/**
 * The files below a folder. A path is relative to it, with slashes; a path that leaves it, names another machine, or
 * goes through a symbolic link is refused, so that a schema reads nothing that is not of the project.
 */
export class SchemaFolder {
  readonly #root: string
  readonly #read = new Map<string, Buffer>()

  /** Throws SIGNALBOX_SCHEMA_INVALID when there is no such folder. */
  constructor(folder: URL | string) {
    const path = folder instanceof URL || folder.startsWith('file:') ? fileURLToPath(folder) : folder
    try {
      this.#root = realpathSync(path)
    } catch (error) {
      throw unusable(`there is no folder ${path}`, error)
    }
  }

  /** The files that were read so far, in the order of their paths. */
  get files(): [path: string, bytes: Buffer][] {
    return [...this.#read].sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** The path of what a file refers to; undefined when it is a URI of something that is no file. */
  resolve(reference: string, from = ''): string | undefined {
    if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(reference) || reference.startsWith('//')) return undefined
    const path = posix.normalize(posix.join(posix.dirname(from), decoded(reference)))
    const leaves = path.startsWith('../') || path === '..' || reference.startsWith('/')
    if (leaves || /[\\\0]/.test(path)) {
      throw unusable(`'${reference}'${from && ` in ${from}`} leads out of the folder of the schemas`)
    }
    return path
  }

  /** Whether there is such a file. */
  has(path: string): boolean {
    return lstatSync(join(this.#root, path), { throwIfNoEntry: false })?.isDirectory() === false
  }

  /** Reads a file by a path that `resolve` gave. Throws SIGNALBOX_SCHEMA_INVALID. */
  read(path: string): Buffer {
    const known = this.#read.get(path)
    if (known !== undefined) return known
    if (this.#read.size >= MAX_FILES) throw unusable(`more than ${MAX_FILES} files belong to one schema`)
    const bytes = this.#open(path)
    this.#read.set(path, bytes)
    return bytes
  }

  #open(path: string): Buffer {
    const full = join(this.#root, path)
    let file: number | undefined
    try {
      if (realpathSync(full) !== full || !full.startsWith(this.#root + sep)) {
        throw unusable(`${path} is or lies behind a symbolic link`)
      }
      file = openSync(full, constants.O_RDONLY | constants.O_NOFOLLOW)
      const { size } = fstatSync(file)
      if (size > MAX_FILE_BYTES) throw unusable(`${path} is larger than ${MAX_FILE_BYTES} bytes`)
      return readFileSync(file)
    } catch (error) {
      if (error instanceof SignalboxError) throw error
      throw unusable(`${path} cannot be read: ${(error as Error).message}`, error)
    } finally {
      if (file !== undefined) closeSync(file)
    }
  }
}

function decoded(reference: string): string {
  try {
    return decodeURIComponent(reference)
  } catch (error) {
    throw unusable(`'${reference}' is not a path`, error)
  }
}

/** An error about a schema itself. */
export function unusable(why: string, cause?: unknown): SignalboxError {
  return new SignalboxError('SIGNALBOX_SCHEMA_INVALID', `Schema: ${why}`, { cause })
}
