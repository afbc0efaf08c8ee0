/**
 * Group commit. While one batch is being written and synced, appends gather in the next; so the more callers there
 * are, the more share one sync. One batch is under way at a time, which makes what every frame says simple: all
 * before it is on disk.
 */
import { randomBytes } from 'node:crypto'
import { fdatasync, write } from 'node:fs'
import { rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../../telemetry/log.ts'
import type { Position } from '../journal.ts'
import { Batch, type Place } from './batch.ts'
import { failure } from './failure.ts'
import { acquire, release, withFile } from './file-pool.ts'
import { dataSync, renameDurably, writeFully, writeSynced } from './files.ts'
import {
  encodeFrame,
  encodeHead,
  FRAME,
  FRAME_BYTES,
  type FrameKind,
  HEAD_BYTES,
  NEW_SUFFIX,
  segmentName,
} from './format.ts'
import { SegmentFile } from './segment.ts'
import { SMALL_BYTES, wipe, writeWithZeros, zerosBehind } from './zeros.ts'

/** A batch takes no more appends above this. */
const MAX_BATCH_BYTES = 2 * 1024 * 1024
/** Base of the first segment; 0 means none. */
const FIRST_BASE = 16
/** After a refused write there is still what was there before. */
const NO_ROOM = new Set<unknown>(['ENOSPC', 'EDQUOT'])

export interface WriterOptions {
  folder: string
  segmentBytes: number
  dsync: boolean
  log: Logger
}

export class Writer {
  readonly #options: WriterOptions
  /** Oldest first; the last one is being written. */
  readonly segments: SegmentFile[]
  /** Bytes that were accepted and are not confirmed. */
  waitingBytes = 0
  /** Base of the oldest segment that was not trimmed; 0 before there is one. */
  oldest: number
  readonly #journal: bigint
  /** Undefined before the first append, and after a failure. */
  #current: SegmentFile | undefined
  readonly #queue: Batch[] = []
  /** Where the batch behind the one that is under way goes. */
  #tail: Place | undefined
  /** Base of a segment that failed before anything in it was confirmed: the next one takes its place. */
  #replaced: number | undefined
  /** Above every position that was ever given out or tried. */
  #floor: number
  #busy = false
  #scheduled = false
  #lastBytes = 0
  /** Work on the segments behind the last one. */
  #sealing: Promise<void> = Promise.resolve()
  #drained: (() => void) | undefined

  constructor(options: WriterOptions, segments: SegmentFile[]) {
    this.#options = options
    this.segments = segments
    this.#current = segments.at(-1)
    this.oldest = segments[0]?.base ?? 0
    this.#journal = this.#current?.head.journal ?? randomBytes(8).readBigUInt64LE()
    this.#tail = placeBehind(this.#current)
    this.#floor = this.#tail ? this.#tail.base + this.#tail.offset : FIRST_BASE - FRAME_BYTES
  }

  /** Accepts records that take so many bytes in the file; resolves when they are on disk. */
  append(records: readonly Uint8Array[], bytes: number): Promise<Position[]> {
    const batch = this.#batchFor(bytes)
    const before = batch.length
    const done = batch.add(records, bytes)
    this.waitingBytes += batch.length - before
    this.#schedule()
    return done
  }

  /** Resolves when everything that was accepted is settled and the segment says so. */
  async close(): Promise<void> {
    if (this.#busy || this.#queue.length > 0) {
      await new Promise<void>(resolve => {
        this.#drained = resolve
      })
    }
    // Nothing can start any more, not even a hint that is scheduled.
    this.#busy = true
    await this.#sealing
    const segment = this.#current
    if (!segment || segment.marked === 'synced') return
    try {
      await this.#finish(segment, FRAME.mark)
    } catch (error) {
      // What was confirmed is safe without it.
      this.#warn(error, `${segment.path} cannot be marked as complete`)
    }
  }

  #batchFor(bytes: number): Batch {
    const last = this.#queue.at(-1)
    if (last) {
      const { length, place } = last
      const end = place.offset + length + bytes
      if (length + bytes <= MAX_BATCH_BYTES && end <= this.#options.segmentBytes) return last
    }
    const behind = last ? advance(last.place, last.length) : this.#tail
    if (last) this.#floor = last.place.base + last.place.offset + last.length
    const fits = behind && behind.offset + FRAME_BYTES + bytes <= this.#options.segmentBytes
    // A segment takes at least one batch, however large.
    const opens = !(fits || behind?.offset === HEAD_BYTES)
    const place = opens ? this.#newPlace() : behind!
    const batch = new Batch(place, opens, Math.max(this.#lastBytes, FRAME_BYTES + bytes))
    this.#queue.push(batch)
    return batch
  }

  #newPlace(): Place {
    const first = !this.#current && !this.#busy && this.#queue.length === 0
    const base = (first ? this.#replaced : undefined) ?? this.#floor + FRAME_BYTES
    return { base, salt: randomBytes(4).readUInt32LE(), offset: HEAD_BYTES }
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#busy) return
    const batch = this.#queue.shift()
    if (batch) this.#start(batch)
    else this.#quiet()
  }

  #start(batch: Batch): void {
    this.#busy = true
    this.#lastBytes = batch.length
    this.#tail = advance(batch.place, batch.length)
    this.#floor = Math.max(this.#floor, this.#tail.base + this.#tail.offset)
    if (!batch.opens) {
      this.#write(batch)
      return
    }
    this.#open(batch.place).then(
      () => this.#write(batch),
      error =>
        this.#refuse([batch], error, `a segment of the journal cannot be made in ${this.#options.folder}`),
    )
  }

  #write(batch: Batch): void {
    const segment = this.#current!
    const { offset } = batch.place
    const end = offset + batch.length
    batch.seal(this.oldest, segment.allocated)
    acquire(segment.synced, (error, fd) => {
      if (error) return void this.#fail(batch, error)
      const done = (error: Error | null, reached: number) => {
        release(segment.synced)
        if (error) return void this.#fail(batch, error)
        segment.allocated = Math.max(segment.allocated, reached)
        segment.end = end
        segment.marked = false
        this.#confirm(batch)
      }
      const sync = segment.synced === segment.file
      const zeros =
        end + FRAME_BYTES <= segment.allocated
          ? 0
          : zerosBehind(end, batch.length, this.#options.segmentBytes)
      writeWithZeros(fd, batch.buffer, batch.length, offset, zeros, (error, reached) => {
        if (error || !sync) done(error, reached)
        else fdatasync(fd, error => done(error, reached))
      })
    })
  }

  #confirm(batch: Batch): void {
    this.waitingBytes -= batch.length - FRAME_BYTES
    this.#busy = false
    batch.confirm()
    this.#next()
  }

  #next(): void {
    const [first] = this.#queue
    // Much is written at once; little waits for the callers that were just answered.
    if (first && first.length >= SMALL_BYTES) this.#pump()
    else this.#schedule()
    if (!first) this.#nowDrained()
  }

  #nowDrained(): void {
    this.#drained?.()
    this.#drained = undefined
  }

  /** Nothing to write: says so behind the last batch, so that damage to it can be told from a write cut off. */
  #quiet(): void {
    const segment = this.#current
    if (!segment || segment.marked || segment.end + FRAME_BYTES > segment.allocated) return
    this.#busy = true
    const bytes = this.#frame(segment, FRAME.hint, segment.allocated)
    const done = (error: Error | null) => {
      if (error) {
        const what = `${segment.path} cannot be written`
        this.#abandon(segment)
        return this.#refuse([], error, what)
      }
      segment.marked = 'hinted'
      this.#busy = false
      this.#next()
    }
    acquire(segment.file, (error, fd) => {
      if (error) return done(error)
      write(fd, bytes, 0, bytes.length, segment.end, error => {
        release(segment.file)
        done(error)
      })
    })
  }

  #frame(segment: SegmentFile, kind: FrameKind, allocated: number): Buffer {
    const bytes = Buffer.alloc(FRAME_BYTES)
    const { oldest } = this
    const frame = { kind, count: 0, bytes: 0, oldest, synced: segment.end, allocated }
    encodeFrame(bytes, 0, frame, segment.head.salt, segment.base + segment.end)
    return bytes
  }

  /** Makes a segment and its name durable, before anything in it is. */
  async #open({ base, salt }: Place): Promise<void> {
    const { folder, dsync } = this.#options
    const last = this.segments.at(-1)
    const replaced = last?.base === base ? last : undefined
    const before = replaced ? this.segments.at(-2) : last
    const oldest = this.oldest || base
    const head = {
      base,
      salt,
      journal: this.#journal,
      oldest,
      previous: before?.base ?? 0,
      previousEnd: before?.end ?? 0,
    }
    const segment = new SegmentFile(folder, head, dsync)
    const part = join(folder, segmentName(base) + NEW_SUFFIX)
    await writeSynced(part, encodeHead(head)).catch(async error => {
      await rm(part, { force: true })
      throw error
    })
    await renameDurably(part, segment.path).catch(error => {
      // It may be there after a loss of power or not, and says where the one before ends: that must stay true.
      if (this.#current) this.#abandon(this.#current)
      this.#replaced = base
      throw error
    })
    this.oldest = oldest
    this.#replaced = undefined
    if (replaced) this.segments.pop()
    replaced?.retire()
    this.segments.push(segment)
    this.#current = segment
    if (before && !replaced) this.#seal(before)
  }

  /** In the background: the new segment says where this one ends, so that this only frees what is behind that. */
  #seal(segment: SegmentFile): void {
    const sealed = segment.failed ? truncate(segment.path, segment.end) : this.#finish(segment, FRAME.seal)
    this.#sealing = Promise.all([this.#sealing, sealed]).then(
      () => {},
      error => this.#warn(error, `${segment.path} cannot be cut to its length`),
    )
  }

  /** Writes the last frame of a segment, and cuts off the zeros behind it. */
  async #finish(segment: SegmentFile, kind: FrameKind): Promise<void> {
    const end = segment.end + FRAME_BYTES
    await withFile(segment.file, async fd => {
      await writeFully(fd, this.#frame(segment, kind, end), segment.end)
      await dataSync(fd)
    })
    segment.marked = 'synced'
    await truncate(segment.path, end)
  }

  /** A write or a sync failed. What it may have left is wiped out before anybody is told. */
  async #fail(batch: Batch, error: Error): Promise<void> {
    const segment = this.#current!
    const wiped = await this.#wipe(segment, batch)
    // After a failed sync nobody knows what of the file is on disk, and no later sync would tell.
    if (!wiped || !NO_ROOM.has((error as NodeJS.ErrnoException).code)) this.#abandon(segment)
    this.#refuse([batch], error, `${segment.path} cannot be written`)
  }

  async #wipe(segment: SegmentFile, { place, length }: Batch): Promise<boolean> {
    try {
      const size = await withFile(segment.file, fd => wipe(fd, place.offset, length))
      segment.allocated = Math.max(segment.allocated, size)
      segment.marked = false
      return true
    } catch (error) {
      this.#warn(error, `${segment.path}: the write that failed at byte ${place.offset} cannot be wiped out`)
      return false
    }
  }

  #warn(error: unknown, what: string): void {
    const { code, message } = failure(error, what)
    this.#options.log.warn({ code }, message)
  }

  #abandon(segment: SegmentFile): void {
    segment.failed = true
    this.#current = undefined
    if (segment.end === HEAD_BYTES) this.#replaced = segment.base
  }

  /** Refuses a batch and everything behind it; the next append tries again. */
  #refuse(batches: Batch[], thrown: unknown, what: string): void {
    const error = failure(thrown, what)
    const refused = [...batches, ...this.#queue.splice(0)]
    for (const { place, length } of refused) {
      this.#floor = Math.max(this.#floor, place.base + place.offset + length)
    }
    this.#tail = placeBehind(this.#current)
    this.waitingBytes = 0
    this.#busy = false
    for (const batch of refused) batch.reject(error)
    this.#nowDrained()
  }
}

function placeBehind(segment: SegmentFile | undefined): Place | undefined {
  return segment && { base: segment.base, salt: segment.head.salt, offset: segment.end }
}

function advance(place: Place, bytes: number): Place {
  return { ...place, offset: place.offset + bytes }
}
