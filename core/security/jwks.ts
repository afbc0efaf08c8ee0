/** Signing keys from a JWKS (RFC 7517): a fixed one, or one behind a URL, fetched within limits and cached. */
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose'
import type { Clock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'

const MAX_KEYS = 64
const PUBLIC_TYPES = new Set(['RSA', 'EC', 'OKP'])
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

export interface RemoteKeysOptions {
  url: URL
  /** How long keys are used before they are fetched again, in milliseconds. */
  cacheMs: number
  /** Shortest time between two fetches, in milliseconds, however many unknown key ids or failures there are. */
  cooldownMs: number
  /** How long keys are used past `cacheMs` while the server does not answer, in milliseconds. */
  staleMs: number
  /** Longest time of a fetch, in milliseconds. */
  timeoutMs: number
  /** Largest answer, in bytes. */
  maxBytes: number
}

/** Keys behind a URL. One fetch runs at a time, and everyone who needs it waits for the same. */
export class RemoteKeys {
  readonly #options: RemoteKeysOptions
  readonly #clock: Clock
  #keys: JWTVerifyGetKey | undefined
  #fetchedAt = 0
  #triedAt = Number.NEGATIVE_INFINITY
  #fetching: Promise<void> | undefined

  constructor(options: RemoteKeysOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
  }

  /** Finds the key of a token. Throws SIGNALBOX_SECURITY_UNAVAILABLE, or an error of jose when there is none. */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    const keys = await this.#current()
    try {
      return await keys(header, token)
    } catch (thrown) {
      if (!(thrown instanceof errors.JWKSNoMatchingKey) || this.#isCoolingDown()) throw thrown
    }
    // The issuer may have a new key. That it cannot be asked does not make an unknown key known.
    await this.#refresh()
    return this.#keys!(header, token)
  }

  async #current(): Promise<JWTVerifyGetKey> {
    const age = this.#clock.monotonic() - this.#fetchedAt
    if (this.#keys !== undefined && age < this.#options.cacheMs) return this.#keys
    const isUsable = this.#keys !== undefined && age < this.#options.cacheMs + this.#options.staleMs
    try {
      await this.#refresh()
    } catch (thrown) {
      if (!isUsable) throw thrown
    }
    return this.#keys!
  }

  #isCoolingDown(): boolean {
    return this.#clock.monotonic() - this.#triedAt < this.#options.cooldownMs
  }

  async #refresh(): Promise<void> {
    if (this.#fetching === undefined) {
      if (this.#isCoolingDown()) throw this.#unavailable('the last attempt failed')
      this.#triedAt = this.#clock.monotonic()
      this.#fetching = this.#fetch().finally(() => {
        this.#fetching = undefined
      })
    }
    await this.#fetching
  }

  async #fetch(): Promise<void> {
    const { url, timeoutMs, maxBytes } = this.#options
    try {
      const response = await fetch(url, {
        headers: { accept: 'application/jwk-set+json, application/json' },
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      })
      if (response.status !== 200) {
        await response.body?.cancel()
        throw new Error(`status ${response.status}`)
      }
      const keys = publicKeys(JSON.parse(await readText(response, maxBytes)))
      this.#keys = createLocalJWKSet(keys)
      this.#fetchedAt = this.#clock.monotonic()
    } catch (thrown) {
      throw this.#unavailable(reasonOf(thrown), thrown)
    }
  }

  #unavailable(reason: string, cause?: unknown): SignalboxError {
    const url = this.#options.url.origin + this.#options.url.pathname
    return new SignalboxError(
      'SIGNALBOX_SECURITY_UNAVAILABLE',
      `the signing keys of the token's issuer are not available: ${reason}`,
      { details: { url }, cause, retryAfterMs: this.#options.cooldownMs },
    )
  }
}

/**
 * The keys of a set that may verify signatures. Throws when it is no set, has too many keys, or none is left:
 * symmetric and private keys have no business in a public set and are left out.
 */
export function publicKeys(value: unknown): JSONWebKeySet {
  const keys = (value as { keys?: unknown } | null)?.keys
  if (!Array.isArray(keys)) throw new Error('not a JWKS: no array of keys')
  if (keys.length > MAX_KEYS) throw new Error(`more than ${MAX_KEYS} keys`)
  const usable = keys.filter(key => isPublicKey(key))
  if (usable.length === 0) throw new Error('no public key of type RSA, EC or OKP')
  return { keys: usable }
}

function isPublicKey(key: unknown): boolean {
  if (typeof key !== 'object' || key === null) return false
  const { kty } = key as { kty?: unknown }
  return (
    typeof kty === 'string' &&
    PUBLIC_TYPES.has(kty) &&
    PRIVATE_MEMBERS.every(name => !Object.hasOwn(key, name))
  )
}

async function readText(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    // Leaving the loop cancels the body, so the rest is never read.
    if (bytes > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  if (thrown instanceof SyntaxError) return 'the answer is not JSON'
  if (thrown.name === 'TimeoutError') return 'no answer in time'
  return thrown.cause instanceof Error ? thrown.cause.message || thrown.message : thrown.message
}
