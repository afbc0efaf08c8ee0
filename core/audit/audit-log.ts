/**
 * The audit log of a node: chunks of records from its threads in volumes on disk, searched by what is kept of each
 * block in memory. Records are on disk within about a quarter of a second after their step has ended; what a crash
 * takes from it are the last ones, never one that was there.
 */
import { mkdir, readdir } from 'node:fs/promises'
import type { Clock, Timer } from '../clock.ts'
import { SignalboxError, toSignalboxError } from '../errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { Chunk, type StoredRecord } from './chunk.ts'
import type { AuditRecord, KeptBody } from './entry.ts'
import { bodyOf, cidPlan, idOf, type Plan, placeOf, planOf, type RecordPlace } from './query.ts'
import { type Trail, trailOf } from './trail.ts'
import { type OpenJournal, Volume, volumeNumber } from './volume.ts'

/** How long the log keeps records. */
export interface Retention {
  maxAgeMs: number
  maxBytes: number
}

export interface AuditLogOptions extends Retention {
  folder: string
  open: OpenJournal
  clock: Clock
  log: Logger
  /** Chunks wait so long for others. Default 200 ms. */
  writeMs?: number
  /** Chunks that wait to be written hold so many bytes; above, they are refused. Default 16 MiB. */
  maxWaitingBytes?: number
  /** How long one search may look before it says how far it came. Default 2,000 ms. */
  searchMs?: number
}

/** What a search has found, newest first: in the order in which the steps ended, as far as threads can be compared. */
export interface AuditPage {
  records: AuditRecord[]
  /** For `after` of the next page; undefined at the end. */
  next: string | undefined
  /** The search ran out of time before its page was full: there may be more at `next`. */
  partial: boolean
  /** What a reader has to know. */
  notes: string[]
}

/** How the log fares. Plain data. */
export interface AuditStatus {
  records: number
  bytes: number
  /** Beginning of the oldest step and end of the newest; undefined while there is none. */
  from: number | undefined
  to: number | undefined
  volumes: number
  /** Records that threads or the log had to drop, as far as the log was told; those of now are in the metrics. */
  dropped: number
  damaged: { volume: number; error: string }[]
  /** Older volumes are still being read after the start. */
  loading: boolean
}

const WRITE_MS = 200
const WRITE_BYTES = 1024 * 1024
const MAX_WAITING_BYTES = 16 * 1024 * 1024
const SEARCH_MS = 2_000
const RETAIN_MS = 60_000
const REPORT_MS = 60_000
const VOLUMES = 16
const VOLUME_BYTES = { least: 64 * 1024, most: 256 * 1024 * 1024 }
const MAX_TRAIL = 2_000
const MAX_SOURCES = 4_096

export class AuditLog {
  readonly #options: AuditLogOptions
  #retention: Retention
  /** Oldest first; the last one is written to. */
  #volumes: Volume[] = []
  readonly #sources = new Map<string, number>()
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #writing: Promise<void> | undefined
  #timer: Timer | undefined
  #retainer: Timer | undefined
  #loading: Promise<void> | undefined
  #dropped = 0
  #damagedChunks = 0
  #reportedAt = Number.NEGATIVE_INFINITY
  #closed = false

  private constructor(options: AuditLogOptions) {
    this.#options = options
    this.#retention = options
  }

