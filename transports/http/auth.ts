/** How a connection proves who it is. */
import type { Clock } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { ConnectionOptions } from './connection-options.ts'
import type { Deadline } from './deadline.ts'

type AuthOptions = NonNullable<ConnectionOptions['auth']>
type OAuth2Options = NonNullable<AuthOptions['oauth2']>

/** Headers that carry credentials, and what to do when the server refuses them. */
export interface Credentials {
  headers(deadline: Deadline): Promise<Record<string, string>>
  /** Says that these headers were refused; true when others can be had, so that another try is worth it. */
  refused(headers: Record<string, string>): boolean
}

/** Posts a form to the token endpoint and resolves with status and body. */
export type PostForm = (
  url: string,
  form: URLSearchParams,
  headers: Record<string, string>,
) => Promise<{ status: number; body: string }>

/** A token without a lifetime is kept this long. */
const DEFAULT_LIFETIME_MS = 300_000

/** Makes the credentials that the options ask for. */
export function createCredentials(
  options: ConnectionOptions['auth'],
  clock: Clock,
  post: PostForm,
): Credentials {
  if (options?.oauth2) return new ClientCredentials(options.oauth2, clock, post)
  return { headers: async () => fixedCredentials(options), refused: () => false }
}

/** The headers of credentials that never change; none with OAuth 2.0. */
export function fixedCredentials(options: ConnectionOptions['auth']): Record<string, string> {
  if (options?.basic) return { authorization: basic(options.basic.username, options.basic.password) }
  if (options?.bearer) return { authorization: `Bearer ${options.bearer.token}` }
  if (options?.apiKey) return { [options.apiKey.header.toLowerCase()]: options.apiKey.value }
  return {}
}

/** RFC 7617, in UTF-8. */
function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** OAuth 2.0 client credentials: one token for all requests, renewed before its end, fetched once at a time. */
class ClientCredentials implements Credentials {
  readonly #options: OAuth2Options
  readonly #clock: Clock
  readonly #post: PostForm
  #token: { value: string; renewAt: number } | undefined
  #fetching: Promise<string> | undefined

  constructor(options: OAuth2Options, clock: Clock, post: PostForm) {
    this.#options = options
    this.#clock = clock
    this.#post = post
  }

  async headers(deadline: Deadline): Promise<Record<string, string>> {
    return { authorization: `Bearer ${await this.#current(deadline)}` }
  }

  refused(headers: Record<string, string>): boolean {
    // Another request may have brought a new token meanwhile: keep that one.
    if (this.#token && headers.authorization === `Bearer ${this.#token.value}`) this.#token = undefined
    return true
  }

  async #current(deadline: Deadline): Promise<string> {
    if (this.#token && this.#clock.monotonic() < this.#token.renewAt) return this.#token.value
    // The fetch belongs to all who wait for it, so the end of one request does not end it.
    this.#fetching ??= this.#fetch().finally(() => {
      this.#fetching = undefined
    })
    return await deadline.race(this.#fetching)
  }

  async #fetch(): Promise<string> {
    const { tokenUrl, clientId, clientSecret, scope, audience, credentialsIn, renewBeforeMs } = this.#options
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      ...(scope && { scope }),
      ...(audience && { audience }),
    })
    const headers: Record<string, string> = { accept: 'application/json' }
    // RFC 6749, section 2.3.1: both parts are form-encoded before they become Basic credentials.
    if (credentialsIn === 'header')
      headers.authorization = basic(formEncode(clientId), formEncode(clientSecret))
    else
      for (const [name, value] of Object.entries({ client_id: clientId, client_secret: clientSecret }))
        form.set(name, value)
    const { status, body } = await this.#post(tokenUrl, form, headers)
    const { token, lifetimeMs } = readToken(tokenUrl, status, body)
    // A token that lives shorter than the margin is still used for half of its life.
    const usableMs = Math.max(lifetimeMs - renewBeforeMs, lifetimeMs / 2)
    this.#token = { value: token, renewAt: this.#clock.monotonic() + usableMs }
    return token
  }
}

function formEncode(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}

function readToken(tokenUrl: string, status: number, body: string): { token: string; lifetimeMs: number } {
  const answer = parseObject(body)
  if (status !== 200) {
    const why = typeof answer.error === 'string' ? answer.error.slice(0, 100) : `status ${status}`
    const refused = status === 400 || status === 401 || status === 403
    throw new SignalboxError(
      refused ? 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS' : 'SIGNALBOX_CONNECT_FAILED',
      `token endpoint ${tokenUrl}: ${why}`,
      { details: { status, sent: false } },
    )
  }
  const { access_token: token, expires_in: seconds, token_type: type } = answer
  const usable = typeof token === 'string' && /^[\x21-\x7e]+$/.test(token)
  if (!usable || (typeof type === 'string' && type.toLowerCase() !== 'bearer')) {
    throw new SignalboxError(
      'SIGNALBOX_CONNECT_FAILED',
      `token endpoint ${tokenUrl}: no bearer token in the answer`,
      {
        retryable: false,
        details: { status },
      },
    )
  }
  const given = Number(seconds)
  return { token, lifetimeMs: given > 0 ? given * 1000 : DEFAULT_LIFETIME_MS }
}

function parseObject(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {} // no JSON is no token: readToken says so
  }
}
