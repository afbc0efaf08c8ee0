/** Admin tokens: how the command line and the web admin say who they are. Stored hashed, with role and expiry. */
import { timingSafeEqual } from 'node:crypto'
import { chmod, mkdir, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type Clock, systemClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import type { Identity } from '../service/service.ts'
import { identityOf, wrongCredentials } from './definition.ts'
import { hashKey, isWellFormedKey, makeKey } from './keys.ts'
import { isRole, type Role } from './roles.ts'
import type { KeyValueStore } from './secrets.ts'

/** The security definition that identities of admin tokens name. */
export const ADMIN_DEFINITION = 'admin-token'

const DAY_MS = 86_400_000
const DEFAULT_LIFETIME_MS = 90 * DAY_MS
const MAX_LIFETIME_MS = 366 * DAY_MS
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/
const ID_CHARS = 24

export interface TokenRequest {
  /** Who uses it; letters, digits, dots, dashes, underscores and @. */
  name: string
  role: Role
  /** How long it is valid, in milliseconds. Default 90 days, at most 366. */
  lifetimeMs?: number
}

/** What is known of a token; the token itself is not. */
export interface TokenInfo {
  /** The beginning of its hash: enough to name it, not to use it. */
  id: string
  name: string
  role: Role
  /** Milliseconds since the epoch. */
  createdAt: number
  expiresAt: number
}

interface StoredToken extends Omit<TokenInfo, 'id'> {
  hash: string
}

/** The admin tokens of a bus. */
export class AdminTokens {
  readonly #store: KeyValueStore
  readonly #clock: Clock

  constructor(store: KeyValueStore, clock: Clock = systemClock) {
    this.#store = store
    this.#clock = clock
  }

  /**
   * At first start, and when the last valid token of role admin has expired: makes one and writes it to a new
   * file of mode 0600. Returns the token to be shown once, or undefined when there is a valid one already. An old
   * file in the way is replaced. Call it on one node of a cluster at a time.
   */
  async first(path: string): Promise<string | undefined> {
    const now = this.#clock.now()
    if ((await this.list()).some(({ role, expiresAt }) => role === 'admin' && expiresAt > now))
      return undefined
    const { key, hash } = makeKey('sba')
    await writePrivate(path, `${key}\n`)
    await this.#put(hash, { name: 'admin', role: 'admin' })
    return key
  }

  /** Makes a token; it is in the answer and nowhere else. Throws SIGNALBOX_INPUT_INVALID. */
  async issue(request: TokenRequest): Promise<{ token: string; info: TokenInfo }> {
    const { key, hash } = makeKey('sba')
    return { token: key, info: await this.#put(hash, request) }
  }

  /**
   * Who a token belongs to, with its role. Throws SIGNALBOX_UNAUTHENTICATED for a malformed, unknown, expired or
   * revoked one, in the same words.
   */
  async verify(token: string): Promise<Identity> {
    const found = await this.identify(token)
    if (found === undefined) throw wrongCredentials('malformed or unknown token')
    if (found.expired) throw wrongCredentials('expired token')
    return found.identity
  }

  /**
   * Whom a token was made for, also when it has expired since: then it proves nothing any more, and says only who
   * tried. Undefined for a malformed, unknown or revoked one.
   */
  async identify(token: string): Promise<{ identity: Identity; expired: boolean } | undefined> {
    if (typeof token !== 'string' || !isWellFormedKey(token, 'sba')) return undefined
    const hash = hashKey(token)
    const stored = parse(await this.#store.get(idOf(hash)))
    if (stored === undefined || !isEqual(stored.hash, hash)) return undefined
    const identity = identityOf(ADMIN_DEFINITION, stored.name, [stored.role])
    return { identity, expired: stored.expiresAt <= this.#clock.now() }
  }

  /** Takes a token back; false when there is none of this id. */
  async revoke(id: string): Promise<boolean> {
    if (!/^[0-9a-f]+$/.test(id) || (await this.#store.get(id)) === undefined) return false
    await this.#store.delete(id)
    return true
  }

  /** All tokens, expired ones too, the oldest first. */
  async list(): Promise<TokenInfo[]> {
    const found: TokenInfo[] = []
    for (const id of await this.#store.list()) {
      const stored = parse(await this.#store.get(id))
      if (stored === undefined) continue
      const { hash: _, ...rest } = stored
      found.push({ id, ...rest })
    }
    return found.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
  }

  async #put(
    hash: string,
    { name, role, lifetimeMs = DEFAULT_LIFETIME_MS }: TokenRequest,
  ): Promise<TokenInfo> {
    if (!NAME.test(name))
      throw invalid('the name must have 1 to 64 letters, digits, dots, dashes, underscores or @')
    if (!isRole(role)) throw invalid(`there is no role '${role}'`)
    if (!Number.isInteger(lifetimeMs) || lifetimeMs <= 0 || lifetimeMs > MAX_LIFETIME_MS) {
      throw invalid(`lifetimeMs must be an integer from 1 to ${MAX_LIFETIME_MS}`)
    }
    const createdAt = this.#clock.now()
    const info = { name, role, createdAt, expiresAt: createdAt + lifetimeMs }
    const stored: StoredToken = { ...info, hash }
    await this.#store.put(idOf(hash), JSON.stringify(stored))
    return { id: idOf(hash), ...info }
  }
}

function idOf(hash: string): string {
  return hash.slice('sha256:'.length, 'sha256:'.length + ID_CHARS)
}

function isEqual(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))
}

/** A record that is not one opens nothing. */
function parse(text: string | undefined): StoredToken | undefined {
  if (text === undefined) return undefined
  const value = JSON.parse(text) as Partial<StoredToken>
  const isToken =
    typeof value.hash === 'string' &&
    typeof value.name === 'string' &&
    typeof value.role === 'string' &&
    isRole(value.role) &&
    typeof value.createdAt === 'number' &&
    typeof value.expiresAt === 'number'
  return isToken ? (value as StoredToken) : undefined
}

async function writePrivate(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await rm(path, { force: true })
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await chmod(path, 0o600)
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_INPUT_INVALID', `admin token: ${message}`)
}
