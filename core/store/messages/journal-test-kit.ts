/** A journal in memory whose disk, crashes and failures a test decides, one step at a time: for simulations that are repeated from a seed. */
import type { Random } from '../../clock.ts'
import { SignalboxError } from '../../errors.ts'
import type { AppendOptions, Journal, Position, Segment } from '../journal.ts'

interface Call {
  records: Buffer[]
  useReserve: boolean
  done: PromiseWithResolvers<Position[]>
}

/** What is left when a process dies. */
export class SimulatedDisk {
  /** In the order in which they were written. */
  readonly records = new Map<Position, Buffer>()
  end: Position = 1
  /** Refuses everything while it is set. */
  failure: SignalboxError | undefined
  /** There is room only for what frees room. */
  full = false

  write(records: readonly Buffer[]): Position[] {
    return records.map(record => {
      const position = this.end
      this.end += record.length + 8
      this.records.set(position, record)
      return position
    })
  }

  /** Another disk with the same on it. */
  copy(): SimulatedDisk {
    const copy = new SimulatedDisk()
    for (const [position, record] of this.records) copy.records.set(position, record)
    copy.end = this.end
    return copy
  }
}

export class SimulatedJournal implements Journal {
  readonly maxRecordBytes = 16 * 1024 * 1024
  readonly #disk: SimulatedDisk
  readonly #segmentBytes: number
  /** Called when there is something to write; calls {@link step} then or later. */
  readonly #wake: (journal: SimulatedJournal) => void
  #calls: Call[] = []
  #dead = false

  constructor(disk: SimulatedDisk, wake: (journal: SimulatedJournal) => void, segmentBytes = 64 * 1024) {
    this.#disk = disk
    this.#wake = wake
    this.#segmentBytes = segmentBytes
  }

  async replay(each: (record: Buffer, position: Position) => void): Promise<void> {
    if (this.#disk.failure) throw this.#disk.failure
    for (const [position, record] of this.#disk.records) each(record, position)
  }

  append(records: readonly Uint8Array[], options?: AppendOptions): Promise<Position[]> {
    if (this.#dead) return new Promise(() => {})
    const done = Promise.withResolvers<Position[]>()
    const copies = records.map(record => Buffer.from(record))
    this.#calls.push({ records: copies, useReserve: options?.useReserve === true, done })
    this.#wake(this)
    return done.promise
  }

  /** Calls that have not been written. */
  get waiting(): number {
    return this.#calls.length
  }

  /** Writes the first `count` calls that wait, and tells. */
  step(count = this.#calls.length): void {
    if (this.#dead) return
    const { failure, full } = this.#disk
    for (const { records, useReserve, done } of this.#calls.splice(0, count)) {
      if (failure) done.reject(failure)
      else if (full && !useReserve) {
        done.reject(new SignalboxError('SIGNALBOX_STORE_FULL', 'the simulated disk is full'))
      } else done.resolve(this.#disk.write(records))
    }
  }

  /** The process dies: of the calls that wait some are on disk, in order, and nobody is told of any. */
  crash(random: Random): void {
    this.#dead = true
    const survivors = this.#disk.failure ? 0 : Math.floor(random() * (this.#calls.length + 1))
    for (const { records } of this.#calls.slice(0, survivors)) this.#disk.write(records)
    this.#calls = []
  }

  async read(positions: readonly Position[]): Promise<Buffer[]> {
    if (this.#dead) return new Promise(() => {})
    if (this.#disk.failure) throw this.#disk.failure
    return positions.map(position => {
      const record = this.#disk.records.get(position)
      if (!record) throw new SignalboxError('SIGNALBOX_STORE_DAMAGED', `there is no record at ${position}`)
      return Buffer.from(record)
    })
  }

  async trim(before: Position): Promise<void> {
    if (this.#dead) return new Promise(() => {})
    if (this.#disk.failure) throw this.#disk.failure
    const keep = this.segments().filter(({ to }, i, all) => to > before || i === all.length - 1)
    const from = keep[0]?.from ?? this.#disk.end
    for (const position of this.#disk.records.keys()) {
      if (position >= from) return
      this.#disk.records.delete(position)
    }
  }

  segments(): readonly Segment[] {
    const segments = new Map<number, Segment>()
    const segmentOf = (position: Position): Segment => {
      const number = Math.floor(position / this.#segmentBytes)
      const there = segments.get(number)
      if (there) return there
      const from = number * this.#segmentBytes
      const segment = { from, to: from + this.#segmentBytes, bytes: 0 }
      segments.set(number, segment)
      return segment
    }
    for (const [position, record] of this.#disk.records) segmentOf(position).bytes += record.length
    segmentOf(this.#disk.end)
    return [...segments.values()]
  }

  async backup(): Promise<void> {
    throw new SignalboxError('SIGNALBOX_USAGE', 'a simulated journal has no files')
  }

  async close(): Promise<void> {
    this.step()
    this.#dead = true
  }
}
