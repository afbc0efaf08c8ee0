/**
 * API keys: `sb_`, 43 characters that hold 256 random bits, and 6 of checksum, so that scanners find lost keys and
 * typing mistakes are known without a look-up. They are stored as SHA-256: what has 256 random bits needs no slow hash.
 */
import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const RANDOM_CHARS = 43
const CHECKSUM_CHARS = 6
const STORED = /^sha256:[0-9a-f]{64}$/

/** What kind of key it is, at its front: `sb` for API keys, `sba` for admin tokens. */
export type KeyPrefix = 'sb' | 'sba'

/** A new key and what is stored of it. Show the key once, then forget it. */
export function makeKey(prefix: KeyPrefix = 'sb'): { key: string; hash: string } {
  const body = base62(BigInt(`0x${randomBytes(32).toString('hex')}`), RANDOM_CHARS)
  const key = `${prefix}_${body}${checksum(prefix, body)}`
  return { key, hash: hashKey(key) }
}

/** Whether a text is a key that {@link makeKey} could have made: form and checksum are right. */
export function isWellFormedKey(text: string, prefix: KeyPrefix = 'sb'): boolean {
  const body = text.slice(prefix.length + 1, prefix.length + 1 + RANDOM_CHARS)
  if (text.length !== prefix.length + 1 + RANDOM_CHARS + CHECKSUM_CHARS) return false
  if (!/^[0-9A-Za-z]+$/.test(body)) return false
  return text === `${prefix}_${body}${checksum(prefix, body)}`
}

/** What is stored of a key: `sha256:` and 64 hexadecimal digits. */
export function hashKey(key: string): string {
  return `sha256:${createHash('sha256').update(key).digest('hex')}`
}

/** Whether a text is what {@link hashKey} returns. */
export function isKeyHash(text: string): boolean {
  return STORED.test(text)
}

function checksum(prefix: string, body: string): string {
  return base62(BigInt(crc32(`${prefix}_${body}`)), CHECKSUM_CHARS)
}

function base62(value: bigint, chars: number): string {
  let rest = value
  let text = ''
  for (let i = 0; i < chars; i++) {
    text = ALPHABET[Number(rest % 62n)]! + text
    rest /= 62n
  }
  return text
}
