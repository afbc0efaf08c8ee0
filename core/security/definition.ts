/**
 * The contract of a security definition: one way of proving who sends a message. A channel hands over what its
 * protocol knows as plain data; nothing here knows a protocol.
 */
import type { Clock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import type { Static, TSchema } from '../schema.ts'
import type { Identity } from '../service/service.ts'

/** What a sender showed of itself. */
export interface Credentials {
  /** Protocol headers, names in lower case. */
  headers: Readonly<Record<string, string>>
  /** The certificate of the client, only when TLS has verified it against the CA of the channel. */
  clientCertificate?: ClientCertificate
  /** IP address of the sender, for throttling. */
  remoteAddress?: string
  /** User name and password where the protocol has fields of its own for them. */
  user?: string
  password?: string
}

/** The verified certificate of a client. */
export interface ClientCertificate {
  /** Distinguished name as the TLS library prints it. */
  subject: string
  commonName?: string
  /** Subject alternative names with their type, e.g. `DNS:partner.example`, `URI:spiffe://example/partner`. */
  altNames?: string[]
  /** SHA-256 of the certificate in hexadecimal; colons and case do not matter. */
  fingerprint256?: string
}

/** One configured way of proving who sends. */
export interface SecurityDefinition {
  readonly name: string
  readonly type: string
  /**
   * Whether its credentials can be guessed by trying, so that failed attempts are throttled. Passwords and keys
   * can; signatures cannot.
   */
  readonly guessable: boolean
  /** Whether credentials of this kind were given at all, right or wrong. Cheap. */
  isGiven(credentials: Credentials): boolean
  /** The identity that the credentials claim before any proof; the throttle counts by it. */
  claimed?(credentials: Credentials): string | undefined
  /**
   * The proven identity, or undefined when no credentials of this kind were given. Throws
   * SIGNALBOX_UNAUTHENTICATED when they were given but are wrong, SIGNALBOX_SECURITY_UNAVAILABLE when they
   * cannot be checked now, SIGNALBOX_OVERLOADED when too many checks are under way.
   */
  check(credentials: Credentials): Promise<Identity | undefined>
  /** The value of a `WWW-Authenticate` header (RFC 9110 section 11.6.1), where the kind has one. */
  challenge(): string | undefined
}

/** What a definition gets from the bus. */
export interface SecurityContext {
  readonly clock: Clock
}

/** A kind of security definition, as listed in the table of `definitions.ts`. */
export interface SecurityDefinitionType<Options extends TSchema = TSchema> {
  readonly type: string
  readonly description: string
  readonly options: Options
  /** Makes a definition; `options` are validated and have their defaults. Throws SIGNALBOX_OPTIONS_INVALID. */
  create(name: string, options: Static<Options>, context: SecurityContext): SecurityDefinition
}

/** Gives a kind of definition its types; does nothing at run time. */
export function defineSecurity<O extends TSchema>(
  type: SecurityDefinitionType<O>,
): SecurityDefinitionType<O> {
  return type
}

/**
 * The error for wrong credentials. Callers read the same words whatever was wrong; `reason` is for the log of
 * this node and stays behind when the error crosses to another.
 */
export function wrongCredentials(reason: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_UNAUTHENTICATED', 'the credentials are not valid', {
    cause: new Error(reason),
  })
}

/** The error for options that the schema alone cannot refuse. */
export function invalidOption(definition: string, pointer: string, rule: string): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_OPTIONS_INVALID',
    `security definition ${definition}: ${pointer} ${rule}`,
    { details: { errors: [{ pointer, rule }] } },
  )
}

/** An identity without empty fields, frozen because it may be handed out many times. */
export function identityOf(
  definition: string,
  name: string,
  roles?: readonly string[],
  claims?: Record<string, unknown>,
): Identity {
  return Object.freeze({
    name,
    definition,
    ...(roles !== undefined && roles.length > 0 && { roles: Object.freeze([...roles]) }),
    ...(claims !== undefined && Object.keys(claims).length > 0 && { claims: Object.freeze(claims) }),
  })
}

/** The value of an Authorization header of one scheme (RFC 9110 section 11.4), undefined for another scheme. */
export function authorization(credentials: Credentials, scheme: string): string | undefined {
  const value = ownHeader(credentials, 'authorization')
  if (value === undefined) return undefined
  if (value.length === scheme.length && value.toLowerCase() === scheme) return ''
  if (value.slice(0, scheme.length + 1).toLowerCase() !== `${scheme} `) return undefined
  return value.slice(scheme.length + 1).trim()
}

/** A header, never a property that every object has. */
export function ownHeader({ headers }: Credentials, name: string): string | undefined {
  return Object.hasOwn(headers, name) ? headers[name] : undefined
}
