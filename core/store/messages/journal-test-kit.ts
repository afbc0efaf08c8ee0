/** A journal in memory whose disk, crashes and failures a test decides, one step at a time: for simulations that are repeated from a seed. */
import type { Random } from '../../clock.ts'
import { SignalboxError } from '../../errors.ts'
import type { AppendOptions, Journal, Position, Segment } from '../journal.ts'

interface Call {
  records: Buffer[]
  done: PromiseWithResolvers<Position[]>
}

interface Written {
  position: Position
  record: Buffer
}

/** What is left when a process dies. */
export class SimulatedDisk {
  records: Written[] = []
  end: Position = 1
  /** Refuses appends while it is set. */
  failure: SignalboxError | undefined
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
    for (const { record, position } of this.#disk.records) each(record, position)
  }

  append(records: readonly Uint8Array[], _options?: AppendOptions): Promise<Position[]> {
    if (this.#dead) return new Promise(() => {})
    const done = Promise.withResolvers<Position[]>()
    this.#calls.push({ records: records.map(record => Buffer.from(record)), done })
    this.#wake(this)
    return done.promise
  }

  /** Writes everything that waits, and tells. */
  step(): void {
    if (this.#dead) return
    for (const { records, done } of this.#calls.splice(0)) {
      if (this.#disk.failure) done.reject(this.#disk.failure)
      else done.resolve(this.#write(records))
    }
  }

  /** The process dies: of the calls that wait some are on disk, in order, and nobody is told of any. */
  crash(random: Random): void {
    this.#dead = true
    const survivors = Math.floor(random() * (this.#calls.length + 1))
    for (const { records } of this.#calls.slice(0, survivors)) this.#write(records)
    this.#calls = []
  }

  async read(positions: readonly Position[]): Promise<Buffer[]> {
    return positions.map(position => {
      const found = this.#disk.records.find(written => written.position === position)
      if (!found) throw new SignalboxError('SIGNALBOX_STORE_DAMAGED', `there is no record at ${position}`)
      return Buffer.from(found.record)
    })
  }

  async trim(before: Position): Promise<void> {
    const keep = this.segments().filter(({ to }, i, all) => to > before || i === all.length - 1)
    const from = keep[0]?.from ?? this.#disk.end
    this.#disk.records = this.#disk.records.filter(({ position }) => position >= from)
  }

  segments(): readonly Segment[] {
    const segments = new Map<number, Segment>()
    for (const { position, record } of this.#disk.records) {
      const number = Math.floor(position / this.#segmentBytes)
      const segment = segments.get(number) ?? {
        from: number * this.#segmentBytes,
        to: (number + 1) * this.#segmentBytes,
        bytes: 0,
      }
      segment.bytes += record.length
      segments.set(number, segment)
    }
    const last = Math.floor(this.#disk.end / this.#segmentBytes)
    if (!segments.has(last)) {
      segments.set(last, { from: last * this.#segmentBytes, to: (last + 1) * this.#segmentBytes, bytes: 0 })
    }
    return [...segments.values()].sort((a, b) => a.from - b.from)
  }

  async backup(): Promise<void> {
    throw new SignalboxError('SIGNALBOX_USAGE', 'a simulated journal has no files')
  }

  async close(): Promise<void> {
    this.step()
    this.#dead = true
  }

  #write(records: readonly Buffer[]): Position[] {
    return records.map(record => {
      const position = this.#disk.end
      this.#disk.end += record.length + 8
      this.#disk.records.push({ position, record })
      return position
    })
  }
}
