/** Errors of the admin API as problem details (RFC 9457), with the code, what was wrong and what to do. */
import { STATUS_CODES } from 'node:http'
import { ERRORS, type ErrorCode, SignalboxError } from '../../core/errors.ts'

const MAX_INSTANCE_LENGTH = 1024

/** An error, ready to be sent. */
export interface Problem {
  status: number
  headers: Record<string, string>
  body: string
}

/**
 * Turns anything thrown into a problem. A SignalboxError is told as it is: who may use this API may know. Of any
 * other error only the correlation id is told; its message is for the log.
 */
export function problemOf(thrown: unknown, cid: string, url: string): Problem {
  const error =
    thrown instanceof SignalboxError
      ? thrown
      : new SignalboxError(
          'SIGNALBOX_ACTOR_FAILED',
          `the request failed inside; see the log under cid ${cid}`,
        )
  const status = error.status >= 400 && error.status <= 599 ? error.status : 500
  const known = Object.hasOwn(ERRORS, error.code) ? ERRORS[error.code as ErrorCode] : undefined
  const problem = {
    type: `urn:signalbox:error:${error.code}`,
    title: known?.what ?? STATUS_CODES[status] ?? 'Error',
    status,
    detail: error.message,
    instance: url.split('?', 1)[0]!.slice(0, MAX_INSTANCE_LENGTH),
    code: error.code,
    cid,
    fix: fixOf(error),
  }
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    ...headersOf(error, status),
  }
  return { status, headers, body: serialize(problem, error.details) }
}

/** What to do: of this occurrence, or of the code. */
function fixOf(error: SignalboxError): string | undefined {
  const own = error.details?.fix
  return typeof own === 'string' ? own : error.fix
}

function headersOf(error: SignalboxError, status: number): Record<string, string> {
  const headers: Record<string, string> = {}
  const { challenge, allow } = error.details ?? {}
  if (status === 401 || (status === 403 && challenge !== undefined)) {
    const given = typeof challenge === 'string' && /^[\x20-\x7e]+$/.test(challenge)
    headers['www-authenticate'] = given ? challenge : 'Bearer realm="signalbox"'
  }
  if (status === 405 && Array.isArray(allow)) headers.allow = allow.join(', ')
  const waitMs = error.retryAfterMs ?? (status === 503 || status === 429 ? 1000 : undefined)
  if (waitMs !== undefined) headers['retry-after'] = String(Math.max(0, Math.ceil(waitMs / 1000)))
  return headers
}

function serialize(problem: object, details: Record<string, unknown> | undefined): string {
  const { challenge: _challenge, fix: _fix, ...rest } = details ?? {}
  if (Object.keys(rest).length === 0) return JSON.stringify(problem)
  try {
    return JSON.stringify({ ...problem, details: rest })
  } catch {
    // Details of a service's own error may hold what JSON cannot: the rest of the problem still has to arrive.
    return JSON.stringify({ ...problem, details: { unencodable: Object.keys(rest) } })
  }
}