  /**
   * Opens the log in a folder. It takes chunks when this has resolved, and reads older volumes meanwhile. A volume that
   * is damaged is reported and skipped. Throws SIGNALBOX_STORE_UNAVAILABLE when there is no place to write to.
   */
  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const log = new AuditLog(options)
    await log.#open()
    return log
  }

  async #open(): Promise<void> {
    const { folder } = this.#options
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const numbers = (await readdir(folder)).map(volumeNumber).filter(number => number !== undefined)
    const found = numbers.sort((a, b) => a - b).map(number => new Volume(folder, number))
    const last = found.at(-1)
    if (last) await this.#read(last)
    this.#volumes = found
    if (last === undefined || last.error) await this.#begin((last?.number ?? 0) + 1)
    this.#loading = this.#load(last ? found.slice(0, -1) : []).finally(() => {
      this.#loading = undefined
    })
    this.#retainLater()
  }

  /** The newest of the others first: that is what is looked for most. */
  async #load(volumes: readonly Volume[]): Promise<void> {
    for (const volume of volumes.toReversed()) {
      if (!this.#closed && !volume.removed) await this.#read(volume)
    }
    await this.#retain()
  }

  async #read(volume: Volume): Promise<void> {
    await volume.open(this.#options.open, chunk => this.#isNew(chunk))
    const { error, folder } = volume
    if (!error) return
    this.#options.log.error(
      { code: error.code, folder, err: error },
      'a part of the audit log cannot be read',
    )
  }

  async #begin(number: number): Promise<void> {
    const volume = new Volume(this.#options.folder, number)
    await volume.open(this.#options.open)
    if (volume.error) throw volume.error
    this.#volumes.push(volume)
  }

  /**
   * Takes a chunk to be written soon; one that it has already is ignored. Throws SIGNALBOX_OVERLOADED when too much
   * waits, SIGNALBOX_STORE_DAMAGED for what is no chunk, SIGNALBOX_STORE_UNAVAILABLE after `close`.
   */
  take(bytes: Buffer): void {
    if (this.#closed) throw new SignalboxError('SIGNALBOX_STORE_UNAVAILABLE', 'the audit log is closed')
    const most = this.#options.maxWaitingBytes ?? MAX_WAITING_BYTES
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes.length > most) {
      const message = `${this.#waitingBytes} bytes of the audit log wait for the disk`
      throw new SignalboxError('SIGNALBOX_OVERLOADED', message, { retryAfterMs: 500 })
    }
    if (!this.#isNew(new Chunk(bytes))) return
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#writeLater()
  }

  /** Other limits from now on. */
  async configure(retention: Retention): Promise<void> {
    this.#retention = retention
    await this.#retain()
  }

  status(): AuditStatus {
    const whole = this.#volumes.filter(({ records }) => records > 0)
    const sum = (of: (volume: Volume) => number) =>
      this.#volumes.reduce((total, volume) => total + of(volume), 0)
    return {
      records: sum(({ records }) => records),
      bytes: sum(({ bytes }) => bytes),
      from: whole.length > 0 ? Math.min(...whole.map(({ from }) => from)) : undefined,
      to: whole.length > 0 ? Math.max(...whole.map(({ to }) => to)) : undefined,
      volumes: this.#volumes.length,
      dropped: this.#dropped + sum(({ dropped }) => dropped),
      damaged: this.#volumes.flatMap(({ number, error }) =>
        error ? [{ volume: number, error: `${error.code}: ${error.message}` }] : [],
      ),
      loading: this.#loading !== undefined,
    }
  }

  /** Resolves when everything that was taken is on disk, or was dropped and reported. */
  async flush(): Promise<void> {
    // What is being written, then what waits; what comes meanwhile is not meant.
    for (let round = 0; round < 2 && (this.#writing !== undefined || this.#waiting.length > 0); round++) {
      this.#writeSoon()
      await this.#writing
    }
  }

  /** Throws SIGNALBOX_OPTIONS_INVALID for what is no query (see `AuditQuery`). */
  async search(query: unknown): Promise<AuditPage> {
    const plan = planOf(query)
    await this.flush()
    const records: AuditRecord[] = []
    const ends = this.#options.clock.monotonic() + (this.#options.searchMs ?? SEARCH_MS)
    let next: string | undefined
    for await (const { record, id } of this.#scan(plan)) {
      if (record !== undefined) {
        if (records.length === plan.limit) {
          return { records, next: records.at(-1)!.id, partial: false, notes: this.#notes() }
        }
        records.push(withoutBody(record))
      }
      next = id
      if (this.#options.clock.monotonic() >= ends) {
        return { records, next, partial: true, notes: this.#notes() }
      }
    }
    return { records, next: undefined, partial: false, notes: this.#notes() }
  }

  /** The whole way of the message with this cid, as far as this node saw it. */
  async trail(cid: string): Promise<Trail & { notes: string[] }> {
    await this.flush()
    await this.#loading
    const records: AuditRecord[] = []
    let truncated = false
    for await (const { record } of this.#scan(cidPlan(cid))) {
      if (record === undefined) continue
      truncated = records.length === MAX_TRAIL
      if (truncated) break
      records.push(withoutBody(record))
    }
    return { ...trailOf(cid, records, truncated), notes: this.#notes() }
  }

  /** One record with its body. Throws SIGNALBOX_USAGE for what is no id, SIGNALBOX_NOT_FOUND. */
  async get(id: string): Promise<{ record: AuditRecord; kept: KeptBody | undefined }> {
    const place = placeOf(id)
    await this.flush()
    const volume = this.#volumes.find(({ number }) => number === place.volume)
    if (volume?.blocks.at(place.position)) {
      for await (const { chunk } of volume.read([place.position])) {
        const record = chunk && recordsOf(volume, place.position, chunk)[place.index]
        if (record) return { record: withoutBody(record), kept: bodyOf(record) }
      }
    }
    throw new SignalboxError('SIGNALBOX_NOT_FOUND', `the audit log has no record ${id}, or has it no more`)
  }

  /** Writes what waits, and closes everything. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    this.#retainer?.cancel()
    await this.flush()
    await this.#loading
    await Promise.all(this.#volumes.map(volume => volume.close()))
  }

  /** Matching records, newest first; without a record it only says how far it came. */
  async *#scan(plan: Plan): AsyncGenerator<{ record?: StoredRecord; id: string }> {
    const { after, wanted } = plan
    for (const volume of this.#volumes.toReversed()) {
      if (after && volume.number > after.volume) continue
      const isCut = after !== undefined && volume.number === after.volume
      for (const block of volume.blocks.list.toReversed()) {
        const positions = block.positions.filter(position => !isCut || isBefore(position, after)).reverse()
        if (positions.length === 0 || !block.mayHave(wanted)) continue
        for await (const { position, chunk } of volume.read(positions)) {
          if (!chunk) this.#damagedChunks++
          else yield* this.#scanChunk(plan, volume, position, chunk)
        }
      }
    }
  }

  *#scanChunk(
    { after, cidHash, matches }: Plan,
    volume: Volume,
    position: number,
    chunk: Chunk,
  ): Iterable<{ record?: StoredRecord; id: string }> {
    const first = { id: idOf({ volume: volume.number, position, index: 0 }) }
    if (cidHash === undefined || chunk.hasCid(cidHash)) {
      const isCut = after?.volume === volume.number && after.position === position
      const records = recordsOf(volume, position, chunk)
      const below = isCut ? after.index : records.length
      for (let i = Math.min(below, records.length) - 1; i >= 0; i--) {
        const record = records[i]!
        if (matches(record)) yield { record, id: record.id }
      }
    }
    yield first
  }

  #notes(): string[] {
    const { dropped, damaged, loading } = this.status()
    const notes: string[] = []
    if (loading) notes.push('older parts of the log are still being read')
    if (dropped > 0)
      notes.push(`${dropped} records were dropped because the log did not keep up or its disk failed`)
    for (const { volume, error } of damaged) notes.push(`volume ${volume} is skipped: ${error}`)
    if (this.#damagedChunks > 0) notes.push(`${this.#damagedChunks} damaged pieces were met and skipped`)
    return notes
  }

  /** Whether a chunk is not one that came before, and remembers that it came. */
  #isNew({ head: { source, seq } }: Chunk): boolean {
    const last = this.#sources.get(source) ?? 0
    if (seq <= last) return false
    this.#sources.delete(source)
    this.#sources.set(source, seq)
    if (this.#sources.size > MAX_SOURCES) this.#sources.delete(this.#sources.keys().next().value!)
    return true
  }

  #writeSoon(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
      if (this.#waiting.length > 0) this.#writeLater()
    })
  }

  #writeLater(): void {
    if (this.#waitingBytes >= WRITE_BYTES) this.#writeSoon()
    else this.#timer ??= this.#options.clock.after(this.#options.writeMs ?? WRITE_MS, () => this.#writeSoon())
  }

  async #write(): Promise<void> {
    const chunks = this.#waiting
    this.#waiting = []
    if (chunks.length === 0) return
    try {
      await this.#rotate()
      await this.#volumes.at(-1)!.append(chunks)
    } catch (thrown) {
      this.#lost(chunks, thrown)
    }
    this.#waitingBytes -= chunks.reduce((sum, { length }) => sum + length, 0)
  }

  /** A log that cannot be written must not stop the bus: the records are gone, and that is said. */
  #lost(chunks: readonly Buffer[], thrown: unknown): void {
    for (const bytes of chunks) this.#dropped += new Chunk(bytes).head.count
    const { clock, log } = this.#options
    if (clock.monotonic() - this.#reportedAt < REPORT_MS) return
    this.#reportedAt = clock.monotonic()
    const error = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
    log.error({ code: error.code, dropped: this.#dropped, err: error }, 'the audit log cannot be written')
  }

  /** A volume is followed by a new one when it is large or old, so that retention can take it away. */
  async #rotate(): Promise<void> {
    const current = this.#volumes.at(-1)!
    const { maxBytes, maxAgeMs } = this.#retention
    const most = Math.min(VOLUME_BYTES.most, Math.max(VOLUME_BYTES.least, maxBytes / VOLUMES))
    const isOld = this.#options.clock.now() - current.from > maxAgeMs / VOLUMES
    if (current.bytes < most && !isOld) return
    await this.#begin(current.number + 1)
    await this.#retain()
  }

  /** Takes away what is too old and what is too much; never the volume that is written. */
  async #retain(): Promise<void> {
    const { maxAgeMs, maxBytes } = this.#retention
    const before = this.#options.clock.now() - maxAgeMs
    let bytes = this.#volumes.reduce((sum, volume) => sum + volume.bytes, 0)
    while (this.#volumes.length > 1) {
      const oldest = this.#volumes[0]!
      if (!oldest.opened || (oldest.to >= before && bytes <= maxBytes)) return
      this.#volumes.shift()
      bytes -= oldest.bytes
      await oldest.remove()
    }
  }

  #retainLater(): void {
    this.#retainer = this.#options.clock.after(RETAIN_MS, () => {
      this.#retain()
        .catch(error =>
          this.#options.log.warn({ err: error }, 'old parts of the audit log could not be removed'),
        )
        .finally(() => {
          if (!this.#closed) this.#retainLater()
        })
    })
  }
}

function recordsOf(volume: Volume, position: number, chunk: Chunk): StoredRecord[] {
  return chunk.records(index => idOf({ volume: volume.number, position, index }))
}

/** Whether a chunk may have records that come after a place, on the way back. */
function isBefore(position: number, after: RecordPlace): boolean {
  return position < after.position || (position === after.position && after.index > 0)
}

function withoutBody({ bodyBytes: _, ...record }: StoredRecord): AuditRecord {
  return record
}
