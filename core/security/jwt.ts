/** Security definition `jwt`: a signed bearer token (RFC 6750, RFC 7519; checked as RFC 8725 asks). */
import { createPublicKey, type KeyObject } from 'node:crypto'
import {
  createLocalJWKSet,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose'
import { SignalboxError } from '../errors.ts'
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
import { publicKeys, RemoteKeys } from './jwks.ts'
import { MAX_NAME_CHARS, realmName } from './options.ts'
import { hasControl } from './passwords.ts'

const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'HS256',
  'HS384',
  'HS512',
] as const

const claimName = (description: string, rest: object = {}) =>
  Type.String({ minLength: 1, maxLength: 256, description, ...rest })
const milliseconds = (minimum: number, maximum: number, standard: number, description: string) =>
  Type.Integer({ minimum, maximum, default: standard, description: `${description}, in milliseconds.` })

const JwtOptions = Type.Object(
  {
    realm: realmName(),
    issuer: Type.String({
      minLength: 1,
      maxLength: 1024,
      description: 'The `iss` claim must be this, exactly.',
    }),
    audience: Type.Union(
      [
        Type.String({ minLength: 1, maxLength: 1024 }),
        Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { minItems: 1, maxItems: 32 }),
      ],
      { description: 'The `aud` claim must have one of these.' },
    ),
    algorithms: Type.Array(Type.Enum([...ALGORITHMS]), {
      minItems: 1,
      description:
        'Signature algorithms that are accepted (RFC 7518). HS256, HS384 and HS512 go with secret only, all ' +
        'others with jwksUrl, jwks or publicKey.',
    }),
    jwksUrl: Type.Optional(
      Type.String({
        maxLength: 2048,
        description: 'Where the issuer publishes its keys. https, or http to this machine.',
      }),
    ),
    jwks: Type.Optional(
      Type.Object(
        { keys: Type.Array(Type.Record(Type.String(), Type.Unknown()), { minItems: 1, maxItems: 64 }) },
        { additionalProperties: false, description: 'Instead of jwksUrl: the public keys themselves.' },
      ),
    ),
    publicKey: Type.Optional(
      Type.String({
        maxLength: 65_536,
        description: 'Instead of jwksUrl: one public key or certificate, PEM.',
      }),
    ),
    secret: Type.Optional(
      Type.String({
        maxLength: 1024,
        secret: true,
        description:
          'Instead of jwksUrl: the shared secret of HS256 (at least 32 bytes), HS384 (48) or HS512 (64); write ' +
          'a reference to a secret.',
      }),
    ),
    tokenType: Type.Optional(
      Type.String({
        maxLength: 64,
        description: 'The `typ` header must be this, e.g. `at+jwt` (RFC 9068). Default: not looked at.',
      }),
    ),
    clockToleranceSeconds: Type.Integer({
      minimum: 0,
      maximum: 600,
      default: 30,
      description: 'How far the clock of the issuer may be off, in seconds.',
    }),
    requiredClaims: Type.Array(claimName('Name of a claim.'), {
      maxItems: 64,
      default: [],
      description: 'Claims a token must have beside iss, aud, exp and the identity claim.',
    }),
    identityClaim: claimName('The claim that names the caller.', { default: 'sub' }),
    rolesClaim: Type.Optional(
      claimName(
        'The claim with the roles: a list, or a text with spaces. Dots lead into objects: realm_access.roles. ' +
          'Default: tokens give no roles.',
      ),
    ),
    claims: Type.Array(claimName('Name of a claim.'), {
      maxItems: 64,
      default: [],
      description: 'Claims that services see in request.identity.claims.',
    }),
    maxTokenBytes: Type.Integer({
      minimum: 256,
      maximum: 65_536,
      default: 8192,
      description: 'Largest token, in bytes.',
    }),
    jwksCacheMs: milliseconds(1_000, 86_400_000, 600_000, 'How long fetched keys are used'),
    jwksCooldownMs: milliseconds(1_000, 3_600_000, 30_000, 'Shortest time between two fetches of the keys'),
    jwksStaleMs: milliseconds(
      0,
      604_800_000,
      3_600_000,
      'How long keys stay in use while their server is down',
    ),
    jwksTimeoutMs: milliseconds(100, 60_000, 5_000, 'Longest time of a fetch of the keys'),
    jwksMaxBytes: Type.Integer({
      minimum: 1024,
      maximum: 10_485_760,
      default: 262_144,
      description: 'Largest answer with keys, in bytes.',
    }),
  },
  { additionalProperties: false },
)

