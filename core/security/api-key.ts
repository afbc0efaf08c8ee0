/** Security definition `apiKey`: a key in a header. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { type Static, Type } from '../schema.ts'
import type { Identity } from '../service/service.ts'
import {
  type Credentials,
  defineSecurity,
  identityOf,
  invalidOption,
  ownHeader,
  type SecurityDefinition,
  wrongCredentials,
} from './definition.ts'
import { hashKey } from './keys.ts'
import { identityName, roleNames } from './options.ts'

const MAX_KEY_CHARS = 1024

const Key = Type.Object(
  {
    identity: identityName('Who the caller is when it shows this key.'),
    hash: Type.Optional(
      Type.String({
        pattern: '^sha256:[0-9a-f]{64}$',
        secret: true,
        description: 'The key as it is stored: `sha256:` and the SHA-256 of the key in hexadecimal.',
      }),
    ),
    key: Type.Optional(
      Type.String({
        minLength: 16,
        maxLength: MAX_KEY_CHARS,
        secret: true,
        description: 'Instead of hash: the key itself; write a reference to a secret.',
      }),
    ),
    roles: roleNames(),
    expiresAt: Type.Optional(
      Type.String({ format: 'date-time', description: 'When the key stops being valid. Default: never.' }),
    ),
  },
  { additionalProperties: false },
)

const ApiKeyOptions = Type.Object(
  {
    header: Type.String({
      pattern: "^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$",
      default: 'x-api-key',
      description: 'The header that carries the key, in lower case.',
    }),
    keys: Type.Array(Key, { minItems: 1, maxItems: 10_000, description: 'The keys that are accepted.' }),
  },
  { additionalProperties: false },
)

type Options = Static<typeof ApiKeyOptions>

/** Callers send a key in a header. Several keys may lead to the same identity, so that keys can be changed. */
export const apiKey = defineSecurity({
  type: 'apiKey',
  description: 'A key in a header.',
  options: ApiKeyOptions,
  create: (name, options, { clock }) => new ApiKeyDefinition(name, options, clock),
})

interface KnownKey {
  hash: Buffer
  identity: Identity
  /** Milliseconds since the epoch; Infinity: never. */
  expiresAtMs: number
}

class ApiKeyDefinition implements SecurityDefinition {
  readonly type = 'apiKey'
  readonly guessable = true
  readonly name: string
  readonly #header: string
  readonly #clock: Clock
  /** By HMAC of the hash under a key of this process: how long a look-up takes tells nothing about the keys. */
  readonly #known = new Map<string, KnownKey>()
  readonly #lookupKey = randomBytes(32)

  constructor(name: string, options: Options, clock: Clock) {
    this.name = name
    this.#header = options.header
    this.#clock = clock
    for (const [index, key] of options.keys.entries()) this.#add(index, key)
  }

  isGiven(credentials: Credentials): boolean {
    return ownHeader(credentials, this.#header) !== undefined
  }

  async check(credentials: Credentials): Promise<Identity | undefined> {
    const given = ownHeader(credentials, this.#header)
    if (given === undefined) return undefined
    if (given.length > MAX_KEY_CHARS) throw wrongCredentials('the key is too long')
    const hash = digest(hashKey(given))
    const known = this.#known.get(this.#lookup(hash))
    if (known === undefined || !timingSafeEqual(known.hash, hash))
      throw wrongCredentials('the key is not known')
    if (known.expiresAtMs <= this.#clock.now()) throw wrongCredentials('the key has expired')
    return known.identity
  }

  /** API keys have no registered scheme; RFC 9110 wants a challenge all the same, so this one names the header. */
  challenge(): string {
    return `ApiKey header="${this.#header}"`
  }

  #add(index: number, { identity, hash, key, roles, expiresAt }: Options['keys'][number]): void {
    const pointer = `/keys/${index}`
    if ((hash === undefined) === (key === undefined)) {
      throw invalidOption(this.name, pointer, 'must have either hash or key')
    }
    if (key?.startsWith('${'))
      throw invalidOption(this.name, `${pointer}/key`, 'is a reference nobody resolved')
    const stored = digest(hash ?? hashKey(key!))
    const lookup = this.#lookup(stored)
    if (this.#known.has(lookup)) throw invalidOption(this.name, pointer, 'is the same key as an earlier one')
    this.#known.set(lookup, {
      hash: stored,
      identity: identityOf(this.name, identity, roles),
      expiresAtMs: expiresAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiresAt),
    })
  }

  #lookup(hash: Buffer): string {
    return createHmac('sha256', this.#lookupKey).update(hash).digest('base64')
  }
}

function digest(stored: string): Buffer {
  return Buffer.from(stored.slice('sha256:'.length), 'hex')
}
