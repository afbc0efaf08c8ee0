/** CURVE keys as the bus uses them: Z85 text for people and configuration, raw bytes and X25519 for the hello. */
import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto'
import { curveKeyPair } from 'zeromq'
import { SignalboxError } from '../errors.ts'

/** A key pair of a node or a client program, each key 40 characters of Z85 (ZeroMQ RFC 32). */
export interface CurveKeys {
  publicKey: string
  secretKey: string
}

const KEY_CHARS = 40
const Z85 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'
// DER prefixes of a raw X25519 key (RFC 8410): node:crypto takes no raw private keys.
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex')

/** Makes a new key pair for a node or a client program. */
export function makeCurveKeys(): CurveKeys {
  const { publicKey, secretKey } = curveKeyPair()
  return { publicKey, secretKey }
}

/**
 * The 32 bytes of a Z85 key. `name` says in the error which key is meant; the key itself is never quoted.
 * Throws SIGNALBOX_OPTIONS_INVALID.
 */
export function decodeKey(key: string, name: string): Buffer {
  if (typeof key !== 'string' || key.length !== KEY_CHARS) throw badKey(name)
  const bytes = Buffer.alloc(32)
  for (let group = 0; group < 8; group++) {
    let value = 0
    for (let i = 0; i < 5; i++) {
      const digit = Z85.indexOf(key[group * 5 + i]!)
      if (digit < 0) throw badKey(name)
      value = value * 85 + digit
    }
    if (value > 0xffffffff) throw badKey(name)
    bytes.writeUInt32BE(value, group * 4)
  }
  return bytes
}

/** Checks that both keys are well-formed and belong together. Throws SIGNALBOX_OPTIONS_INVALID. */
export function checkKeys(keys: CurveKeys, name: string): void {
  const secret = privateKey(decodeKey(keys.secretKey, `${name}.secretKey`))
  const spki = createPublicKey(secret).export({ format: 'der', type: 'spki' })
  if (!spki.subarray(SPKI_PREFIX.length).equals(decodeKey(keys.publicKey, `${name}.publicKey`))) {
    throw new SignalboxError(
      'SIGNALBOX_OPTIONS_INVALID',
      `${name}.publicKey does not belong to ${name}.secretKey; take both from the same key pair`,
    )
  }
}

/** A public key that may connect, with the secret that its holder shares with us. */
export interface ListedKey {
  publicKey: Buffer
  secret: Buffer
}

/** Reads a listed key. Throws SIGNALBOX_OPTIONS_INVALID, also for a key that would make the secret a constant. */
export function listKey(secretKey: string, publicKey: string, name: string): ListedKey {
  const raw = decodeKey(publicKey, name)
  try {
    return { publicKey: raw, secret: sharedSecret(secretKey, raw) }
  } catch (error) {
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `${name} is not a usable CURVE key`, {
      cause: error,
    })
  }
}

/** The X25519 secret that the holders of the two key pairs share (RFC 7748). Throws for a point of low order. */
export function sharedSecret(secretKey: string, publicKey: Buffer): Buffer {
  return diffieHellman({
    privateKey: privateKey(decodeKey(secretKey, 'secretKey')),
    publicKey: createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' }),
  })
}

function privateKey(raw: Buffer) {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, raw]), format: 'der', type: 'pkcs8' })
}

function badKey(name: string): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_OPTIONS_INVALID',
    `${name} must be a CURVE key of 40 Z85 characters, as makeCurveKeys() gives it`,
  )
}