type Options = Static<typeof JwtOptions>

/** Callers send a signed token of an issuer, e.g. an OpenID Connect provider. A token without `exp` is refused. */
export const jwt = defineSecurity({
  type: 'jwt',
  description: 'Signed bearer token (JWT).',
  options: JwtOptions,
  create: (name, options, context) => new JwtDefinition(name, options, context),
})

class JwtDefinition implements SecurityDefinition {
  readonly type = 'jwt'
  readonly guessable = false
  readonly name: string
  readonly #options: Options
  readonly #context: SecurityContext
  readonly #key: JWTVerifyGetKey

  constructor(name: string, options: Options, context: SecurityContext) {
    this.name = name
    this.#options = options
    this.#context = context
    this.#key = keySource(name, options, context)
  }

  isGiven(credentials: Credentials): boolean {
    return authorization(credentials, 'bearer') !== undefined
  }

  async check(credentials: Credentials): Promise<Identity | undefined> {
    const token = authorization(credentials, 'bearer')
    if (token === undefined) return undefined
    if (token.length > this.#options.maxTokenBytes) throw wrongCredentials('the token is too large')
    return this.#identity(await this.#verify(token))
  }

  challenge(): string {
    return `Bearer realm="${this.#options.realm}"`
  }

  async #verify(token: string): Promise<JWTPayload> {
    const { issuer, audience, algorithms, tokenType, clockToleranceSeconds, requiredClaims } = this.#options
    const options: JWTVerifyOptions = {
      issuer,
      audience: audience as string | string[],
      algorithms: [...algorithms],
      clockTolerance: clockToleranceSeconds,
      requiredClaims: ['exp', ...requiredClaims],
      currentDate: new Date(this.#context.clock.now()),
      ...(tokenType !== undefined && { typ: tokenType }),
    }
    try {
      return await verifyWithAny(token, this.#key, options)
    } catch (thrown) {
      if (thrown instanceof SignalboxError) throw thrown
      throw wrongCredentials(
        thrown instanceof errors.JOSEError ? thrown.code : 'the key does not fit the token',
      )
    }
  }

  #identity(payload: JWTPayload): Identity {
    const { identityClaim, rolesClaim, claims } = this.#options
    const name = claimOf(payload, identityClaim)
    if (typeof name !== 'string' || name === '' || name.length > MAX_NAME_CHARS || hasControl(name)) {
      throw wrongCredentials(`the claim ${identityClaim} does not name an identity`)
    }
    const roles = rolesClaim === undefined ? [] : rolesOf(claimOf(payload, rolesClaim))
    const handedOn = claims
      .filter(claim => Object.hasOwn(payload, claim))
      .map(claim => [claim, payload[claim]])
    return identityOf(this.name, name, roles, Object.fromEntries(handedOn))
  }
}

/** A token without a key id may fit several keys of a set; then each is tried. */
async function verifyWithAny(
  token: string,
  key: JWTVerifyGetKey,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  try {
    return (await jwtVerify(token, key, options)).payload
  } catch (thrown) {
    if (!(thrown instanceof errors.JWKSMultipleMatchingKeys)) throw thrown
    for await (const candidate of thrown) {
      try {
        return (await jwtVerify(token, candidate, options)).payload
      } catch (failure) {
        if (!(failure instanceof errors.JWSSignatureVerificationFailed)) throw failure
      }
    }
    throw new errors.JWSSignatureVerificationFailed()
  }
}

function keySource(name: string, options: Options, { clock }: SecurityContext): JWTVerifyGetKey {
  const { jwksUrl, jwks, publicKey, secret } = options
  if ([jwksUrl, jwks, publicKey, secret].filter(source => source !== undefined).length !== 1) {
    throw invalidOption(name, '(all)', 'must have exactly one of jwksUrl, jwks, publicKey, secret')
  }
  // A public key taken for a shared secret is the classic way to forge tokens: the two never mix.
  const isShared = secret !== undefined
  if (options.algorithms.some(algorithm => algorithm.startsWith('HS') !== isShared)) {
    throw invalidOption(
      name,
      '/algorithms',
      isShared
        ? 'must all be HS256, HS384 or HS512 with a secret'
        : 'must not have HS256, HS384 or HS512 with public keys',
    )
  }
  if (jwksUrl !== undefined) return remoteKeys(name, jwksUrl, options, clock)
  if (jwks !== undefined) return staticKeys(name, jwks)
  if (publicKey !== undefined) return always(pemKey(name, publicKey))
  return always(sharedSecret(name, secret!, options.algorithms))
}

function always(key: KeyObject | Uint8Array): JWTVerifyGetKey {
  return () => key
}

function remoteKeys(
  name: string,
  text: string,
  options: Options,
  clock: SecurityContext['clock'],
): JWTVerifyGetKey {
  const url = URL.parse(text)
  const isLocal = url !== null && /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)
  const isAllowed = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLocal)
  if (url === null || !isAllowed || url.username !== '' || url.password !== '') {
    throw invalidOption(
      name,
      '/jwksUrl',
      'must be an https URL (http for localhost) without user and password',
    )
  }
  const limits = {
    cacheMs: options.jwksCacheMs,
    cooldownMs: options.jwksCooldownMs,
    staleMs: options.jwksStaleMs,
    timeoutMs: options.jwksTimeoutMs,
    maxBytes: options.jwksMaxBytes,
  }
  return new RemoteKeys({ url, ...limits }, clock).find
}

