/** The master key: where it comes from, and the ring of the current key and those that are on their way out. */
import { createHash, randomBytes } from 'node:crypto'
import { chmod, link, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { inspect } from 'node:util'
import { SignalboxError } from '../errors.ts'

/** The environment variable that takes precedence over the file. */
export const MASTER_KEY_VARIABLE = 'SIGNALBOX_MASTER_KEY'

const KEY_BYTES = 32

/** A 256-bit key with the id that records carry. Shows its id, never itself. */
export class MasterKey {
  readonly id: string
  readonly #bytes: Buffer

  /** Throws SIGNALBOX_SECRET_KEY unless it has 32 bytes. */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== KEY_BYTES) throw keyError(`a master key must have ${KEY_BYTES} bytes`)
    this.#bytes = Buffer.from(bytes)
    this.id = createHash('sha256')
      .update('signalbox master key id\0')
      .update(bytes)
      .digest('hex')
      .slice(0, 16)
  }

  static generate(): MasterKey {
    return new MasterKey(randomBytes(KEY_BYTES))
  }

  /** @internal The key itself, for the vault and for the file. */
  static bytesOf(key: MasterKey): Buffer {
    return key.#bytes
  }

  toJSON(): object {
    return { id: this.id }
  }

  toString(): string {
    return `MasterKey(${this.id})`
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

/** The current key first; the others only open what was stored before a rotation that has not finished. */
export type KeyRing = readonly [MasterKey, ...MasterKey[]]

/** Reads keys: base64 of 32 bytes each, the current one first, parted by commas or white space. */
export function parseKeyRing(text: string): KeyRing {
  const [first, ...others] = text.split(/[\s,]+/).filter(word => word !== '')
  if (first === undefined) throw keyError('the master key is empty')
  return [parseKey(first), ...others.map(parseKey)]
}

/**
 * The key ring of this node: from the environment if it is set there, otherwise from the file, which is made
 * with mode 0600 at first use. Throws SIGNALBOX_SECRET_KEY when it is malformed or others may read the file.
 */
export async function loadKeyRing(
  path: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<KeyRing> {
  const given = environment[MASTER_KEY_VARIABLE]
  if (given !== undefined) return parseKeyRing(given)
  const found = await readRing(path)
  if (found !== undefined) return found
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await writeRing(path, [MasterKey.generate()], link)
  // Another process may have been first; then its key counts.
  const made = await readRing(path)
  if (made === undefined) throw keyError(`${path} vanished while it was made`)
  return made
}

/** Replaces the file of the key ring atomically, mode 0600, on disk when this resolves. */
export async function saveKeyRing(path: string, ring: KeyRing): Promise<void> {
  await writeRing(path, ring, rename)
}

async function readRing(path: string): Promise<KeyRing | undefined> {
  try {
    const { mode } = await stat(path)
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw keyError(`others may read ${path}; run chmod 600 on it, and change the key if they have`)
    }
    return parseKeyRing(await readFile(path, 'utf8'))
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  }
}

async function writeRing(
  path: string,
  ring: KeyRing,
  place: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(`${ring.map(key => MasterKey.bytesOf(key).toString('base64')).join('\n')}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await chmod(temporary, 0o600)
    await place(temporary, path)
    await syncFolder(dirname(path))
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
  } finally {
    await rm(temporary, { force: true })
  }
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function parseKey(word: string): MasterKey {
  const bytes = Buffer.from(word, 'base64')
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== word) {
    throw keyError('a master key must be the base64 of 32 bytes, e.g. from `openssl rand -base64 32`')
  }
  return new MasterKey(bytes)
}

function keyError(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_SECRET_KEY', message)
}
