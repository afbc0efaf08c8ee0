/** TLS options as Node.js takes them, from PEM texts or files. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { SignalboxError } from '../../../core/errors.ts'
import type { DatabaseSettings } from '../options.ts'

export interface TlsOptions {
  ca?: string
  cert?: string
  key?: string
  servername?: string
  rejectUnauthorized: boolean
  minVersion: 'TLSv1.2'
}

/** Undefined when the connection is to be plain. Throws SIGNALBOX_OPTIONS_INVALID for a file that cannot be read. */
export function tlsOptions({ tls, host }: DatabaseSettings): TlsOptions | undefined {
  if (!tls) return undefined
  const servername = tls.servername ?? (isIP(host) || host.startsWith('/') ? undefined : host)
  return {
    rejectUnauthorized: tls.rejectUnauthorized,
    minVersion: 'TLSv1.2',
    ...(tls.ca !== undefined && { ca: pem(tls.ca, 'ca') }),
    ...(tls.cert !== undefined && { cert: pem(tls.cert, 'cert') }),
    ...(tls.key !== undefined && { key: pem(tls.key, 'key') }),
    ...(servername !== undefined && { servername }),
  }
}

function pem(value: string, name: string): string {
  if (value.includes('-----BEGIN')) return value
  try {
    return readFileSync(value, 'utf8')
  } catch (error) {
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `tls.${name}: cannot read ${value}`, {
      cause: error,
    })
  }
}
