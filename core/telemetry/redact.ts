/** Masks secrets in plain data before it is logged, audited or shown. */

/** What stands in the place of a secret. */
export const MASK = '***'

export interface RedactOptions {
  /** JSON pointers (RFC 6901) of further values to mask, e.g. those a schema calls secret. */
  pointers?: readonly string[]
  /** How deep objects are followed; what lies deeper is masked. Default 64. */
  maxDepth?: number
}

// Compared without case, dashes and underscores: api_key, x-api-key and apiKey are one name.
const SECRET_ENDINGS = [
  'password',
  'passwd',
  'pwd',
  'passphrase',
  'passwordhash',
  'secret',
  'secretkey',
  'token',
  'authorization',
  'apikey',
  'privatekey',
  'masterkey',
  'encryptionkey',
  'accesskey',
  'credential',
  'credentials',
  'cookie',
  'connectionstring',
]
const PLURAL = /s$/
const URL_PASSWORD = /([a-z][a-z0-9+.-]{0,31}:\/\/[^\s:/?#@]{0,256}:)[^\s/?#@]{1,1024}@/gi
const OWN_KEY = /\b(sba?)_[0-9A-Za-z]{49}\b/g

/** Whether a field of this name holds a secret. */
export function isSecretName(name: string): boolean {
  const plain = name.toLowerCase().replace(/[-_\s.]/g, '')
  const single = plain.replace(PLURAL, '')
  return SECRET_ENDINGS.some(ending => plain.endsWith(ending) || single.endsWith(ending))
}

/**
 * A copy of plain data in which values of fields with telling names, values at `pointers`, passwords in URLs and
 * keys of the bus are replaced by {@link MASK}. Booleans, null and empty texts in telling fields stay: they are no
 * secrets. Never throws: cycles and what is too deep are masked, an object with a getter that throws comes out empty.
 */
export function redact(value: unknown, options: RedactOptions = {}): unknown {
  return copy(value, '', new Set(options.pointers ?? []), options.maxDepth ?? 64, new Set())
}

/** Masks what can be recognised in a text: passwords in URLs and keys of the bus. */
export function redactText(text: string): string {
  return text.replace(URL_PASSWORD, `$1${MASK}@`).replace(OWN_KEY, `$1_${MASK}`)
}

function copy(
  value: unknown,
  pointer: string,
  masked: ReadonlySet<string>,
  depth: number,
  above: Set<object>,
): unknown {
  if (masked.has(pointer) && value !== undefined) return MASK
  if (typeof value === 'string') return redactText(value)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `(${value.byteLength} bytes)`
  if (depth <= 0 || above.has(value)) return MASK
  above.add(value)
  const entries = entriesOf(value).map(([key, inner]): [string, unknown] => {
    if (!Array.isArray(value) && isSecretName(key) && isHidden(inner)) return [key, MASK]
    const step = key.replaceAll('~', '~0').replaceAll('/', '~1')
    return [key, copy(inner, `${pointer}/${step}`, masked, depth - 1, above)]
  })
  above.delete(value)
  return Array.isArray(value) ? entries.map(([, inner]) => inner) : Object.fromEntries(entries)
}

/** Whether a value in a telling field may be the secret: an absent one or a switch is not. */
function isHidden(value: unknown): boolean {
  return value !== undefined && value !== null && typeof value !== 'boolean' && value !== ''
}

function entriesOf(value: object): [string, unknown][] {
  try {
    const own = value instanceof Error ? { ...value, name: value.name, message: value.message } : value
    if (Array.isArray(own)) return own.map((item, i) => [String(i), item])
    return own instanceof Map ? [...own].map(([key, item]) => [String(key), item]) : Object.entries(own)
  } catch {
    // A getter that throws: better nothing than a half.
    return []
  }
}
