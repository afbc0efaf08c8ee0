/** Errors as problem details (RFC 9457). Server errors hide what is inside unless the channel exposes it. */
import { ERRORS, type ErrorCode, type SignalboxError, toSignalboxError } from '../../core/errors.ts'
import { http } from './node-http.ts'

/** An error, ready to be sent. */
export interface Problem {
  status: number
  body: string
  /** Flat list of names and values. */
  headers: string[]
}

/** Where and how an error is told. */
export interface ProblemContext {
  cid: string
  /** Path of the request. */
  instance: string
  /** Name of the channel, the realm of a 401. */
  realm: string
  expose: boolean
}

const MAX_INSTANCE_LENGTH = 1024

/** Turns anything thrown into a problem. */
export function problemOf(thrown: unknown, context: ProblemContext): Problem {
  const error = toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED')
  const status = error.status >= 400 && error.status <= 599 ? error.status : 500
  const open = status < 500 || context.expose
  const known = Object.hasOwn(ERRORS, error.code) ? ERRORS[error.code as ErrorCode] : undefined
  const title = known?.what ?? http.STATUS_CODES[status] ?? 'Error'
  const problem = {
    type: `urn:signalbox:error:${error.code}`,
    title,
    status,
    detail: open ? error.message : title,
    instance: context.instance.slice(0, MAX_INSTANCE_LENGTH),
    code: error.code,
    cid: context.cid,
  }
  const headers = [
    'content-type',
    'application/problem+json',
    'cache-control',
    'no-store',
    'x-signalbox-cid',
    context.cid,
  ]
  addRetryAfter(headers, status, error)
  if (status === 401) headers.push('www-authenticate', challenge(error, context.realm))
  return { status, body: serialize(problem, open ? error.details : undefined), headers }
}

function addRetryAfter(headers: string[], status: number, error: SignalboxError): void {
  const fallbackMs = status === 503 || status === 429 ? 1000 : undefined
  const waitMs = error.retryAfterMs ?? fallbackMs
  if (waitMs !== undefined) headers.push('retry-after', String(Math.max(0, Math.ceil(waitMs / 1000))))
}

/** Security definitions name their schemes in `details.challenge` or `details.challenges`, e.g. `Basic realm="orders"`. */
function challenge(error: SignalboxError, realm: string): string {
  const { challenge: own, challenges } = error.details ?? {}
  const given =
    own ?? (Array.isArray(challenges) && challenges.length > 0 ? challenges.join(', ') : undefined)
  if (typeof given === 'string' && /^[\x20-\x7e]+$/.test(given)) return given
  return `Bearer realm="${realm.replace(/[^A-Za-z0-9 ._/-]/g, '_')}"`
}

function serialize(problem: object, details: Record<string, unknown> | undefined): string {
  if (details === undefined) return JSON.stringify(problem)
  try {
    return JSON.stringify({ ...problem, details })
  } catch {
    // Details of a service's own error may hold what JSON cannot: the rest of the problem still has to arrive.
    return JSON.stringify({ ...problem, details: { unencodable: Object.keys(details) } })
  }
}
