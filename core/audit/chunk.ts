/**
 * Records of one thread as bytes, many at a time: the thread writes them as the steps end, the log keeps each chunk
 * as it is. All numbers are little-endian.
 *
 *     chunk   magic u32, length of the head u32, head (JSON), hashes of the cids (u32 for each record), records
 *     record  at f64, duration f32, kind u8, flags u8, status u16, address u16, to u16, from u16, operation u16,
 *             detail u16, error u16, bytes in u32, bytes out u32, [seq f64, attempt u16, waited f32],
 *             cid (length u16, UTF-8), headers (count u8, then name u16, value u16 each), [reason u8, length u32, body]
 *
 * Texts that come again and again are numbers into the table of texts in the head; 0 is none. Byte counts are one too
 * high, so that 0 is `unknown`.
 */
import { SignalboxError } from '../errors.ts'
import {
  AUDIT_KINDS,
  type AuditEntry,
  type AuditKind,
  type AuditRecord,
  BODY_REASONS,
  MAX_CID,
  MAX_TEXT,
} from './entry.ts'
import { hashOf } from './hash.ts'

const MAGIC = 0x31414253
const FIXED = 36
const KEPT = 14
/** A record is at most so much larger than its body. */
const ROOM = FIXED + KEPT + 2 + 3 * MAX_CID + 1 + 255 * 4 + 5
const MAX_TEXTS = 60_000
const FLAG = { kept: 1, body: 2, altered: 4, cut: 8 } as const
const KIND_CODES = new Map<AuditKind, number>(AUDIT_KINDS.map((kind, code) => [kind, code]))

/** What a chunk says of itself. */
export interface ChunkHead {
  /** The thread: its place on the bus, unique over its restarts. */
  source: string
  /** As people see it, `node/slot`. */
  worker: string
  /** Counts from 1 for each source: one that comes a second time is known by it. */
  seq: number
  count: number
  /** Records that this thread had to drop since the chunk before. */
  dropped: number
  /** Earliest beginning and latest end of a step. */
  from: number
  to: number
  /** Bit for each kind in it. */
  kinds: number
  errors: boolean
  texts: string[]
}

/** Writes the records of a thread. Once it has been told that a record does not fit it is to be taken. */
export class ChunkWriter {
  readonly #source: string
  readonly #worker: string
  readonly #capacity: number
  #bytes: Buffer
  #length = 0
  #seq = 0
  #hashes: number[] = []
  #texts = new Map<string, number>()
  #from = Number.POSITIVE_INFINITY
  #to = 0
  #kinds = 0
  #errors = false

