/** The embedded journal: files in a folder that one process owns. */
import { mkdirSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Clock, systemClock } from '../../clock.ts'
import { SignalboxError } from '../../errors.ts'
import { type Logger, silentLogger } from '../../telemetry/log.ts'
import type { AppendOptions, Journal, Position, Segment } from '../journal.ts'
import { copySegments } from './backup.ts'
import { failure } from './failure.ts'
import { syncFolder } from './files.ts'
import { HEAD_BYTES, RECORD_BYTES } from './format.ts'
import { lockFolder } from './lock.ts'
import { readRecords } from './reader.ts'
import { recover } from './recover.ts'
import { Space } from './space.ts'
import { Writer } from './writer.ts'

const MIB = 1024 * 1024
const DEFAULT_SEGMENT_BYTES = 64 * MIB
const DEFAULT_MAX_RECORD_BYTES = 16 * MIB
const DEFAULT_MAX_WAITING_BYTES = 64 * MIB
const DEFAULT_RESERVE_BYTES = 64 * MIB
const MAX_SEGMENT_BYTES = 1024 * MIB

export interface FileJournalOptions {
  /** The folder of this journal alone; made when it does not exist. On a local disk. */
  folder: string
  /** A segment is followed by a new one when it has so many bytes. Default 64 MiB, at most 1 GiB. */
  segmentBytes?: number
  /** Largest record. Default 16 MiB, at most `maxWaitingBytes`. */
  maxRecordBytes?: number
  /** Appends that wait for the disk hold so many bytes; above, they reject with SIGNALBOX_OVERLOADED. Default 64 MiB. */
  maxWaitingBytes?: number
  /** Free space of the disk that only appends with `useReserve` may use; 0 switches that off. Default 64 MiB. */
  reserveBytes?: number
  /**
   * The folder that is locked against other processes. Journals of one thread can share one, a folder above theirs,
   * so that thousands of them take one lock; every process has to name the same one. Default: the folder itself.
   */
  lockFolder?: string
  /**
   * How a batch gets to the disk. `dsync` (only on Linux, elsewhere it is the same as `fdatasync`): one call that
   * returns when the bytes are on disk (O_DSYNC). `fdatasync`: a write, then fdatasync. Default `dsync`.
   */
  sync?: 'dsync' | 'fdatasync'
  /** Told when bytes were moved aside, and what could not be tidied up. Default: nobody. */
  log?: Logger
  clock?: Clock
}

/** Journals that are open in this thread. */
const openFolders = new Set<string>()

/**
 * Opens the journal in a folder; `replay` comes next. Throws SIGNALBOX_STORE_LOCKED when it is open already, and
 * SIGNALBOX_STORE_UNAVAILABLE when the folder cannot be used. Files that another program or a newer version made are
 * found by `replay`, which throws SIGNALBOX_STORE_FOREIGN. An idle journal has no timer of its own, and its files are
 * closed when others need the descriptors.
 */
export async function openFileJournal(options: FileJournalOptions): Promise<Journal> {
  const { segmentBytes, maxRecordBytes, maxWaitingBytes, reserveBytes } = checkSizes(options)
  const folder = resolve(options.folder)
  const log = options.log ?? silentLogger
  const warn = ({ code, message }: SignalboxError) => log.warn({ code }, message)
  makeFolder(folder)
  const unlock = lockFolder(options.lockFolder ?? folder, warn, options.clock)
  if (openFolders.has(folder)) {
    unlock()
    throw new SignalboxError('SIGNALBOX_STORE_LOCKED', `${folder}: this process itself has the journal open`)
  }
  openFolders.add(folder)
  const space = new Space(folder, reserveBytes, options.clock ?? systemClock)
  const dsync = options.sync !== 'fdatasync'
  const sizes = { segmentBytes, maxRecordBytes, maxWaitingBytes }
  return new FileJournal({ ...sizes, folder, log, unlock, space, dsync })
}

function checkSizes(options: FileJournalOptions) {
  const sizes = {
    segmentBytes: options.segmentBytes ?? DEFAULT_SEGMENT_BYTES,
    maxWaitingBytes: options.maxWaitingBytes ?? DEFAULT_MAX_WAITING_BYTES,
    maxRecordBytes: options.maxRecordBytes ?? DEFAULT_MAX_RECORD_BYTES,
    reserveBytes: options.reserveBytes ?? DEFAULT_RESERVE_BYTES,
  }
  const most = {
    segmentBytes: MAX_SEGMENT_BYTES,
    maxWaitingBytes: MAX_SEGMENT_BYTES,
    maxRecordBytes: sizes.maxWaitingBytes,
    reserveBytes: Number.MAX_SAFE_INTEGER,
  }
  for (const name of Object.keys(sizes) as (keyof typeof sizes)[]) {
    const value = sizes[name]
    const least = name === 'reserveBytes' ? 0 : 1
    if (Number.isSafeInteger(value) && value >= least && value <= most[name]) continue
    const message = `options.${name} must be an integer from ${least} to ${most[name]}, got ${value}`
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', message)
  }
  return sizes
}

interface Settings {
  folder: string
  segmentBytes: number
  maxRecordBytes: number
  maxWaitingBytes: number
  dsync: boolean
  log: Logger
  space: Space
  unlock: () => void
}

