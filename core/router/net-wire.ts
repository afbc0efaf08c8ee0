/** What nodes and clients say to each other, byte by byte. The layouts are in docs/protocol.md. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

/** Version of everything behind the hello. Raise it when an older node could not understand a newer one. */
export const PROTOCOL_VERSION = 1

/** First byte of the first frame of every message. */
export const KIND = { hello: 1, welcome: 2, refuse: 3, heartbeat: 4, data: 5, bye: 6, flush: 7 } as const

/** Whether the dialling side is another node or a program outside the bus. */
export type PeerRole = 'node' | 'client'

/** Why a side ends a session. */
export const BYE_REASONS = ['closing', 'replaced', 'removed', 'silent'] as const
export type ByeReason = (typeof BYE_REASONS)[number]

/** What a hello says, before it is believed. */
export interface Hello {
  version: number
  role: PeerRole
  /** Node id, or the name of the client. */
  id: string
  publicKey: Buffer
  maxFrameBytes: number
}

export interface Welcome {
  version: number
  nodeId: string
  session: number
  maxFrameBytes: number
}

/** Node ids and client names: what goes into logs, ids and file names without escaping. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

const MAGIC = Buffer.from('SBX')
const MAC_DOMAIN = Buffer.from('signalbox hello\0')
const MAC_BYTES = 32
const HELLO_FIXED = 68
const WELCOME_FIXED = 16
const REFUSE_BYTES = 6
/** Length of the first frame of heartbeat, data and flush. */
export const HEADER_BYTES = 5

/**
 * Encodes a hello. `secret` is the X25519 secret of the sender and `receiverKey`; the code over both keys and a
 * nonce proves that the sender holds the secret key of `hello.publicKey`, to this receiver and no other.
 */
export function encodeHello(hello: Hello, secret: Buffer, receiverKey: Buffer): Buffer {
  const id = Buffer.from(hello.id)
  const bytes = Buffer.alloc(HELLO_FIXED + id.length + MAC_BYTES)
  start(bytes, KIND.hello, hello.version)
  bytes[6] = hello.role === 'node' ? 1 : 2
  bytes[7] = id.length
  hello.publicKey.copy(bytes, 8)
  randomBytes(24).copy(bytes, 40)
  bytes.writeUInt32BE(hello.maxFrameBytes, 64)
  id.copy(bytes, HELLO_FIXED)
  helloMac(bytes, secret, receiverKey).copy(bytes, HELLO_FIXED + id.length)
  return bytes
}

/** Reads a hello without believing it; undefined when it is not one. */
export function decodeHello(bytes: Buffer): Hello | undefined {
  if (bytes.length < HELLO_FIXED + MAC_BYTES || !starts(bytes, KIND.hello)) return undefined
  const role = bytes[6] === 1 ? 'node' : bytes[6] === 2 ? 'client' : undefined
  const idEnd = HELLO_FIXED + bytes[7]!
  if (!role || bytes.length !== idEnd + MAC_BYTES) return undefined
  const id = bytes.toString('latin1', HELLO_FIXED, idEnd)
  const maxFrameBytes = bytes.readUInt32BE(64)
  if (!NAME.test(id) || maxFrameBytes === 0) return undefined
  return { version: bytes.readUInt16BE(4), role, id, publicKey: bytes.subarray(8, 40), maxFrameBytes }
}

/** Whether the code of a decoded hello is right. */
export function helloIsGenuine(bytes: Buffer, secret: Buffer, receiverKey: Buffer): boolean {
  return timingSafeEqual(bytes.subarray(-MAC_BYTES), helloMac(bytes, secret, receiverKey))
}

function helloMac(bytes: Buffer, secret: Buffer, receiverKey: Buffer): Buffer {
  const said = bytes.subarray(0, bytes.length - MAC_BYTES)
  return createHmac('sha256', secret).update(MAC_DOMAIN).update(receiverKey).update(said).digest()
}

export function encodeWelcome(welcome: Welcome): Buffer {
  const id = Buffer.from(welcome.nodeId)
  const bytes = Buffer.alloc(WELCOME_FIXED + id.length)
  start(bytes, KIND.welcome, welcome.version)
  bytes[6] = id.length
  bytes.writeUInt32BE(welcome.session, 8)
  bytes.writeUInt32BE(welcome.maxFrameBytes, 12)
  id.copy(bytes, WELCOME_FIXED)
  return bytes
}

/** Reads a welcome; undefined when it is not one. */
export function decodeWelcome(bytes: Buffer): Welcome | undefined {
  if (bytes.length < WELCOME_FIXED || !starts(bytes, KIND.welcome)) return undefined
  const nodeId = bytes.toString('latin1', WELCOME_FIXED)
  const maxFrameBytes = bytes.readUInt32BE(12)
  if (bytes.length !== WELCOME_FIXED + bytes[6]! || !NAME.test(nodeId) || maxFrameBytes === 0)
    return undefined
  return { version: bytes.readUInt16BE(4), nodeId, session: bytes.readUInt32BE(8), maxFrameBytes }
}

/** The answer to a genuine hello of another protocol version. */
export function encodeRefuse(version: number): Buffer {
  const bytes = Buffer.alloc(REFUSE_BYTES)
  start(bytes, KIND.refuse, version)
  return bytes
}

/** The version of the refusing side; undefined when it is not a refusal. */
export function decodeRefuse(bytes: Buffer): number | undefined {
  return bytes.length === REFUSE_BYTES && starts(bytes, KIND.refuse) ? bytes.readUInt16BE(4) : undefined
}

export function encodeBye(reason: ByeReason): Buffer {
  return Buffer.from([KIND.bye, BYE_REASONS.indexOf(reason) + 1])
}

/** The reason of a bye; undefined when it is not one. */
export function decodeBye(bytes: Buffer): ByeReason | undefined {
  return bytes.length === 2 && bytes[0] === KIND.bye ? BYE_REASONS[bytes[1]! - 1] : undefined
}

/**
 * The first frame of heartbeat, data and flush, with the number of data messages received so far, modulo 2^32.
 * The same buffer is used again by the next call: ZeroMQ copies frames this small while it takes them.
 */
export function encodeHeader(kind: number, received: number): Buffer {
  header[0] = kind
  header.writeUInt32BE(received, 1)
  return header
}
const header = Buffer.alloc(HEADER_BYTES)

function start(bytes: Buffer, kind: number, version: number): void {
  bytes[0] = kind
  MAGIC.copy(bytes, 1)
  bytes.writeUInt16BE(version, 4)
}

function starts(bytes: Buffer, kind: number): boolean {
  return bytes[0] === kind && MAGIC.compare(bytes, 1, 4) === 0
}
