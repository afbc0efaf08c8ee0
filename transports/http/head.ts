/**
 * Checks of everything that ends up in the head of an answer, so that nothing a service returns can split a
 * response (CR, LF, NUL) or contradict the framing that the channel does itself.
 */
import { SignalboxError } from '../../core/errors.ts'

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const SANE_CID = /^[A-Za-z0-9._-]{1,128}$/

/** Headers that only the channel sets: framing and hop-by-hop fields (RFC 9110, 7.6.1). Left out of answers. */
const OWN = new Set([
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-signalbox-cid',
])

/**
 * Adds the headers a service set to a flat list of names and values. Hop-by-hop and framing headers are left out.
 * Throws SIGNALBOX_ANSWER_INVALID for names or values that could change the message.
 */
export function addHeaders(list: string[], headers: Record<string, string>, skip?: string): void {
  for (const name in headers) {
    const lower = name.toLowerCase()
    if (OWN.has(lower) || lower === skip) continue
    const value = headers[name]
    if (!TOKEN.test(name)) {
      throw new SignalboxError(
        'SIGNALBOX_ANSWER_INVALID',
        `${JSON.stringify(name)} is not a valid header name`,
      )
    }
    list.push(name, checkedValue(name, value))
  }
}

/** The value, when it may stand in a header. */
export function checkedValue(name: string, value: unknown): string {
  if (typeof value === 'string' && VALUE.test(value)) return value
  const problem =
    typeof value === 'string' ? 'holds characters that are not allowed in a header' : 'is not a string'
  throw new SignalboxError('SIGNALBOX_ANSWER_INVALID', `the value of the header '${name}' ${problem}`)
}

/** The status to answer with; `fallback` when the service set none. */
export function checkedStatus(status: number | undefined, fallback: number): number {
  if (status === undefined) return fallback
  if (Number.isInteger(status) && status >= 200 && status <= 599) return status
  throw new SignalboxError('SIGNALBOX_ANSWER_INVALID', `${status} is not an HTTP status between 200 and 599`)
}

/** A header of a service, whatever the case of its name. */
export function headerOf(headers: Record<string, string>, lowerName: string): string | undefined {
  const direct = headers[lowerName]
  if (direct !== undefined) return direct
  for (const name in headers) if (name.toLowerCase() === lowerName) return headers[name]
  return undefined
}

/** A correlation id from outside, if it is harmless in logs and headers. */
export function saneCid(value: string | undefined): string | undefined {
  return value !== undefined && SANE_CID.test(value) ? value : undefined
}
