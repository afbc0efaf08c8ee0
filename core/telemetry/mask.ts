/** Takes secrets out of what is logged or shown. */
import { pino } from 'pino'

/** Names of what is never shown, whatever the case and with dashes or underscores between the words. */
const SECRET =
  /(?:^|[-_.])(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|authorization|credentials?|private[-_]?key|cookie)$|(?:Password|Passphrase|Secret|Token|ApiKey|SecretKey|PrivateKey)$|^(?:set-cookie|secretKey|proxy-authorization|x-api-key)$/
const MAX_DEPTH = 5
const MAX_ITEMS = 100
export const MASKED = '[Redacted]'

/** Whether a value of this name is a secret. */
export function isSecretName(name: string): boolean {
  return SECRET.test(name) || SECRET.test(name.toLowerCase())
}

/**
 * A copy of plain data without secrets, down to five levels; what lies deeper is left out. The value itself when
 * there is nothing to take out is a copy all the same. Errors become plain data.
 */
export function mask(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return maskError(value, depth)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof Date) return value
  if (depth >= MAX_DEPTH) return Array.isArray(value) ? '[Array]' : '[Object]'
  if (Array.isArray(value)) return maskList(value, depth)
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return value
  const copy: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    const inner = (value as Record<string, unknown>)[key]
    setOwn(copy, key, isSecretName(key) && inner !== undefined ? MASKED : mask(inner, depth + 1))
  }
  return copy
}

function maskList(list: readonly unknown[], depth: number): unknown[] {
  const copy = list.slice(0, MAX_ITEMS).map(item => mask(item, depth + 1))
  if (list.length > MAX_ITEMS) copy.push(`[${list.length - MAX_ITEMS} more]`)
  return copy
}

/** Pino's serializer gives type, message, stack with the causes, and the own properties. */
function maskError(error: Error, depth: number): unknown {
  const { raw: _, ...plain } = pino.stdSerializers.err(error) as unknown as Record<string, unknown>
  return mask(plain, depth)
}

function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  // `__proto__` from a parsed payload is a name like any other.
  if (key === '__proto__') Object.defineProperty(target, key, { value, enumerable: true, configurable: true })
  else target[key] = value
}
