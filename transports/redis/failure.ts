/** What goes wrong with a Redis server, as errors of the bus. */
import { SignalboxError } from '../../core/errors.ts'

const TLS_CODES = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|HOSTNAME_MISMATCH/
/** Replies that say who we are not (Redis ACL). */
const CREDENTIALS =
  /^(WRONGPASS|NOAUTH)\b|invalid (username-password|password)|without any password configured/i
/** First words of replies that pass: loading, failover, resharding, memory that is full for now. */
const PASSING = new Set([
  'LOADING', 'BUSY', 'CLUSTERDOWN', 'TRYAGAIN', 'MASTERDOWN', 'READONLY', 'OOM', 'NOREPLICAS', 'UNKILLABLE',
  'MISCONF', 'MOVED', 'ASK', 'UNBLOCKED',
]) // biome-ignore format: a list of words
const LOST =
  /Connection is closed|Stream isn't writeable|Command aborted due to connection close|Socket timeout|Cluster isn't ready|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN/

interface NativeError extends Error {
  code?: string
  lastNodeError?: NativeError | null
  command?: unknown
}

/** Why a server could not be reached, as `endpoint` for people. */
export function connectError(thrown: unknown, endpoint: string): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown
  const error = rootOf(thrown)
  const message = `no connection to ${endpoint}: ${error.message}`
  const about = { cause: error, details: { endpoint } }
  if (TLS_CODES.test(error.code ?? '') || /certificate/i.test(error.message))
    return new SignalboxError('SIGNALBOX_TLS_UNVERIFIED', message, about)
  if (CREDENTIALS.test(error.message) || error.message.startsWith('NOPERM'))
    return new SignalboxError('SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', message, about)
  return new SignalboxError('SIGNALBOX_CONNECT_FAILED', message, about)
}

/** Why a command failed. */
export function commandError(thrown: unknown, endpoint: string): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown
  const error = rootOf(thrown)
  const { message } = error
  const about = { cause: error, details: { endpoint } }
  if (message === 'Command timed out')
    return new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', `${endpoint} did not reply in time`, about)
  if (error.name !== 'ReplyError' && LOST.test(`${error.code ?? ''} ${message}`))
    return new SignalboxError('SIGNALBOX_NOT_CONNECTED', `${endpoint}: ${message}`, about)
  if (CREDENTIALS.test(message))
    return new SignalboxError('SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', `${endpoint}: ${message}`, about)
  const kind = /^[A-Z]+/.exec(message)?.[0] ?? ''
  return new SignalboxError('SIGNALBOX_OPERATION_REFUSED', `${endpoint}: ${message}`, {
    cause: error,
    details: { endpoint, reply: kind },
    retryable: error.name !== 'ReplyError' || PASSING.has(kind),
  })
}

/** A cluster of which no node answers says why only in the error of its last node. */
function rootOf(thrown: unknown): NativeError {
  const error: NativeError = thrown instanceof Error ? thrown : new Error(String(thrown))
  const root: NativeError = error.lastNodeError ?? error
  // The arguments of the command: passwords and payloads, which belong in no log.
  delete root.command
  return root
}
