/** Security definition `mtls`: the client certificate that TLS has verified (RFC 8446 section 4.4). */
import { type Static, Type } from '../schema.ts'
import type { Identity } from '../service/service.ts'
import {
  type ClientCertificate,
  type Credentials,
  defineSecurity,
  identityOf,
  invalidOption,
  type SecurityDefinition,
  wrongCredentials,
} from './definition.ts'
import { identityName, roleNames } from './options.ts'

const text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 1024, description }))

const Allowed = Type.Object(
  {
    identity: identityName('Who the caller is when its certificate matches.'),
    subject: text('The whole distinguished name, exactly as the TLS library prints it.'),
    commonName: text('The common name (CN) of the subject, exactly.'),
    altName: text(
      'A subject alternative name with its type, e.g. DNS:partner.example or URI:spiffe://example/partner.',
    ),
    fingerprint256: Type.Optional(
      Type.String({
        pattern: '^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$',
        description: 'SHA-256 of the certificate in hexadecimal; colons may be there.',
      }),
    ),
    roles: roleNames(),
  },
  { additionalProperties: false },
)

const MtlsOptions = Type.Object(
  {
    allow: Type.Array(Allowed, {
      minItems: 1,
      maxItems: 10_000,
      description:
        'Certificates that may enter; each names all of its conditions, the first that fits is taken.',
    }),
  },
  { additionalProperties: false },
)

type Options = Static<typeof MtlsOptions>

/** Callers are known by their client certificate. All conditions of an entry must hold. */
export const mtls = defineSecurity({
  type: 'mtls',
  description: 'Client certificate.',
  options: MtlsOptions,
  create: (name, options) => new MtlsDefinition(name, options),
})

type Matcher = (certificate: ClientCertificate) => boolean

class MtlsDefinition implements SecurityDefinition {
  readonly type = 'mtls'
  readonly guessable = false
  readonly name: string
  readonly #allowed: { identity: Identity; matches: Matcher }[]

  constructor(name: string, options: Options) {
    this.name = name
    this.#allowed = options.allow.map((entry, index) => {
      const conditions = conditionsOf(entry)
      if (conditions.length === 0) {
        throw invalidOption(
          name,
          `/allow/${index}`,
          'must have at least one of subject, commonName, altName, fingerprint256',
        )
      }
      const matches: Matcher = certificate => conditions.every(holds => holds(certificate))
      return { identity: identityOf(name, entry.identity, entry.roles), matches }
    })
  }

  isGiven({ clientCertificate }: Credentials): boolean {
    return clientCertificate !== undefined
  }

  async check({ clientCertificate }: Credentials): Promise<Identity | undefined> {
    if (clientCertificate === undefined) return undefined
    const found = this.#allowed.find(entry => entry.matches(clientCertificate))
    if (found === undefined) throw wrongCredentials('the client certificate is not one of those allowed')
    return found.identity
  }

  /** A certificate is asked for in the TLS handshake, not by a header. */
  challenge(): undefined {
    return undefined
  }
}

function conditionsOf(entry: Options['allow'][number]): Matcher[] {
  const { subject, commonName, altName, fingerprint256 } = entry
  const conditions: Matcher[] = []
  if (subject !== undefined) conditions.push(certificate => certificate.subject === subject)
  if (commonName !== undefined) conditions.push(certificate => certificate.commonName === commonName)
  if (altName !== undefined) {
    const wanted = canonicalName(altName)
    conditions.push(({ altNames }) => altNames?.some(name => canonicalName(name) === wanted) === true)
  }
  if (fingerprint256 !== undefined) {
    const wanted = canonicalPrint(fingerprint256)
    conditions.push(certificate => canonicalPrint(certificate.fingerprint256 ?? '') === wanted)
  }
  return conditions
}

/** Host names know no case (RFC 4343); all other names do. */
function canonicalName(name: string): string {
  return /^dns:/i.test(name) ? name.toLowerCase() : name
}

function canonicalPrint(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}
