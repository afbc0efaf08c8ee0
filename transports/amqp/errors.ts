/** Errors of amqplib and of the broker, as errors of the bus. */
import { SignalboxError } from '../../core/errors.ts'

interface NativeError extends Error {
  /** Reply code of the broker (AMQP 0-9-1, 1.2), or the code of Node.js. */
  code?: number | string
}

const TLS_CODES = /CERT|SELF_SIGNED|UNABLE_TO_/
const ACCESS_REFUSED = 403
const NOT_FOUND = 404
const RESOURCE_LOCKED = 405
const PRECONDITION_FAILED = 406
const OWN_FAULTS = new Set([NOT_FOUND, RESOURCE_LOCKED, PRECONDITION_FAILED])

/** Why a server could not be connected to. */
export function connectError(error: Error, where: string, vhost: string): SignalboxError {
  const code = String((error as NativeError).code ?? '')
  const make = (kind: string, why: string) =>
    new SignalboxError(kind, `no connection to ${where}: ${why}`, { cause: error })
  // A server that wants a certificate of ours says so in a TLS alert.
  if (/ALERT/.test(code)) return make('SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', error.message)
  if (TLS_CODES.test(code)) return make('SIGNALBOX_TLS_UNVERIFIED', error.message)
  if (/ACCESS.REFUSED/.test(error.message)) {
    return make('SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', 'the server refused the user name or the password')
  }
  // All that amqplib says when the server closes instead of opening the virtual host.
  if (/ConnectionOpenOk.*ConnectionClose/.test(error.message)) {
    const why = `there is no virtual host '${vhost}', or the user may not use it`
    return make('SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', why)
  }
  if (/^SASL mechanism/.test(error.message))
    return make('SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', error.message)
  return make('SIGNALBOX_CONNECT_FAILED', error.message || code)
}

/** What a broker said about a channel, an operation on it, or a message. */
export function brokerError(error: Error, what: string): SignalboxError {
  if (error instanceof SignalboxError) return error
  const { code } = error as NativeError
  const message = `${what}: ${textOf(error)}`
  if (code === ACCESS_REFUSED) {
    const retryable = /exclusive use/.test(error.message)
    const kind = retryable ? 'SIGNALBOX_BROKER_TOPOLOGY' : 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS'
    return new SignalboxError(kind, message, { cause: error, retryable })
  }
  if (OWN_FAULTS.has(code as number)) {
    // A queue that is locked by another connection is free when that one ends.
    return new SignalboxError('SIGNALBOX_BROKER_TOPOLOGY', message, {
      cause: error,
      retryable: code === RESOURCE_LOCKED,
      details: { replyCode: code },
    })
  }
  return new SignalboxError('SIGNALBOX_NOT_CONNECTED', message, { cause: error })
}

/** The words of the broker, without those that amqplib puts around them. */
function textOf(error: Error): string {
  return /with message "(.*)"$/s.exec(error.message)?.[1] ?? error.message
}

export function notConnected(why: string, cause?: unknown): SignalboxError {
  return new SignalboxError('SIGNALBOX_NOT_CONNECTED', why, cause === undefined ? {} : { cause })
}

export function closedMeanwhile(): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', 'closed while it was connecting')
}
