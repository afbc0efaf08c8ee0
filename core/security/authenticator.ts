/** Decides who a sender is: any one of the security definitions that a channel accepts lets it in. */
import { createHash } from 'node:crypto'
import ipaddr from 'ipaddr.js'
import { type Clock, systemClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import type { Identity } from '../service/service.ts'
import { BoundedMap } from './bounded-map.ts'
import type { Credentials, SecurityDefinition } from './definition.ts'
import { Throttle, type ThrottleLimits } from './throttle.ts'

/** Something that operators want to see. Never has credentials in it. */
export interface SecurityEvent {
  event: 'authentication.failed' | 'authentication.throttled' | 'authentication.unavailable'
  definition: string
  /** The name that was claimed, not proven. */
  claimed: string | undefined
  remoteAddress: string | undefined
  /** For the log only; callers are never told. */
  reason: string
}

export interface AuthenticatorOptions {
  /** Default: the real clock. */
  clock?: Clock
  /** Failed attempts at one identity. Default: five, then waits of 1 s, doubling up to 5 min. */
  perIdentity?: Partial<ThrottleLimits>
  /** Failed attempts from one address (for IPv6 a /64 network). Default: fifty, then the same waits. */
  perAddress?: Partial<ThrottleLimits>
  /** Gets every failed attempt; must not throw. */
  report?: (event: SecurityEvent) => void
}

const DEFAULT_LIMITS: ThrottleLimits = {
  freeFailures: 5,
  firstWaitMs: 1_000,
  maxWaitMs: 300_000,
  forgetAfterMs: 900_000,
  maxEntries: 10_000,
}
const ADDRESS_FREE_FAILURES = 50
const TRUST_MS = 86_400_000

/** Credentials shown to one definition. */
interface Attempt {
  definition: SecurityDefinition
  credentials: Credentials
  claimed: string | undefined
}

/** What an attempt is counted by; empty when its credentials cannot be guessed. */
interface Keys {
  identity?: string | undefined
  address?: string | undefined
  /** The identity at this address. */
  pair?: string | undefined
  /** The pair has logged in before, so `identity` is the pair. */
  isTrusted?: boolean
}

type Outcome = { identity: Identity } | { error: SignalboxError } | undefined

/**
 * Checks credentials. Failed attempts are throttled by the identity they claim and by the address they come
 * from, in the memory of this process. An address from which an identity has logged in within a day is counted
 * apart for it, so that a stranger who guesses cannot lock the owner out.
 */
export class Authenticator {
  readonly #definitions: ReadonlyMap<string, SecurityDefinition>
  readonly #identities: Throttle
  readonly #addresses: Throttle
  readonly #trusted: BoundedMap<number>
  readonly #clock: Clock
  readonly #report: (event: SecurityEvent) => void

  constructor(definitions: ReadonlyMap<string, SecurityDefinition>, options: AuthenticatorOptions = {}) {
    const { clock = systemClock, perIdentity, perAddress, report = () => {} } = options
    const forAddresses = { ...DEFAULT_LIMITS, freeFailures: ADDRESS_FREE_FAILURES, ...perAddress }
    this.#definitions = definitions
    this.#identities = new Throttle({ ...DEFAULT_LIMITS, ...perIdentity }, clock)
    this.#addresses = new Throttle(forAddresses, clock)
    this.#trusted = new BoundedMap(DEFAULT_LIMITS.maxEntries)
    this.#clock = clock
    this.#report = report
  }

  /**
   * The identity of the sender: the first of the definitions `names` that proves one. Throws
   * SIGNALBOX_UNAUTHENTICATED with `details.challenges` and, when attempts are throttled, `retryAfterMs`;
   * SIGNALBOX_SECURITY_UNAVAILABLE or SIGNALBOX_OVERLOADED when credentials could not be checked; and
   * SIGNALBOX_CONFIG_INVALID for a name that is not defined: nobody enters by mistake.
   */
  async authenticate(names: readonly string[], credentials: Credentials): Promise<Identity> {
    const accepted = this.#accepted(names)
    const failures: SignalboxError[] = []
    for (const definition of accepted) {
      const outcome = await this.#attempt(definition, credentials)
      if (outcome === undefined) continue
      if ('identity' in outcome) return outcome.identity
      failures.push(outcome.error)
    }
    throw refusal(accepted, failures)
  }

  #accepted(names: readonly string[]): SecurityDefinition[] {
    const found = [...new Set(names)].map(name => {
      const definition = this.#definitions.get(name)
      if (definition !== undefined) return definition
      throw new SignalboxError('SIGNALBOX_CONFIG_INVALID', `there is no security definition '${name}'`)
    })
    if (found.length > 0) return found
    throw new SignalboxError(
      'SIGNALBOX_CONFIG_INVALID',
      'no security definition is named, so nobody may enter',
    )
  }

  async #attempt(definition: SecurityDefinition, credentials: Credentials): Promise<Outcome> {
    if (!definition.isGiven(credentials)) return undefined
    const attempt: Attempt = { definition, credentials, claimed: definition.claimed?.(credentials) }
    const keys = definition.guessable ? this.#keysOf(attempt) : {}
    const waitMs = this.#waitMs(keys)
    if (waitMs > 0) {
      this.#tell('authentication.throttled', attempt, `for ${waitMs} ms`)
      return { error: throttled(waitMs) }
    }
    try {
      const identity = await definition.check(credentials)
      if (identity === undefined) return undefined
      this.#succeeded(keys)
      return { identity }
    } catch (thrown) {
      if (!(thrown instanceof SignalboxError)) throw thrown
      this.#failed(attempt, keys, thrown)
      return { error: thrown }
    }
  }

  #keysOf({ definition, credentials, claimed }: Attempt): Keys {
    const address = networkOf(credentials.remoteAddress)
    if (claimed === undefined) return { address }
    const identity = digest([definition.name, claimed])
    if (address === undefined) return { identity }
    const pair = digest([definition.name, claimed, address])
    const isTrusted = (this.#trusted.get(pair) ?? 0) > this.#clock.monotonic()
    return { identity: isTrusted ? pair : identity, address, pair, isTrusted }
  }

  #waitMs({ identity, address, isTrusted }: Keys): number {
    const byIdentity = identity === undefined ? 0 : this.#identities.waitMs(identity)
    const byAddress = address === undefined || isTrusted ? 0 : this.#addresses.waitMs(address)
    return Math.max(byIdentity, byAddress)
  }

  /** Failures of the address stay: one valid login must not buy more guesses at others. */
  #succeeded({ identity, pair }: Keys): void {
    if (identity !== undefined) this.#identities.succeeded(identity)
    if (pair !== undefined) this.#trusted.set(pair, this.#clock.monotonic() + TRUST_MS)
  }

  #failed(attempt: Attempt, { identity, address }: Keys, error: SignalboxError): void {
    const reason = error.cause instanceof Error ? error.cause.message : error.message
    if (error.code !== 'SIGNALBOX_UNAUTHENTICATED') {
      this.#tell('authentication.unavailable', attempt, reason)
      return
    }
    if (identity !== undefined) this.#identities.failed(identity)
    if (address !== undefined) this.#addresses.failed(address)
    this.#tell('authentication.failed', attempt, reason)
  }

  #tell(event: SecurityEvent['event'], { definition, credentials, claimed }: Attempt, reason: string): void {
    const { remoteAddress } = credentials
    this.#report({ event, definition: definition.name, claimed, remoteAddress, reason })
  }
}

