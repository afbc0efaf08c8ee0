/** Errors of undici, sockets and TLS as errors of the bus. */
import { type ErrorCode, SignalboxError } from '../../core/errors.ts'

// X509 verification results (openssl-verify(1)) and Node's own host name check.
const UNVERIFIED =
  /^(ERR_TLS_CERT_ALTNAME_INVALID|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET|VERIFY|DECRYPT|DECODE)_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|PATH_LENGTH_EXCEEDED)/
// Alerts of a server that wants another client certificate (RFC 8446, section 6.2).
const CLIENT_CERTIFICATE =
  /ALERT_(NO_CERTIFICATE|BAD_CERTIFICATE|CERTIFICATE_|UNKNOWN_CA|ACCESS_DENIED|CERTIFICATE_REQUIRED)/
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
])
const BROKEN = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_SOCKET',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
])
const OTHER: Record<string, ErrorCode> = {
  UND_ERR_HEADERS_TIMEOUT: 'SIGNALBOX_TIMEOUT_DEADLINE',
  UND_ERR_BODY_TIMEOUT: 'SIGNALBOX_TIMEOUT_DEADLINE',
  UND_ERR_ABORTED: 'SIGNALBOX_CANCELLED',
  UND_ERR_INVALID_ARG: 'SIGNALBOX_USAGE',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'SIGNALBOX_USAGE',
  UND_ERR_DESTROYED: 'SIGNALBOX_NOT_CONNECTED',
  UND_ERR_CLOSED: 'SIGNALBOX_NOT_CONNECTED',
  UND_ERR_MAX_ORIGINS_REACHED: 'SIGNALBOX_OVERLOADED',
}

/**
 * The typed error for anything a request threw. `details.sent` is false when the request certainly never
 * reached the server, so that it may be repeated whatever its method.
 */
export function toFailure(thrown: unknown, what: string): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown
  const { code, message } = describe(thrown)
  const make = (to: ErrorCode, details: Record<string, unknown>, status?: number) =>
    new SignalboxError(to, `${what}: ${message}`, {
      details: { ...details, cause: code },
      cause: thrown,
      ...(status !== undefined && { status }),
    })
  if (UNVERIFIED.test(code)) return make('SIGNALBOX_TLS_UNVERIFIED', { sent: false })
  if (CLIENT_CERTIFICATE.test(code)) return make('SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', { sent: false })
  if (NEVER_SENT.has(code) || code.startsWith('ERR_SSL_') || code === 'EPROTO') {
    return make('SIGNALBOX_CONNECT_FAILED', { sent: false })
  }
  if (BROKEN.has(code)) return make('SIGNALBOX_CONNECT_FAILED', { sent: syscallOf(thrown) !== 'connect' })
  // The server is at fault here, not the caller: 502 instead of the 4xx of the table.
  if (code.startsWith('HPE_') || isCompression(code))
    return make('SIGNALBOX_FORMAT_INVALID', { sent: true }, 502)
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return make('SIGNALBOX_FORMAT_LIMIT', { sent: true }, 502)
  return make(OTHER[code] ?? 'SIGNALBOX_SERVICE_FAILED', {})
}

function describe(thrown: unknown): { code: string; message: string } {
  if (!(thrown instanceof Error)) return { code: '', message: String(thrown) }
  const inner: unknown = thrown instanceof AggregateError ? thrown.errors[0] : thrown.cause
  const own = (thrown as NodeJS.ErrnoException).code
  const code = own ?? (inner as NodeJS.ErrnoException | undefined)?.code ?? ''
  const message = thrown.message || (inner instanceof Error ? inner.message : '') || code
  return { code: String(code), message }
}

function syscallOf(thrown: unknown): string | undefined {
  return (thrown as NodeJS.ErrnoException).syscall
}

function isCompression(code: string): boolean {
  return /^(Z_|ZSTD_|ERR_BROTLI|ERR_ZSTD|ERR__ERROR|ERR__)/.test(code)
}
