/** What goes with a SOAP message over HTTP: its media type and its action. */
import { format, parse } from 'content-type'
import type { SoapVersion } from './soap-message.ts'

const MEDIA_TYPES: Readonly<Record<string, SoapVersion>> = {
  'text/xml': '1.1',
  'application/soap+xml': '1.2',
}

/** What headers say of a SOAP message. */
export interface SoapHead {
  version: SoapVersion
  /** URI of what is asked for; '' when it is empty, undefined when there is none. */
  action: string | undefined
}

/**
 * The headers of a message, names in lower case: `text/xml` and `SOAPAction` in SOAP 1.1 (section 6.1, which wants
 * the header even when it is empty), `application/soap+xml` with the parameter `action` in SOAP 1.2 (RFC 3902).
 */
export function soapHeaders(version: SoapVersion, action?: string): Record<string, string> {
  if (version === '1.1') {
    return { 'content-type': 'text/xml; charset=utf-8', soapaction: quoted(action ?? '') }
  }
  const parameters: Record<string, string> = { charset: 'utf-8' }
  if (action !== undefined) parameters.action = action
  return { 'content-type': format({ type: 'application/soap+xml', parameters }) }
}

/** Reads the headers of a message, names in lower case; undefined when they are not those of a SOAP message. */
export function readSoapHeaders(headers: Readonly<Record<string, string>>): SoapHead | undefined {
  const { type, parameters } = parse(headers['content-type'] ?? '')
  const version = Object.hasOwn(MEDIA_TYPES, type) ? MEDIA_TYPES[type] : undefined
  if (version === undefined) return undefined
  if (version === '1.2') return { version, action: parameters.action }
  const { soapaction } = headers
  return { version, action: soapaction?.trim().replace(/^"(.*)"$/, '$1') }
}

/** A header value holds no quotes and no control characters; in a URI they are escaped. */
function quoted(action: string): string {
  return `"${action.replace(/["\0-\x20\x7f-\uffff]/g, found => encodeURIComponent(found.toWellFormed()))}"`
}
