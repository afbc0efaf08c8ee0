/**
 * Gives disk space back. Segments are freed from the oldest on; one that still holds messages is freed by writing
 * those again at the end, when less than half of the journal is of use.
 */
import { type SignalboxError, toSignalboxError } from '../../errors.ts'
import type { Journal, Position, Segment } from '../journal.ts'
import type { LogState } from './log-state.ts'
import type { Window } from './recent-ids.ts'
import { RECORD, readMessage, type Steps, writeMessage, writeStep } from './record.ts'
import type { Subscription } from './subscription.ts'
import type { Writer } from './writer.ts'

export interface HousekeepingOptions {
  journal: Journal
  state: LogState
  writer: Writer
  /** How long ids are remembered. */
  window: () => Window
  onError: (error: SignalboxError) => void
  /** Called when it has ended: {@link Housekeeping.nextTime} may be another. */
  ended: () => void
}

/** Messages that are written again at once; nobody else writes meanwhile. */
const COPY_BATCH = 256
const COPY_BYTES = 4 * 1024 * 1024
/** Pause after it failed. */
const RETRY_MS = 1_000
/** Ranges in one record of a snapshot. */
const RANGES_EACH = 50_000

type Append = (records: Buffer[]) => Promise<Position[]>

export class Housekeeping {
  readonly #options: HousekeepingOptions
  #running: Promise<void> | undefined
  /** Bytes let go since the last look. */
  #released = 0
  #segments = 0
  /** When to look again whatever else happens, monotonic. */
  #lookAt: number | undefined

  constructor(options: HousekeepingOptions) {
    this.#options = options
  }

  /** A message is gone that had so many bytes. */
  released(bytes: number): void {
    this.#released += bytes
  }

  /** When {@link look} has something to do though nothing happens; monotonic. */
  get nextTime(): number | undefined {
    return this.#running ? undefined : this.#lookAt
  }

  /** Begins to clean up when it may be worth it. */
  look(): void {
    if (this.#running) return
    const { journal, state, onError } = this.#options
    const segments = journal.segments()
    if (segments.length < 2) {
      this.#lookAt = undefined
      return
    }
    const half = (segments[0]!.to - segments[0]!.from) / 2
    const due = this.#lookAt !== undefined && this.#lookAt <= state.now()
    if (!due && segments.length === this.#segments && this.#released < half) return
    this.#segments = segments.length
    this.#released = 0
    this.#lookAt = undefined
    this.#running = this.#clean()
      .catch(error => {
        this.#lookAt = state.now() + RETRY_MS
        onError(toSignalboxError(error, 'SIGNALBOX_STORE_UNAVAILABLE'))
      })
      .finally(() => {
        this.#running = undefined
        this.#options.ended()
      })
  }

  async idle(): Promise<void> {
    await this.#running
  }

  async #clean(): Promise<void> {
    const { journal, state, writer } = this.#options
    state.trimLanes()
    state.ids.trim(state.now(), this.#options.window())
    const all = journal.segments()
    // What is written now may still go into the last one, and what is not applied yet is not known to be of no use.
    const full = all.slice(0, -1).filter(({ to }) => to <= writer.applied)
    const live = this.#liveBytes(full)
    let total = all.reduce((sum, { bytes }) => sum + bytes, 0)
    let useful = state.table.bytes
    for (const { dead } of state.subs.values()) for (const { bytes } of dead.values()) useful += bytes
    let before = 0
    for (const segment of full) {
      if (this.#remembered(segment)) {
        const oldestUntil = state.ids.oldestAt! + this.#options.window().dedupWindowMs
        this.#lookAt = Math.max(oldestUntil, state.now() + 1)
        break
      }
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
    for (const { dead } of state.subs.values())
      for (const { position, bytes } of dead.values()) add(position, bytes)
    return live
  }

  /** Writes everything of a segment that is still needed again, at the end. */
  async #copy(segment: Segment): Promise<void> {
    const { state, writer } = this.#options
    const inside = (position: number) => position >= segment.from && position < segment.to
    const seqs = [...state.table.seqs()].filter(seq => inside(state.table.position(seq)))
    while (seqs.length > 0) {
      await writer.exclusive(append => {
        const batch = takeBatch(seqs, seq =>
          state.table.has(seq) && inside(state.table.position(seq)) ? state.table.bytesOf(seq) : undefined,
        )
        return this.#copyMessages(batch, append)
      })
    }
    for (const sub of state.subs.values()) {
      const dead = [...sub.dead].filter(([, { position }]) => inside(position)).map(([seq]) => seq)
      while (dead.length > 0) {
        await writer.exclusive(append => {
          const batch = takeBatch(dead, seq => (state.isCurrent(sub) ? sub.dead.get(seq)?.bytes : undefined))
          return this.#copyFailures(sub, batch, append)
        })
      }
    }
  }

  async #copyMessages(batch: readonly number[], append: Append): Promise<void> {
    if (batch.length === 0) return
    const { state, journal } = this.#options
    const records = await journal.read(batch.map(seq => state.table.position(seq)))
    const copies = records.map(record => writeMessage(RECORD.copy, readMessage(record)))
    const positions = await append(copies)
    batch.forEach((seq, i) => {
      state.moved(seq, positions[i]!, copies[i]!.length)
    })
  }

  async #copyFailures(sub: Subscription, batch: readonly number[], append: Append): Promise<void> {
    if (batch.length === 0) return
    const records = await this.#options.journal.read(batch.map(seq => sub.dead.get(seq)!.position))
    const positions = await append(records)
    batch.forEach((seq, i) => {
      const dead = sub.dead.get(seq)
      if (dead) dead.position = positions[i]!
    })
  }

  async #snapshot(): Promise<void> {
    const { state, writer } = this.#options
    await writer.exclusive(append => append(snapshotRecords(state.snapshot())))
  }
}

/** A snapshot, in records that are not too large. */
function snapshotRecords({ subs, ...numbers }: Steps[typeof RECORD.snapshot]): Buffer[] {
  const more: Buffer[] = []
  const short = subs.map(snapshot => {
    const { name, settled } = snapshot
    for (let i = RANGES_EACH; i < settled.length; i += RANGES_EACH) {
      more.push(writeStep(RECORD.settled, { sub: name, ranges: settled.slice(i, i + RANGES_EACH) }))
    }
    return { ...snapshot, settled: settled.slice(0, RANGES_EACH) }
  })
  return [writeStep(RECORD.snapshot, { ...numbers, subs: short }), ...more]
}

/** The next ones to copy; those without bytes are not wanted any more. */
function takeBatch(seqs: number[], bytesOf: (seq: number) => number | undefined): number[] {
  const batch: number[] = []
  let bytes = 0
  let looked = 0
  while (looked < seqs.length && batch.length < COPY_BATCH && bytes < COPY_BYTES) {
    const seq = seqs[looked++]!
    const size = bytesOf(seq)
    if (size === undefined) continue
    batch.push(seq)
    bytes += size
  }
  seqs.splice(0, looked)
  return batch
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