  constructor(source: string, worker: string, capacity: number) {
    this.#source = source
    this.#worker = worker
    this.#capacity = capacity
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  get count(): number {
    return this.#hashes.length
  }

  get bytes(): number {
    return this.#length
  }

  /** False: it does not fit in any more; take the chunk first. A record alone in its chunk always fits. */
  add(entry: AuditEntry): boolean {
    const size = ROOM + (entry.body?.bytes?.length ?? 0)
    if (this.#length + size > this.#bytes.length || this.#texts.size > MAX_TEXTS) {
      if (this.#hashes.length > 0) return false
      this.#bytes = Buffer.allocUnsafeSlow(size)
    }
    this.#write(entry)
    return true
  }

  /** The chunk, and an empty one in its place. */
  take(dropped: number): Buffer {
    const head: ChunkHead = {
      source: this.#source,
      worker: this.#worker,
      seq: ++this.#seq,
      count: this.#hashes.length,
      dropped,
      from: this.#from,
      to: this.#to,
      kinds: this.#kinds,
      errors: this.#errors,
      texts: [...this.#texts.keys()],
    }
    const text = Buffer.from(JSON.stringify(head))
    const records = 8 + text.length + 4 * head.count
    const chunk = Buffer.allocUnsafeSlow(records + this.#length)
    chunk.writeUInt32LE(MAGIC, 0)
    chunk.writeUInt32LE(text.length, 4)
    chunk.set(text, 8)
    for (let i = 0; i < head.count; i++) chunk.writeUInt32LE(this.#hashes[i]!, 8 + text.length + 4 * i)
    chunk.set(this.#bytes.subarray(0, this.#length), records)
    this.#reset()
    return chunk
  }

  #reset(): void {
    if (this.#bytes.length > this.#capacity) this.#bytes = Buffer.allocUnsafeSlow(this.#capacity)
    this.#length = 0
    this.#hashes = []
    this.#texts = new Map()
    this.#from = Number.POSITIVE_INFINITY
    this.#to = 0
    this.#kinds = 0
    this.#errors = false
  }

  #write(entry: AuditEntry): void {
    const bytes = this.#bytes
    const { at, durationMs, kind, error, body } = entry
    const code = KIND_CODES.get(kind)!
    const cid = entry.cid.length > MAX_CID ? entry.cid.slice(0, MAX_CID) : entry.cid
    const kept = entry.seq !== undefined
    let to = this.#length
    to = bytes.writeDoubleLE(at, to)
    to = bytes.writeFloatLE(durationMs, to)
    bytes[to++] = code
    bytes[to++] = (kept ? FLAG.kept : 0) | (body ? FLAG.body : 0) | (body?.altered ? FLAG.altered : 0)
    to = bytes.writeUInt16LE(statusOf(entry.status), to)
    to = bytes.writeUInt16LE(this.#text(entry.address), to)
    to = bytes.writeUInt16LE(this.#text(entry.to), to)
    to = bytes.writeUInt16LE(this.#text(entry.from), to)
    to = bytes.writeUInt16LE(this.#text(entry.operation), to)
    to = bytes.writeUInt16LE(this.#text(entry.detail), to)
    to = bytes.writeUInt16LE(this.#text(error), to)
    to = bytes.writeUInt32LE(countOf(entry.bytesIn), to)
    to = bytes.writeUInt32LE(countOf(entry.bytesOut), to)
    if (kept) {
      to = bytes.writeDoubleLE(entry.seq!, to)
      to = bytes.writeUInt16LE(Math.min(entry.attempt ?? 0, 0xffff), to)
      to = bytes.writeFloatLE(entry.waitedMs ?? 0, to)
    }
    to = this.#writeCid(cid, to)
    to = this.#writeHeaders(entry.headers, to)
    if (body) {
      const content = body.bytes
      bytes[to++] = BODY_REASONS.indexOf(body.reason)
      to = bytes.writeUInt32LE(content?.length ?? 0, to)
      if (content) {
        bytes.set(content, to)
        to += content.length
      }
    }
    this.#length = to
    if (at < this.#from) this.#from = at
    if (at + durationMs > this.#to) this.#to = at + durationMs
    this.#kinds |= 1 << code
    if (error !== undefined) this.#errors = true
  }

  /** Cids are most often short and ASCII: one loop writes and hashes them. */
  #writeCid(cid: string, at: number): number {
    const bytes = this.#bytes
    const { length } = cid
    let hash = 0x811c9dc5
    let high = 0
    for (let i = 0; i < length; i++) {
      const unit = cid.charCodeAt(i)
      bytes[at + 2 + i] = unit
      high |= unit
      hash = Math.imul(hash ^ unit, 0x01000193)
    }
    this.#hashes.push(hash >>> 0)
    const size = high < 0x80 ? length : bytes.write(cid, at + 2, 'utf8')
    bytes.writeUInt16LE(size, at)
    return at + 2 + size
  }

  #writeHeaders(headers: AuditEntry['headers'], at: number): number {
    const bytes = this.#bytes
    const count = Math.min(headers?.length ?? 0, 255)
    bytes[at] = count
    let to = at + 1
    for (let i = 0; i < count; i++) {
      const [name, value] = headers![i]!
      to = bytes.writeUInt16LE(this.#text(name), to)
      to = bytes.writeUInt16LE(this.#text(value), to)
    }
    return to
  }

  #text(text: string | undefined): number {
    if (text === undefined) return 0
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    const short = text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text
    let number = this.#texts.get(short)
    if (number === undefined) {
      number = this.#texts.size + 1
      this.#texts.set(short, number)
    }
    return number
  }
}

function statusOf(status: number | undefined): number {
  return status !== undefined && status >= 0 && status <= 0xffff ? status : 0
}

function countOf(bytes: number | undefined): number {
  return bytes === undefined ? 0 : Math.min(bytes + 1, 0xffffffff)
}

/** A chunk that is read: its head, and what to search it by. */
export class Chunk {
  readonly head: ChunkHead
  readonly #bytes: Buffer
  readonly #hashes: number

  /** Throws SIGNALBOX_STORE_DAMAGED for bytes that are no chunk. */
  constructor(bytes: Buffer) {
    if (bytes.length < 8 || bytes.readUInt32LE(0) !== MAGIC) throw damaged('it does not begin as a chunk')
    const length = bytes.readUInt32LE(4)
    if (8 + length > bytes.length) throw damaged('its head is cut off')
    this.#bytes = bytes
    this.#hashes = 8 + length
    this.head = headOf(bytes.toString('utf8', 8, 8 + length))
    if (this.#hashes + 4 * this.head.count > bytes.length) throw damaged('it is cut off')
  }

  /** Hashes of the cids and texts in it. */
  *hashes(): Iterable<number> {
    for (let i = 0; i < this.head.count; i++) yield this.#bytes.readUInt32LE(this.#hashes + 4 * i)
    for (const text of this.head.texts) yield hashOf(text)
  }

  /** Whether a record with this hash of its cid is in it. */
  hasCid(hash: number): boolean {
    const { count } = this.head
    for (let i = 0; i < count; i++) if (this.#bytes.readUInt32LE(this.#hashes + 4 * i) === hash) return true
    return false
  }

  /** The records, in the order in which the steps ended. `idOf` names the record of a number. */
  records(idOf: (index: number) => string): StoredRecord[] {
    try {
      const { count } = this.head
      const records: StoredRecord[] = []
      let at = this.#hashes + 4 * count
      for (let i = 0; i < count; i++) {
        const read = readRecord(this.#bytes, at, this.head, idOf(i))
        records.push(read.record)
        at = read.end
      }
      return records
    } catch (error) {
      if (error instanceof RangeError) throw damaged('a record is cut off')
      throw error
    }
  }
}

/** A record with the bytes of its body. */
export type StoredRecord = AuditRecord & { bodyBytes: Buffer | undefined }

function readRecord(
  bytes: Buffer,
  at: number,
  head: ChunkHead,
  id: string,
): { record: StoredRecord; end: number } {
  const text = (offset: number) => textOf(head, bytes.readUInt16LE(at + offset))
  const flags = bytes.readUInt8(at + 13)
  const status = bytes.readUInt16LE(at + 14)
  const record: StoredRecord = {
    id,
    worker: head.worker,
    kind: AUDIT_KINDS[bytes.readUInt8(at + 12)] ?? 'service',
    at: bytes.readDoubleLE(at),
    durationMs: bytes.readFloatLE(at + 8),
    cid: '',
    address: text(16) ?? '',
    to: text(18),
    from: text(20),
    operation: text(22),
    detail: text(24),
    outcome: text(26) ?? 'ok',
    status: status === 0 ? undefined : status,
    bytesIn: numberOf(bytes.readUInt32LE(at + 28)),
    bytesOut: numberOf(bytes.readUInt32LE(at + 32)),
    headers: {},
    body: 'none',
    altered: (flags & FLAG.altered) !== 0,
    bodyBytes: undefined,
  }
  let end = at + FIXED
  if (flags & FLAG.kept) {
    record.seq = bytes.readDoubleLE(end)
    record.attempt = bytes.readUInt16LE(end + 8) || undefined
    record.waitedMs = bytes.readFloatLE(end + 10) || undefined
    end += KEPT
  }
  const size = bytes.readUInt16LE(end)
  record.cid = bytes.toString('utf8', end + 2, end + 2 + size)
  end = readHeaders(bytes, end + 2 + size, head, record)
  if (flags & FLAG.body) end = readBody(bytes, end, record)
  return { record, end }
}

function readHeaders(bytes: Buffer, at: number, head: ChunkHead, record: StoredRecord): number {
  const count = bytes.readUInt8(at)
  const headers: [string, string][] = []
  for (let i = 0; i < count; i++) {
    const place = at + 1 + 4 * i
    headers.push([
      textOf(head, bytes.readUInt16LE(place)) ?? '',
      textOf(head, bytes.readUInt16LE(place + 2)) ?? '',
    ])
  }
  record.headers = Object.fromEntries(headers)
  return at + 1 + 4 * count
}

function readBody(bytes: Buffer, at: number, record: StoredRecord): number {
  const length = bytes.readUInt32LE(at + 1)
  const end = at + 5 + length
  if (end > bytes.length) throw damaged('a body is cut off')
  record.body = BODY_REASONS[bytes.readUInt8(at)] ?? 'none'
  if (length > 0) record.bodyBytes = bytes.subarray(at + 5, end)
  return end
}

function textOf(head: ChunkHead, number: number): string | undefined {
  if (number === 0) return undefined
  const text = head.texts[number - 1]
  if (text === undefined) throw damaged('it names a text that it does not have')
  return text
}

function numberOf(count: number): number | undefined {
  return count === 0 ? undefined : count - 1
}

function headOf(text: string): ChunkHead {
  let head: Partial<ChunkHead> | undefined
  try {
    head = JSON.parse(text) as Partial<ChunkHead>
  } catch {
    throw damaged('its head is no JSON')
  }
  const numbers = [head?.seq, head?.count, head?.dropped, head?.from, head?.to, head?.kinds]
  const whole = numbers.every(number => typeof number === 'number') && Array.isArray(head?.texts)
  if (!whole || typeof head?.source !== 'string') throw damaged('its head is not complete')
  return head as ChunkHead
}

function damaged(why: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_STORE_DAMAGED', `a chunk of the audit log is damaged: ${why}`)
}
