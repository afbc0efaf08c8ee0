/** Named secrets, encrypted at rest with AES-256-GCM (NIST SP 800-38D) under the master key of the node. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { SignalboxError } from '../errors.ts'
import { type KeyRing, MasterKey } from './master-key.ts'

/** Where records are kept. Names and records are text. */
export interface KeyValueStore {
  get(name: string): Promise<string | undefined>
  put(name: string, record: string): Promise<void>
  delete(name: string): Promise<void>
  list(): Promise<string[]>
}

/** Largest secret in bytes of UTF-8: a chain of certificates fits. */
export const MAX_SECRET_BYTES = 65_536

/** What a secret may be called, as a pattern. */
export const SECRET_NAME = '^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$'

const NAME = new RegExp(SECRET_NAME)
const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16
const PART = /^[A-Za-z0-9+/]*={0,2}$/

/** A record as it is stored: JSON, binary parts as base64. */
interface SecretRecord {
  v: 1
  keyId: string
  nonce: string
  data: string
  tag: string
}

/**
 * The secrets of a bus. The name and the key id are authenticated with the value, so a record that was changed,
 * or copied to another name, does not open; an older record of the same name put back does. Writes of one vault
 * run one after the other. Values are in no error, and a vault that is logged or printed shows key ids only.
 */
export class SecretVault {
  readonly #store: KeyValueStore
  #ring: KeyRing
  #last: Promise<unknown> = Promise.resolve()

  constructor(store: KeyValueStore, ring: KeyRing) {
    this.#store = store
    this.#ring = ring
  }

  /** Stores a secret under the current key, over an older one. Throws SIGNALBOX_SECRET_INVALID. */
  async put(name: string, value: string): Promise<void> {
    checkName(name)
    if (typeof value !== 'string' || !value.isWellFormed() || Buffer.byteLength(value) > MAX_SECRET_BYTES) {
      throw new SignalboxError(
        'SIGNALBOX_SECRET_INVALID',
        `the secret ${name} must be well-formed text of at most ${MAX_SECRET_BYTES} bytes`,
      )
    }
    await this.#exclusively(() => this.#store.put(name, seal(this.#ring[0], name, value)))
  }

  /** The value. Throws SIGNALBOX_SECRET_UNKNOWN, SIGNALBOX_SECRET_KEY or SIGNALBOX_SECRET_TAMPERED. */
  async get(name: string): Promise<string> {
    checkName(name)
    const record = await this.#store.get(name)
    if (record === undefined) {
      throw new SignalboxError('SIGNALBOX_SECRET_UNKNOWN', `there is no secret '${name}'`, {
        details: { name },
      })
    }
    return this.#open(name, record)
  }

  async has(name: string): Promise<boolean> {
    checkName(name)
    return (await this.#store.get(name)) !== undefined
  }

  /** Removes a secret; one that is not there is no error. */
  async delete(name: string): Promise<void> {
    checkName(name)
    await this.#exclusively(() => this.#store.delete(name))
  }

  /** The names, in order. */
  async list(): Promise<string[]> {
    return (await this.#store.list()).sort()
  }

  /** Ids of the keys that open records; the first one also seals. */
  get keyIds(): string[] {
    return this.#ring.map(key => key.id)
  }

  /**
   * Seals every secret again under a new key, while reads go on. Until it resolves, records need the old keys or
   * the new one: save a ring with the new key first and the old ones behind it before, and one with the new key
   * alone after. Calling it again with the same key finishes what was interrupted. Returns how many were sealed.
   */
  async rotate(newKey: MasterKey): Promise<number> {
    return this.#exclusively(async () => {
      this.#ring = [newKey, ...this.#ring.filter(key => key.id !== newKey.id)]
      let sealed = 0
      for (const name of await this.#store.list()) {
        const record = await this.#store.get(name)
        if (record === undefined || parseRecord(name, record).keyId === newKey.id) continue
        await this.#store.put(name, seal(newKey, name, this.#open(name, record)))
        sealed++
      }
      this.#ring = [newKey]
      return sealed
    })
  }

  toJSON(): object {
    return { keyIds: this.keyIds }
  }

  toString(): string {
    return `SecretVault(${this.keyIds.join(', ')})`
  }

  [inspect.custom](): string {
    return this.toString()
  }

  #open(name: string, text: string): string {
    const record = parseRecord(name, text)
    const key = this.#ring.find(({ id }) => id === record.keyId)
    if (key === undefined) {
      throw new SignalboxError(
        'SIGNALBOX_SECRET_KEY',
        `the secret ${name} was stored with the master key ${record.keyId}; this node has ${this.keyIds.join(', ')}`,
        { details: { name, keyId: record.keyId } },
      )
    }
    return unseal(key, name, record)
  }

  /** Runs after every write before it, whether that one failed or not. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}

function seal(key: MasterKey, name: string, value: string): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, MasterKey.bytesOf(key), nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(additionalData(key.id, name))
  const data = Buffer.concat([cipher.update(value, 'utf8'), cipher.final()])
  const record: SecretRecord = {
    v: 1,
    keyId: key.id,
    nonce: nonce.toString('base64'),
    data: data.toString('base64'),
    tag: cipher.getAuthTag().toString('base64'),
  }
  return JSON.stringify(record)
}

function unseal(key: MasterKey, name: string, record: SecretRecord): string {
  try {
    const nonce = Buffer.from(record.nonce, 'base64')
    const decipher = createDecipheriv(CIPHER, MasterKey.bytesOf(key), nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(additionalData(key.id, name))
    decipher.setAuthTag(Buffer.from(record.tag, 'base64'))
    const bytes = [decipher.update(Buffer.from(record.data, 'base64')), decipher.final()]
    return Buffer.concat(bytes).toString('utf8')
  } catch {
    // OpenSSL says no more than that it does not authenticate.
    throw tampered(name)
  }
}

/** Length first, so that no two pairs of id and name give the same bytes. */
function additionalData(keyId: string, name: string): Buffer {
  return Buffer.from(`signalbox secret 1\0${keyId.length}\0${keyId}\0${name}`)
}

function parseRecord(name: string, text: string): SecretRecord {
  let value: Partial<Record<keyof SecretRecord, unknown>> | null
  try {
    value = JSON.parse(text)
  } catch {
    // The parser's message would quote the record.
    throw tampered(name)
  }
  const parts = [value?.nonce, value?.data, value?.tag]
  const isRecord =
    value?.v === 1 &&
    typeof value.keyId === 'string' &&
    /^[0-9a-f]{16}$/.test(value.keyId) &&
    parts.every(part => typeof part === 'string' && PART.test(part))
  if (!isRecord) throw tampered(name)
  return value as SecretRecord
}

function checkName(name: string): void {
  if (typeof name === 'string' && NAME.test(name)) return
  throw new SignalboxError(
    'SIGNALBOX_SECRET_INVALID',
    'the name of a secret must have 1 to 128 letters, digits, dots, dashes, underscores or slashes',
  )
}

function tampered(name: string): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_SECRET_TAMPERED',
    `the record of the secret ${name} is not what was written`,
    {
      details: { name },
    },
  )
}
