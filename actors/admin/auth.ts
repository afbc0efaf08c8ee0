/** Who sends a request, and whether they may. Bearer tokens only (RFC 6750): a browser adds none by itself. */
import { SignalboxError } from '../../core/errors.ts'
import type { Actor } from './operator.ts'
import type { AdminRoute, RoutePermission } from './routes.ts'

const REALM = 'Bearer realm="signalbox"'
const MAX_TOKEN_LENGTH = 8192
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/

/** Whom a token was made for. `expired`: it proves nothing any more, and says only who tried. */
export type Authenticated = Actor & { expired?: boolean }

/** Says who a token belongs to; undefined: nobody. Throws to refuse in another way, e.g. after too many tries. */
export type Authenticate = (
  token: string | undefined,
  remoteAddress: string,
) => Promise<Authenticated | undefined>

/** Is told when somebody who is known may not do what it asks for; the refusal waits for it. */
export type OnDenied = (actor: Actor) => Promise<void>

/** Whether one of the roles has the permission. */
export type May = (roles: readonly string[], permission: NonNullable<RoutePermission>) => boolean

/** Acts on routes that are open to all. */
const ANYONE: Actor = Object.freeze({ name: 'anonymous', roles: Object.freeze([]) })

/** What {@link authorize} needs of the server. */
export interface Gate {
  authenticate: Authenticate
  may: May
  denied: OnDenied
}

/** The actor of a request. Throws SIGNALBOX_UNAUTHENTICATED or SIGNALBOX_FORBIDDEN. */
export async function authorize(
  route: AdminRoute,
  authorization: string | undefined,
  remoteAddress: string,
  { authenticate, may, denied }: Gate,
): Promise<Actor> {
  const { permission } = route
  if (permission === undefined) return ANYONE
  const token = bearerOf(authorization)
  const found = await authenticate(token, remoteAddress)
  const actor = found && { name: found.name, roles: found.roles, ...(remoteAddress && { remoteAddress }) }
  if (actor === undefined || found?.expired) {
    if (actor !== undefined) await denied(actor)
    const why = token === undefined ? 'there is no bearer token' : 'the bearer token is not valid'
    throw unauthenticated(why, token === undefined ? REALM : `${REALM}, error="invalid_token"`)
  }
  if (may(actor.roles, permission)) return actor
  await denied(actor)
  throw new SignalboxError('SIGNALBOX_FORBIDDEN', `${actor.name} lacks the permission ${permission}`, {
    details: {
      permission,
      challenge: `${REALM}, error="insufficient_scope", scope="${permission}"`,
      fix: `Ask for a role that has the permission ${permission}.`,
    },
  })
}

function bearerOf(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined
  const [, scheme, token] = /^([^ ]+) +(.+)$/.exec(authorization) ?? []
  if (scheme?.toLowerCase() !== 'bearer' || token === undefined) {
    throw unauthenticated('the Authorization header is not of the form: Bearer TOKEN', REALM)
  }
  if (token.length > MAX_TOKEN_LENGTH || !TOKEN.test(token)) {
    throw unauthenticated('the bearer token is not valid', `${REALM}, error="invalid_token"`)
  }
  return token
}

function unauthenticated(message: string, challenge: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_UNAUTHENTICATED', message, {
    details: { challenge, fix: 'Send the header Authorization: Bearer TOKEN with a token of this node.' },
  })
}
