/** What a schema cannot say about the options of a connection. */
import { createSecureContext } from 'node:tls'
import { SignalboxError } from '../../core/errors.ts'
import type { ConnectionOptions } from './connection-options.ts'

/** The base URL. Throws SIGNALBOX_OPTIONS_INVALID when it is none, or holds credentials. */
export function baseUrl(text: string): URL {
  const url = URL.parse(text)
  const rule = !url
    ? 'is not a URL'
    : url.username || url.password
      ? 'must not hold credentials; use auth'
      : undefined
  if (url && !rule) return url
  throw invalid('/url', rule!)
}

/** Throws SIGNALBOX_OPTIONS_INVALID when certificates or key cannot be used, before a socket needs them. */
export function checkCertificates({ ca, cert, key }: ConnectionOptions['tls']): void {
  if ((cert === undefined) !== (key === undefined))
    throw invalid('/tls', 'needs both cert and key, or neither')
  try {
    createSecureContext({ ca, cert, key })
  } catch (cause) {
    throw invalid('/tls', `cannot be used: ${(cause as Error).message}`)
  }
}

function invalid(pointer: string, rule: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `HTTP connection: ${pointer} ${rule}`, {
    details: { errors: [{ pointer, rule }] },
  })
}