function staticKeys(name: string, jwks: NonNullable<Options['jwks']>): JWTVerifyGetKey {
  try {
    const keys = publicKeys(jwks)
    if (keys.keys.length === jwks.keys.length) return createLocalJWKSet(structuredClone(keys))
  } catch (thrown) {
    throw invalidOption(name, '/jwks', (thrown as Error).message)
  }
  throw invalidOption(name, '/jwks', 'must have public keys only; a symmetric or private key is among them')
}

function pemKey(name: string, pem: string): KeyObject {
  if (/PRIVATE KEY/.test(pem))
    throw invalidOption(name, '/publicKey', 'is a private key; give the public one')
  try {
    return createPublicKey(pem)
  } catch {
    throw invalidOption(name, '/publicKey', 'is not a public key or certificate in PEM')
  }
}

function sharedSecret(name: string, secret: string, algorithms: readonly string[]): Uint8Array {
  if (secret.startsWith('${')) throw invalidOption(name, '/secret', 'is a reference nobody resolved')
  // RFC 7518 section 3.2: the key is at least as long as the hash.
  const minBytes = Math.max(...algorithms.map(algorithm => Number(algorithm.slice(2)) / 8))
  const bytes = new TextEncoder().encode(secret)
  if (bytes.length < minBytes) throw invalidOption(name, '/secret', `must have at least ${minBytes} bytes`)
  return bytes
}

/** A claim by its own name, which may have dots (`https://example.com/roles`), or by a path into objects. */
function claimOf(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path]
  let value: unknown = payload
  for (const step of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<string, unknown>)[step]
  }
  return value
}

function rolesOf(claim: unknown): string[] {
  const list = typeof claim === 'string' ? claim.split(' ') : Array.isArray(claim) ? claim : []
  return list.filter(role => typeof role === 'string' && role !== '' && role.length <= 64).slice(0, 64)
}
