/**
 * Password hashing: argon2id (RFC 9106), or scrypt (RFC 7914) where Node has no argon2. Hashes are PHC strings
 * (https://github.com/P-H-C/phc-string-format), so they can come from other programs. All hashing runs on the
 * thread pool, never on the event loop.
 */
import * as crypto from 'node:crypto'
import { promisify } from 'node:util'
import { SignalboxError } from '../errors.ts'

/** Longest password in bytes of UTF-8. */
export const MAX_PASSWORD_BYTES = 1024

// OWASP Password Storage Cheat Sheet: at least 19 MiB, two passes, one lane; for scrypt N=2^17, r=8, p=1.
const ARGON2 = { memoryKiB: 19_456, passes: 2, parallelism: 1 }
const SCRYPT = { logCost: 17, blockSize: 8, parallelism: 1 }
const HASH_BYTES = 32
const SALT_BYTES = 16

// A hash is configuration, but one with absurd costs must not be able to stop the node.
const MAX_MEMORY_KIB = 262_144
const MAX_PASSES = 20
const MAX_PARALLELISM = 16

/** A parsed password hash. */
export type PasswordHash = Argon2Hash | ScryptHash

interface Argon2Hash {
  algorithm: 'argon2id'
  memoryKiB: number
  passes: number
  parallelism: number
  salt: Buffer
  hash: Buffer
}

interface ScryptHash {
  algorithm: 'scrypt'
  /** Base-2 logarithm of N. */
  logCost: number
  blockSize: number
  parallelism: number
  salt: Buffer
  hash: Buffer
}

const scrypt: (
  password: string,
  salt: Buffer,
  bytes: number,
  options: crypto.ScryptOptions,
) => Promise<Buffer> = promisify(crypto.scrypt)
const argon2 = typeof crypto.argon2 === 'function' ? promisify(crypto.argon2) : undefined

/**
 * Hashes a password with a new salt. Takes tens of milliseconds and 19 MiB, on the thread pool.
 * Throws SIGNALBOX_INPUT_INVALID for an empty, too long or not well-formed one, or one with
 * control characters.
 */
export async function hashPassword(password: string, algorithm = preferred()): Promise<string> {
  const text = preparePassword(password)
  if (text === undefined) {
    throw new SignalboxError(
      'SIGNALBOX_INPUT_INVALID',
      `a password must have 1 to ${MAX_PASSWORD_BYTES} bytes of UTF-8 and no control characters`,
    )
  }
  const salt = crypto.randomBytes(SALT_BYTES)
  const empty = { salt, hash: Buffer.alloc(HASH_BYTES) }
  const wanted: PasswordHash =
    algorithm === 'argon2id' ? { algorithm, ...ARGON2, ...empty } : { algorithm, ...SCRYPT, ...empty }
  return formatHash({ ...wanted, hash: await derive(text, wanted) })
}

/**
 * Whether the password is the one of the hash, compared in constant time. A password that no hash can have is
 * wrong after the same work. Throws SIGNALBOX_OPTIONS_INVALID for a malformed hash.
 */
export async function verifyPassword(hash: string | PasswordHash, password: string): Promise<boolean> {
  const expected = typeof hash === 'string' ? parsePasswordHash(hash) : hash
  const text = preparePassword(password)
  const actual = await derive(text ?? '', expected)
  return crypto.timingSafeEqual(actual, expected.hash) && text !== undefined
}

/** Whether the password should be hashed again at the next login, because today's parameters are stronger. */
export function needsRehash(hash: string): boolean {
  const parsed = parsePasswordHash(hash)
  if (parsed.algorithm !== preferred()) return true
  if (parsed.salt.length < SALT_BYTES || parsed.hash.length < HASH_BYTES) return true
  if (parsed.algorithm === 'scrypt') {
    return parsed.logCost < SCRYPT.logCost || parsed.blockSize < SCRYPT.blockSize
  }
  return parsed.memoryKiB < ARGON2.memoryKiB || parsed.passes < ARGON2.passes
}

/**
 * The password as it is hashed: NFC (RFC 8265 section 4.2), so that the same characters typed on another
 * keyboard match. Undefined when it is empty, too long, not well-formed or has control characters (RFC 7617).
 */
