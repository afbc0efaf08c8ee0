/**
 * Records of a message log. The journal guards them by checksums, so what is read here is what was written; a
 * record that cannot be read was written by a newer version.
 */
import { SignalboxError } from '../../errors.ts'
import type { Failure, StoredMessage, SubscriptionSettings } from './message.ts'

/** First byte of a record. The numbers are for ever. */
export const RECORD = {
  /** A message, new. */
  publish: 1,
  /** A message again, at a new place or with a new content. */
  copy: 2,
  /** A subscription is done with messages. */
  settle: 3,
  /** A delivery failed; the message is delivered again later, or is a dead letter. */
  fail: 4,
  /** Messages are gone for everybody. */
  drop: 5,
  /** A dead letter, or a settled message, is to be delivered again. */
  revive: 6,
  /** A subscription begins, or changes. */
  subscribe: 7,
  unsubscribe: 8,
  /** Everything but the messages, as it is at this point. */
  snapshot: 9,
  /** A subscription goes back or forward. */
  seek: 10,
  /** More of what a subscription of the snapshot before has settled. */
  settled: 11,
} as const

const HEAD_BYTES = 44
const NONE = -1

/** Writes a message: type, priority, lengths of id, key and headers, seq, times, then those and the content. */
export function writeMessage(type: number, message: StoredMessage): Buffer {
  const { id, key, headers, content } = message
  const idBytes = id === undefined ? 0 : Buffer.byteLength(id)
  const keyBytes = key === undefined ? 0 : Buffer.byteLength(key)
  const headerText = hasAny(headers) ? JSON.stringify(headers) : ''
  const headerBytes = headerText === '' ? 0 : Buffer.byteLength(headerText)
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + idBytes + keyBytes + headerBytes + content.length)
  bytes[0] = type
  bytes[1] = message.priority
  bytes.writeInt16LE(id === undefined ? NONE : idBytes, 2)
  bytes.writeInt16LE(key === undefined ? NONE : keyBytes, 4)
  bytes.writeUInt16LE(0, 6)
  bytes.writeUInt32LE(headerBytes, 8)
  bytes.writeDoubleLE(message.seq, 12)
  bytes.writeDoubleLE(message.publishedAt, 20)
  bytes.writeDoubleLE(message.dueAt ?? NONE, 28)
  bytes.writeDoubleLE(message.expiresAt ?? NONE, 36)
  let at = HEAD_BYTES
  if (idBytes > 0) at += bytes.write(id!, at)
  if (keyBytes > 0) at += bytes.write(key!, at)
  if (headerBytes > 0) at += bytes.write(headerText, at)
  bytes.set(content, at)
  return bytes
}

/** Reads what {@link writeMessage} wrote. The content is a view of the record. */
export function readMessage(record: Buffer): StoredMessage {
  const idBytes = record.readInt16LE(2)
  const keyBytes = record.readInt16LE(4)
  const headerBytes = record.readUInt32LE(8)
  const dueAt = record.readDoubleLE(28)
  const expiresAt = record.readDoubleLE(36)
  const keyAt = HEAD_BYTES + Math.max(0, idBytes)
  const headersAt = keyAt + Math.max(0, keyBytes)
  const contentAt = headersAt + headerBytes
  return {
    seq: record.readDoubleLE(12),
    publishedAt: record.readDoubleLE(20),
    id: idBytes === NONE ? undefined : record.toString('utf8', HEAD_BYTES, keyAt),
    key: keyBytes === NONE ? undefined : record.toString('utf8', keyAt, headersAt),
    priority: record[1]!,
    headers: headerBytes === 0 ? NO_HEADERS : JSON.parse(record.toString('utf8', headersAt, contentAt)),
    dueAt: dueAt === NONE ? undefined : dueAt,
    expiresAt: expiresAt === NONE ? undefined : expiresAt,
    content: record.subarray(contentAt),
  }
}

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({})

function hasAny(headers: Readonly<Record<string, string>>): boolean {
  for (const _ in headers) return true
  return false
}

/** What a subscription is durably. */
export interface SubscriptionState {
  name: string
  settings: SubscriptionSettings
  /** Messages before this one were never for it. */
  startSeq: number
}

/** A subscription with what it has done, at one moment. */
export interface SubscriptionSnapshot extends SubscriptionState {
  settled: [number, number][]
  /** seq, attempts, when it is due. */
  failed: [number, number, number][]
}

/** Everything else a log writes down (`skip`: messages that the filter keeps out); few or short, so as JSON behind the type. */
export interface Steps {
  [RECORD.settle]: { sub: string; seqs: number[] }
  [RECORD.fail]: {
    sub: string
    seq: number
    attempts: number
    /** Milliseconds since the epoch; undefined: it is dead. */
    dueAt?: number
    failure: Failure & { at: number }
  }
  [RECORD.drop]: { ranges: [number, number][] }
  [RECORD.revive]: { sub: string; seqs: number[] }
  [RECORD.subscribe]: SubscriptionState & { skip?: [number, number][] }
  [RECORD.unsubscribe]: { sub: string }
  [RECORD.seek]: { sub: string; seq: number; skip?: [number, number][] }
  [RECORD.settled]: { sub: string; ranges: [number, number][] }
  /** `at`: when it was made. `firstSeq`: no message before it is there. */
  [RECORD.snapshot]: { at: number; firstSeq: number; nextSeq: number; subs: SubscriptionSnapshot[] }
}

type StepType = keyof Steps

const SETTLE_HEAD = 6

/** Writes a step. Settlements are the many: two bytes for the name, then eight for each message. */
export function writeStep<T extends StepType>(type: T, step: Steps[T]): Buffer {
  if (type === RECORD.settle) {
    const { sub, seqs } = step as Steps[typeof RECORD.settle]
    const nameBytes = Buffer.byteLength(sub)
    const bytes = Buffer.allocUnsafe(SETTLE_HEAD + nameBytes + 8 * seqs.length)
    bytes[0] = type
    bytes[1] = nameBytes
    bytes.writeUInt32LE(seqs.length, 2)
    bytes.write(sub, SETTLE_HEAD)
    let at = SETTLE_HEAD + nameBytes
    for (const seq of seqs) at = bytes.writeDoubleLE(seq, at)
    return bytes
  }
  const text = JSON.stringify(step)
  const bytes = Buffer.allocUnsafe(1 + Buffer.byteLength(text))
  bytes[0] = type
  bytes.write(text, 1)
  return bytes
}

/** Reads what {@link writeStep} wrote. */
export function readStep(record: Buffer): { [T in StepType]: { type: T; step: Steps[T] } }[StepType] {
  const type = record[0] as StepType
  if (type === RECORD.settle) {
    const nameBytes = record[1]!
    const count = record.readUInt32LE(2)
    const first = SETTLE_HEAD + nameBytes
    const seqs = new Array<number>(count)
    for (let i = 0; i < count; i++) seqs[i] = record.readDoubleLE(first + 8 * i)
    return { type, step: { sub: record.toString('utf8', SETTLE_HEAD, first), seqs } }
  }
  if (type < RECORD.fail || type > RECORD.settled) {
    throw new SignalboxError(
      'SIGNALBOX_STORE_FOREIGN',
      `the journal has a record of type ${type}, which this version of Signalbox does not know`,
    )
  }
  return { type, step: JSON.parse(record.toString('utf8', 1)) } as never
}
