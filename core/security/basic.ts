/** Security definition `basic`: user name and password (RFC 7617, or the fields of another protocol). */
import { type Static, Type } from '../schema.ts'
import type { Identity } from '../service/service.ts'
import {
  authorization,
  type Credentials,
  defineSecurity,
  identityOf,
  invalidOption,
  type SecurityContext,
  type SecurityDefinition,
  wrongCredentials,
} from './definition.ts'
import { identityName, MAX_NAME_CHARS, realmName, roleNames } from './options.ts'
import { PasswordChecker } from './password-checker.ts'
import { hasControl, MAX_PASSWORD_BYTES, type PasswordHash, parsePasswordHash } from './passwords.ts'

// Base64 of the longest user name and password.
const MAX_ENCODED_CHARS = Math.ceil(((MAX_NAME_CHARS * 3 + 1 + MAX_PASSWORD_BYTES) * 4) / 3) + 4

const User = Type.Object(
  {
    name: identityName('User name; compared exactly after Unicode NFC.'),
    passwordHash: Type.String({
      maxLength: 1024,
      secret: true,
      description: 'PHC string of argon2id or scrypt, never the password itself.',
    }),
    roles: roleNames(),
  },
  { additionalProperties: false },
)

const BasicOptions = Type.Object(
  {
    realm: realmName(),
    users: Type.Array(User, { minItems: 1, maxItems: 10_000, description: 'Who may enter.' }),
    cacheTtlMs: Type.Integer({
      minimum: 0,
      maximum: 3_600_000,
      default: 60_000,
      description:
        'How long a right password is not hashed again, in milliseconds. 0 hashes at every request, which ' +
        'costs tens of milliseconds each.',
    }),
  },
  { additionalProperties: false },
)

type Options = Static<typeof BasicOptions>

/** Callers send user name and password. */
export const basic = defineSecurity({
  type: 'basic',
  description: 'User name and password.',
  options: BasicOptions,
  create: (name, options, context) => new BasicDefinition(name, options, context),
})

interface KnownUser {
  identity: Identity
  hash: PasswordHash
}

class BasicDefinition implements SecurityDefinition {
  readonly type = 'basic'
  readonly guessable = true
  readonly name: string
  readonly #realm: string
  readonly #users = new Map<string, KnownUser>()
  readonly #decoys: readonly KnownUser[]
  readonly #checker: PasswordChecker

  constructor(name: string, options: Options, { clock }: SecurityContext) {
    this.name = name
    this.#realm = options.realm
    this.#checker = new PasswordChecker({ cacheTtlMs: options.cacheTtlMs }, clock)
    for (const [index, user] of options.users.entries()) this.#add(index, user)
    this.#decoys = [...this.#users.values()]
  }

  isGiven(credentials: Credentials): boolean {
    return readPair(credentials) !== undefined
  }

  claimed(credentials: Credentials): string | undefined {
    return readPair(credentials)?.user
  }

  async check(credentials: Credentials): Promise<Identity | undefined> {
    const pair = readPair(credentials)
    if (pair === undefined) return undefined
    if (pair.user === undefined) throw wrongCredentials('the credentials are malformed')
    const known = this.#users.get(pair.user)
    // Whoever is not known costs as much as one of those who are: the name picks which.
    const isRight =
      known === undefined
        ? await this.#checker.decoy(pair.user, this.#decoyFor(pair.user), pair.password)
        : await this.#checker.check(pair.user, known.hash, pair.password)
    if (!isRight) throw wrongCredentials('user name or password is wrong')
    return known?.identity
  }

  challenge(): string {
    return `Basic realm="${this.#realm}", charset="UTF-8"`
  }

  #decoyFor(name: string): PasswordHash {
    return this.#decoys[this.#checker.pick(name, this.#decoys.length)]!.hash
  }

  #add(index: number, { name, passwordHash, roles }: Options['users'][number]): void {
    const key = name.normalize('NFC')
    const pointer = `/users/${index}`
    if (name.includes(':'))
      throw invalidOption(this.name, `${pointer}/name`, 'must not have a colon (RFC 7617)')
    if (this.#users.has(key)) throw invalidOption(this.name, `${pointer}/name`, 'is there twice')
    this.#users.set(key, {
      identity: identityOf(this.name, key, roles),
      hash: this.#parse(pointer, passwordHash),
    })
  }

  #parse(pointer: string, passwordHash: string): PasswordHash {
    try {
      return parsePasswordHash(passwordHash)
    } catch (thrown) {
      throw invalidOption(this.name, `${pointer}/passwordHash`, (thrown as Error).message)
    }
  }
}

/** What the caller gave: undefined when nothing, without a user when it cannot be read. */
type Pair = { user: string; password: string } | { user: undefined }

function readPair(credentials: Credentials): Pair | undefined {
  if (credentials.user !== undefined || credentials.password !== undefined) {
    return acceptable(credentials.user ?? '', credentials.password ?? '')
  }
  const encoded = authorization(credentials, 'basic')
  if (encoded === undefined) return undefined
  const text = decode(encoded)
  const colon = text?.indexOf(':') ?? -1
  if (text === undefined || colon < 0) return { user: undefined }
  return acceptable(text.slice(0, colon), text.slice(colon + 1))
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Strict base64 of strict UTF-8: two spellings of one secret would pass filters that know only one. */
function decode(encoded: string): string | undefined {
  if (encoded.length > MAX_ENCODED_CHARS) return undefined
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.toString('base64').replaceAll('=', '') !== encoded.replace(/={0,2}$/, '')) return undefined
  try {
    return utf8.decode(bytes)
  } catch {
    // Not UTF-8: the challenge asked for it (RFC 7617 section 2.1).
    return undefined
  }
}

function acceptable(user: string, password: string): Pair {
  const isBad = user.length === 0 || user.length > MAX_NAME_CHARS || !user.isWellFormed() || hasControl(user)
  return isBad ? { user: undefined } : { user: user.normalize('NFC'), password }
}