function preparePassword(password: string): string | undefined {
  if (password.length === 0 || password.length > MAX_PASSWORD_BYTES) return undefined
  if (!password.isWellFormed() || hasControl(password)) return undefined
  const text = password.normalize('NFC')
  return Buffer.byteLength(text) <= MAX_PASSWORD_BYTES ? text : undefined
}

/** Whether a text has a control character: NUL and the like in names and passwords are only ever an attack. */
export function hasControl(text: string): boolean {
  return /\p{Cc}/u.test(text)
}

/** Reads a PHC string. Throws SIGNALBOX_OPTIONS_INVALID, without the hash in the message. */
export function parsePasswordHash(text: string): PasswordHash {
  const argon =
    /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,3})\$([\w+/-]{1,256})\$([\w+/-]{1,256})$/.exec(text)
  if (argon) {
    const [memoryKiB, passes, parallelism] = argon.slice(1, 4).map(Number) as [number, number, number]
    const parsed = { algorithm: 'argon2id' as const, memoryKiB, passes, parallelism, ...bytesOf(argon) }
    const inLimits =
      memoryKiB >= 8 * parallelism &&
      memoryKiB <= MAX_MEMORY_KIB &&
      within(passes, MAX_PASSES) &&
      within(parallelism, MAX_PARALLELISM)
    if (inLimits && argon2 !== undefined && hasGoodSizes(parsed)) return parsed
  }
  const other = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,3})\$([\w+/-]{1,256})\$([\w+/-]{1,256})$/.exec(
    text,
  )
  if (other) {
    const [logCost, blockSize, parallelism] = other.slice(1, 4).map(Number) as [number, number, number]
    const parsed = { algorithm: 'scrypt' as const, logCost, blockSize, parallelism, ...bytesOf(other) }
    const memoryKiB = (2 ** logCost * blockSize * 128) / 1024
    const inLimits =
      logCost > 0 && blockSize > 0 && memoryKiB <= MAX_MEMORY_KIB && within(parallelism, MAX_PARALLELISM)
    if (inLimits && hasGoodSizes(parsed)) return parsed
  }
  throw new SignalboxError(
    'SIGNALBOX_OPTIONS_INVALID',
    'a password hash is not a PHC string of argon2id (version 19) or scrypt within the limits; ' +
      'expected $argon2id$v=19$m=19456,t=2,p=1$salt$hash',
  )
}

function bytesOf(match: RegExpExecArray): { salt: Buffer; hash: Buffer } {
  return { salt: Buffer.from(match[4]!, 'base64'), hash: Buffer.from(match[5]!, 'base64') }
}

function hasGoodSizes({ salt, hash }: PasswordHash): boolean {
  return salt.length >= 8 && salt.length <= 64 && hash.length >= 16 && hash.length <= 64
}

function within(value: number, max: number): boolean {
  return value >= 1 && value <= max
}

function formatHash(hash: PasswordHash): string {
  const base64 = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '')
  const cost =
    hash.algorithm === 'argon2id'
      ? `$v=19$m=${hash.memoryKiB},t=${hash.passes},p=${hash.parallelism}`
      : `$ln=${hash.logCost},r=${hash.blockSize},p=${hash.parallelism}`
  return `$${hash.algorithm}${cost}$${base64(hash.salt)}$${base64(hash.hash)}`
}

function preferred(): PasswordHash['algorithm'] {
  return argon2 === undefined ? 'scrypt' : 'argon2id'
}

async function derive(password: string, hash: PasswordHash): Promise<Buffer> {
  if (hash.algorithm === 'scrypt') {
    const cost = 2 ** hash.logCost
    return scrypt(password, hash.salt, hash.hash.length, {
      cost,
      blockSize: hash.blockSize,
      parallelization: hash.parallelism,
      // Node refuses more than 32 MiB unless told otherwise.
      maxmem: 128 * hash.blockSize * (cost + hash.parallelism + 2),
    })
  }
  if (argon2 === undefined) throw new SignalboxError('SIGNALBOX_USAGE', 'this Node.js has no argon2')
  return argon2('argon2id', {
    message: Buffer.from(password),
    nonce: hash.salt,
    parallelism: hash.parallelism,
    tagLength: hash.hash.length,
    memory: hash.memoryKiB,
    passes: hash.passes,
  })
}
