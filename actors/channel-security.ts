/** Lets messages into channels: the security definitions of a worker, and what a channel's message shows of its sender. */
import type { Clock } from '../core/clock.ts'
import { Authenticator } from '../core/security/authenticator.ts'
import type { ClientCertificate, Credentials, SecurityDefinition } from '../core/security/definition.ts'
import { createSecurityDefinition } from '../core/security/definitions.ts'
import type { Logger } from '../core/telemetry/log.ts'
import type { Inbound } from '../core/transport.ts'
import type { ChannelGuard } from './channel-host.ts'

/** A security definition with its secrets filled in. */
export interface SecurityConfig {
  name: string
  type: string
  options: unknown
}

export class ChannelSecurity {
  readonly #clock: Clock
  readonly #log: Logger
  #authenticator: Authenticator

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
    this.#authenticator = new Authenticator(new Map(), { clock })
  }

  /** Puts these definitions in the place of those there; the count of failed attempts begins anew. */
  replace(configs: readonly SecurityConfig[]): void {
    const definitions = new Map<string, SecurityDefinition>()
    for (const { name, type, options } of configs) {
      definitions.set(name, createSecurityDefinition(name, type, options, { clock: this.#clock }))
    }
    this.#authenticator = new Authenticator(definitions, {
      clock: this.#clock,
      report: event => this.#log.warn({ ...event }, event.event),
    })
  }

  readonly guard: ChannelGuard = (names, message) =>
    this.#authenticator.authenticate(names, credentialsOf(message))
}

/** What a channel tells of a client's certificate in the attributes of its messages. */
interface CertificateAttribute {
  subject: Record<string, string | string[] | undefined>
  altNames?: string[]
  fingerprint256: string
  authorized: boolean
}

function credentialsOf({ headers, attributes }: Inbound): Credentials {
  const { remoteAddress, user, password } = attributes
  const certificate = attributes.clientCertificate as CertificateAttribute | undefined
  return {
    headers,
    // One that TLS could not verify proves nothing.
    ...(certificate?.authorized && { clientCertificate: certificateOf(certificate) }),
    ...(typeof remoteAddress === 'string' && { remoteAddress }),
    ...(typeof user === 'string' && { user }),
    ...(typeof password === 'string' && { password }),
  }
}

function certificateOf({ subject, altNames, fingerprint256 }: CertificateAttribute): ClientCertificate {
  const names = Object.entries(subject).flatMap(([key, value]) =>
    [value ?? []].flat().map(v => `${key}=${v}`),
  )
  const commonName = [subject.CN ?? []].flat()[0]
  return {
    subject: names.join('\n'),
    fingerprint256,
    ...(commonName !== undefined && { commonName }),
    ...(altNames && { altNames }),
  }
}
