/** Bytes to the text of an XML document (XML 1.0, section 4.3.3 and appendix F). */
import { SignalboxError } from '../errors.ts'
import { charsetOf, decodeAll } from './charset.ts'
import { decodeUtf8, positionAt } from './text.ts'

const ENCODING = /^<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z][\w.-]{0,40})["']/
const UTF8 = new Set(['utf-8', 'utf8', 'us-ascii', 'ascii'])
const UTF16 = new Set(['utf-16', 'utf-16le', 'utf-16be'])

/**
 * The text of a document with line ends made `\n` (section 2.11) and without byte order mark. UTF-16 with a byte
 * order mark, another character set by declaration, otherwise UTF-8; in a string the declared encoding does not count.
 */
export function decodeXml(input: Buffer | string): string {
  const text = typeof input === 'string' ? wellFormed(input) : decode(input)
  return text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text
}

function decode(bytes: Buffer): string {
  if (bytes.length >= 2 && (bytes[0] === 0xff || bytes[0] === 0xfe)) {
    if (bytes[0] === 0xff && bytes[1] === 0xfe) return decodeUtf16(bytes)
    if (bytes[0] === 0xfe && bytes[1] === 0xff && bytes.length % 2 === 0) {
      return decodeUtf16(Buffer.from(bytes).swap16())
    }
  }
  const encoding = ENCODING.exec(bytes.toString('latin1', 0, 300))?.[1]?.toLowerCase()
  if (encoding === undefined || UTF8.has(encoding)) return decodeUtf8(bytes, 'XML')
  if (UTF16.has(encoding)) throw refused('UTF-16 is declared, but the document has no byte order mark', 1, 1)
  return decodeAll(bytes, charsetOf(encoding), 'XML')
}

function decodeUtf16(bytes: Buffer): string {
  if (bytes.length % 2 !== 0) throw refused('UTF-16 with an odd number of bytes', 1, 1)
  return wellFormed(bytes.toString('utf16le', 2))
}

function wellFormed(text: string): string {
  if (!text.isWellFormed()) {
    const { line, column } = positionAt(text, text.search(/\p{Surrogate}/u))
    throw refused('half of a surrogate pair', line, column)
  }
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
}

function refused(why: string, line: number, column: number): SignalboxError {
  const message = `XML: ${why}, at line ${line}, column ${column}`
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', message, { details: { line, column } })
}