/** What callers read: the same words whatever was wrong, and how to do it right. */
function refusal(
  accepted: readonly SecurityDefinition[],
  failures: readonly SignalboxError[],
): SignalboxError {
  const unchecked = failures.find(error => error.code !== 'SIGNALBOX_UNAUTHENTICATED')
  if (unchecked !== undefined) return unchecked
  const challenges = [...new Set(accepted.map(definition => definition.challenge()))].filter(
    challenge => challenge !== undefined,
  )
  const waits = failures.map(error => error.retryAfterMs ?? 0)
  const retryAfterMs = Math.max(0, ...waits)
  const message = failures.length === 0 ? 'no credentials were given' : 'the credentials are not valid'
  return new SignalboxError('SIGNALBOX_UNAUTHENTICATED', message, {
    details: { challenges },
    ...(retryAfterMs > 0 && { retryAfterMs }),
  })
}

function throttled(waitMs: number): SignalboxError {
  return new SignalboxError('SIGNALBOX_UNAUTHENTICATED', 'the credentials are not valid', {
    retryAfterMs: waitMs,
  })
}

/** Names are hashed, so that what is kept has one size however long they are. */
function digest(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64')
}

/** The address that is counted: IPv4 as it is, of IPv6 the /64 network, because one sender owns all of that. */
function networkOf(remoteAddress: string | undefined): string | undefined {
  if (remoteAddress === undefined) return undefined
  if (!ipaddr.isValid(remoteAddress)) return digest([remoteAddress])
  const address = ipaddr.process(remoteAddress)
  if (address.kind() === 'ipv4') return address.toString()
  return Buffer.from(address.toByteArray().slice(0, 8)).toString('hex')
}
