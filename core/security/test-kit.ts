/** What the tests of this folder share. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { SignalboxError } from '../errors.ts'
import type { Credentials } from './definition.ts'
import type { KeyValueStore } from './secrets.ts'

/** A folder that is gone after the test. */
export async function temporaryFolder(test: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-security-'))
  test.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Records in memory, open to the tests that tamper with them. */
export class MemoryStore implements KeyValueStore {
  readonly records = new Map<string, string>()

  async get(name: string): Promise<string | undefined> {
    return this.records.get(name)
  }

  async put(name: string, record: string): Promise<void> {
    this.records.set(name, record)
  }

  async delete(name: string): Promise<void> {
    this.records.delete(name)
  }

  async list(): Promise<string[]> {
    return [...this.records.keys()]
  }
}

/** Records as files of a folder. */
export class FileStore implements KeyValueStore {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async get(name: string): Promise<string | undefined> {
    return (await this.list()).includes(name) ? readFile(this.#path(name), 'utf8') : undefined
  }

  async put(name: string, record: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    await writeFile(this.#path(name), record)
  }

  async delete(name: string): Promise<void> {
    await rm(this.#path(name), { force: true })
  }

  async list(): Promise<string[]> {
    await mkdir(this.#folder, { recursive: true })
    return (await readdir(this.#folder)).map(decodeURIComponent)
  }

  #path(name: string): string {
    return join(this.#folder, encodeURIComponent(name))
  }
}

/** Fails unless the work ends in an error of this code; returns the error. */
export async function refusal(
  work: () => unknown,
  code = 'SIGNALBOX_UNAUTHENTICATED',
): Promise<SignalboxError> {
  try {
    await work()
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${error}`)
    assert.equal(error.code, code, error.message)
    return error
  }
  return assert.fail(`nothing was refused, expected ${code}`)
}

/** Credentials in an Authorization header. */
export function authorizing(value: string, remoteAddress?: string): Credentials {
  return { headers: { authorization: value }, ...(remoteAddress !== undefined && { remoteAddress }) }
}

/** Credentials of Basic authentication. */
export function basicOf(user: string, password: string, remoteAddress?: string): Credentials {
  return authorizing(`Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`, remoteAddress)
}