class FileJournal implements Journal {
  readonly maxRecordBytes: number
  readonly #settings: Settings
  #state: 'new' | 'replaying' | 'open' | 'unreadable' | 'closed' = 'new'
  #writer: Writer | undefined
  /** Trims and backups, one after the other: what is being copied is not removed. */
  #turn: Promise<unknown> = Promise.resolve()
  #replaying: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(settings: Settings) {
    this.#settings = settings
    this.maxRecordBytes = settings.maxRecordBytes
  }

  async replay(each: (record: Buffer, position: Position) => void): Promise<void> {
    if (this.#state === 'closed') throw this.#unavailable('it is closed')
    if (this.#state !== 'new') throw new SignalboxError('SIGNALBOX_USAGE', 'a journal is replayed once')
    this.#state = 'replaying'
    const done = this.#replay(each)
    this.#replaying = done.catch(() => {})
    await done
  }

  async #replay(each: (record: Buffer, position: Position) => void): Promise<void> {
    const { folder, space } = this.#settings
    try {
      const segments = await recover(this.#settings, each)
      await space.look()
      this.#writer = new Writer(this.#settings, segments)
      if (this.#state === 'replaying') this.#state = 'open'
    } catch (error) {
      if (this.#state === 'replaying') this.#state = 'unreadable'
      throw isSystemError(error) ? failure(error, `the journal in ${folder} cannot be read`) : error
    }
  }

  append(records: readonly Uint8Array[], options?: AppendOptions): Promise<Position[]> {
    try {
      const writer = this.#ready()
      const bytes = this.#check(records)
      if (bytes === 0) return Promise.resolve([])
      this.#checkRoom(writer, bytes, options?.useReserve === true)
      return writer.append(records, bytes)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Bytes that the records take in the file. */
  #check(records: readonly Uint8Array[]): number {
    const { maxRecordBytes, maxWaitingBytes } = this.#settings
    let bytes = 0
    for (let i = 0; i < records.length; i++) {
      const record = records[i]
      if (!(record instanceof Uint8Array)) throw invalid(`record ${i} is not a Uint8Array`)
      if (record.length === 0) throw invalid(`record ${i} is empty`)
      if (record.length > maxRecordBytes) {
        throw invalid(`record ${i} has ${record.length} bytes; at most ${maxRecordBytes} are allowed`)
      }
      bytes += RECORD_BYTES + record.length
    }
    // A single record of the largest size is always taken.
    if (bytes > maxWaitingBytes + RECORD_BYTES) {
      throw invalid(`the records of one append take ${bytes} bytes; at most ${maxWaitingBytes} are allowed`)
    }
    return bytes
  }

  #checkRoom(writer: Writer, bytes: number, useReserve: boolean): void {
    const { maxWaitingBytes, space, folder } = this.#settings
    const waiting = writer.waitingBytes
    if (waiting > 0 && waiting + bytes > maxWaitingBytes) {
      const message = `${waiting} bytes wait to be written to ${folder}; await appends, or send more slowly`
      throw new SignalboxError('SIGNALBOX_OVERLOADED', message, { retryAfterMs: 1_000 })
    }
    if (space.allows(bytes) || useReserve) return
    const message = `the disk of ${folder} has ${space.freeBytes} bytes left, which are kept back; free space on it`
    throw new SignalboxError('SIGNALBOX_STORE_FULL', message, { retryAfterMs: 1_000 })
  }

  async read(positions: readonly Position[]): Promise<Buffer[]> {
    const { segments } = this.#ready()
    try {
      return await readRecords(segments, positions)
    } catch (error) {
      throw failure(error, `the journal in ${this.#settings.folder} cannot be read`)
    }
  }

  async trim(before: Position): Promise<void> {
    const writer = this.#ready()
    await this.#inTurn(
      () => this.#trim(writer, before),
      `the journal in ${this.#settings.folder} cannot be trimmed`,
    )
  }

  async #trim(writer: Writer, before: Position): Promise<void> {
    const { segments } = writer
    const kept = segments.findIndex((segment, i) => {
      return i === segments.length - 1 || segment.base + segment.end > before
    })
    if (kept <= 0) return
    // On disk before the files go, so that one that is missing can be told from one that was trimmed.
    writer.oldest = segments[kept]!.base
    await writer.append([], 0)
    for (let i = 0; i < kept; i++) {
      const [segment] = segments
      segment!.retire()
      await rm(segment!.path, { force: true })
      segments.shift()
    }
    await syncFolder(this.#settings.folder)
  }

  segments(): readonly Segment[] {
    return this.#ready().segments.map(({ base, end }) => {
      return { from: base + HEAD_BYTES, to: base + end, bytes: end }
    })
  }

  async backup(to: string): Promise<void> {
    const { segments } = this.#ready()
    await this.#inTurn(() => copySegments(segments, to), `the backup to ${to} failed`)
  }

  async #inTurn(run: () => Promise<void>, what: string): Promise<void> {
    const done = this.#turn.then(run)
    this.#turn = done.catch(() => {})
    try {
      await done
    } catch (error) {
      throw failure(error, what)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#state = 'closed'
    const { folder, unlock } = this.#settings
    await this.#replaying
    await this.#turn
    await this.#writer?.close()
    for (const segment of this.#writer?.segments ?? []) segment.retire()
    openFolders.delete(folder)
    unlock()
  }

  #ready(): Writer {
    if (this.#state === 'open') return this.#writer!
    if (this.#state === 'closed') throw this.#unavailable('it is closed')
    if (this.#state === 'unreadable') throw this.#unavailable('its replay failed; see the error of that')
    throw new SignalboxError('SIGNALBOX_USAGE', 'a journal is replayed before anything else')
  }

  #unavailable(why: string): SignalboxError {
    return new SignalboxError(
      'SIGNALBOX_STORE_UNAVAILABLE',
      `the journal in ${this.#settings.folder}: ${why}`,
    )
  }
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw failure(error, `the folder ${folder} cannot be made`)
  }
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_STORE_ENTRY_INVALID', message)
}

/** Errors of the caller's own function pass as they are. */
function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException | undefined)?.syscall === 'string'
}
