/**
 * Gives disk space back. Segments are freed from the oldest on; one that still holds messages is freed by writing
 * those again at the end, when less than half of the journal is of use.
 */
import { type SignalboxError, toSignalboxError } from '../../errors.ts'
import type { Journal, Segment } from '../journal.ts'
import type { LogState } from './log-state.ts'
import { RECORD, readMessage, writeMessage, writeStep } from './record.ts'
import type { Writer } from './writer.ts'

export interface HousekeepingOptions {
  journal: Journal
  state: LogState
  writer: Writer
  onError: (error: SignalboxError) => void
}

/** Messages that are written again at once; nobody else writes meanwhile. */
const COPY_BATCH = 256
const COPY_BYTES = 4 * 1024 * 1024

export class Housekeeping {
  readonly #options: HousekeepingOptions
  #running: Promise<void> | undefined
  /** Bytes let go since the last look. */
  #released = 0
  #segments = 0

  constructor(options: HousekeepingOptions) {
    this.#options = options
  }

  /** A message is gone that had so many bytes. */
  released(bytes: number): void {
    this.#released += bytes
  }

  /** Begins to clean up when it may be worth it. */
  look(): void {
    if (this.#running) return
    const segments = this.#options.journal.segments()
    if (segments.length < 2) return
    const half = (segments[0]!.to - segments[0]!.from) / 2
    if (segments.length === this.#segments && this.#released < half) return
    this.#segments = segments.length
    this.#released = 0
    this.#running = this.#clean()
      .catch(error => this.#options.onError(toSignalboxError(error, 'SIGNALBOX_STORE_UNAVAILABLE')))
      .finally(() => {
        this.#running = undefined
      })
  }

  async idle(): Promise<void> {
    await this.#running
  }

  async #clean(): Promise<void> {
    const { journal, state, writer } = this.#options
    state.trimLanes()
    const all = journal.segments()
    // What is written now may still go into the last one, and what is not applied yet is not known to be of no use.
    const full = all.slice(0, -1).filter(({ to }) => to <= writer.applied)
    const live = this.#liveBytes(full)
    let total = all.reduce((sum, { bytes }) => sum + bytes, 0)
    const useful = state.table.bytes
    let before = 0
    for (const segment of full) {
      if (this.#remembered(segment)) break
      if (live.get(segment.from)! > 0) {
        if (total < 2 * useful + segment.bytes) break
        await this.#copy(segment)
      }
      total -= segment.bytes
      before = segment.to
    }
    if (before === 0) return
    await this.#snapshot()
    await journal.trim(before)
    this.#segments = journal.segments().length
  }

  /** Whether it holds a message whose id still tells duplicates. */
  #remembered({ to }: Segment): boolean {
    const oldest = this.#options.state.ids.oldestPosition
    return oldest !== undefined && oldest < to
  }

  #liveBytes(segments: readonly Segment[]): Map<number, number> {
    const { state } = this.#options
    const live = new Map(segments.map(({ from }) => [from, 0]))
    const add = (position: number, bytes: number) => {
      const segment = find(segments, position)
      if (segment) live.set(segment.from, live.get(segment.from)! + bytes)
    }
    for (const seq of state.table.seqs()) add(state.table.position(seq), state.table.bytesOf(seq))
    for (const { dead } of state.subs.values()) for (const { position } of dead.values()) add(position, 1)
    return live
  }

  /** Writes everything of a segment that is still needed again, at the end. */
  async #copy(segment: Segment): Promise<void> {
    const { state, journal, writer } = this.#options
    const inside = (position: number) => position >= segment.from && position < segment.to
    const seqs = [...state.table.seqs()].filter(seq => inside(state.table.position(seq)))
    while (seqs.length > 0) {
      await writer.exclusive(async append => {
        const batch = takeBatch(seqs, seq => state.table.bytesOf(seq)).filter(
          seq => state.table.has(seq) && inside(state.table.position(seq)),
        )
        if (batch.length === 0) return
        const records = await journal.read(batch.map(seq => state.table.position(seq)))
        const copies = records.map(record => writeMessage(RECORD.copy, readMessage(record)))
        const positions = await append(copies)
        batch.forEach((seq, i) => {
          state.moved(seq, positions[i]!, copies[i]!.length)
        })
      })
    }
    for (const sub of state.subs.values()) {
      const dead = [...sub.dead].filter(([, { position }]) => inside(position)).map(([seq]) => seq)
      while (dead.length > 0) {
        await writer.exclusive(async append => {
          const batch = dead.splice(0, COPY_BATCH).filter(seq => sub.dead.has(seq))
          if (batch.length === 0) return
          const records = await journal.read(batch.map(seq => sub.dead.get(seq)!.position))
          const positions = await append(records)
          batch.forEach((seq, i) => {
            sub.dead.get(seq)!.position = positions[i]!
          })
        })
      }
    }
  }

  async #snapshot(): Promise<void> {
    const { state, writer } = this.#options
    await writer.exclusive(append => {
      const subs = Array.from(state.subs.values(), sub => state.snapshotOf(sub))
      return append([writeStep(RECORD.snapshot, { nextSeq: state.nextSeq, subs })])
    })
  }
}

function takeBatch(seqs: number[], bytesOf: (seq: number) => number): number[] {
  let bytes = 0
  let count = 0
  while (count < seqs.length && count < COPY_BATCH && bytes < COPY_BYTES) bytes += bytesOf(seqs[count++]!)
  return seqs.splice(0, count)
}

function find(segments: readonly Segment[], position: number): Segment | undefined {
  let low = 0
  let high = segments.length - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const segment = segments[middle]!
    if (position < segment.from) high = middle - 1
    else if (position >= segment.to) low = middle + 1
    else return segment
  }
  return undefined
}
