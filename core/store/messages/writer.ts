/** Writes the steps of a log into its journal, and makes them happen in the same order once they are on disk. */
import type { AppendOptions, Journal, Position } from '../journal.ts'
import { RECORD, writeStep } from './record.ts'

interface Batch {
  records: Buffer[]
  bytes: number
  /** In the order of the records; each takes as many positions as it has records. */
  steps: {
    records: number
    apply: (positions: readonly Position[]) => void
    undo: (() => void) | undefined
  }[]
  settles: Map<string, Settling>
  useReserve: boolean
  done: PromiseWithResolvers<void>
}

interface Settling {
  seqs: number[]
  apply: (seq: number) => void
  undo: (seq: number) => void
}

/** A journal takes no more than so much at once; what comes in one turn is divided. */
const BATCH_BYTES = 4 * 1024 * 1024

export class Writer {
  readonly #journal: Journal
  /** New messages wait here, so that a full disk does not keep settlements from being written. */
  #messages: Batch[] = []
  #others: Batch | undefined
  #scheduled = false
  #held = false
  /** Those who write alone, one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #inFlight = 0
  readonly #waiting: (() => void)[] = []
  /** Up to where everything that was written has happened. */
  applied: Position = 0

  constructor(journal: Journal) {
    this.#journal = journal
  }

  /** Writes messages: `apply` is called with their positions when they are on disk, `undo` when they are not. */
  writeAll(
    records: Buffer[],
    apply: (positions: readonly Position[]) => void,
    undo?: () => void,
  ): Promise<void> {
    let batch = this.#messages.at(-1)
    if (batch === undefined || batch.bytes > BATCH_BYTES) {
      batch = newBatch(false)
      this.#messages.push(batch)
    }
    return this.#add(batch, records, apply, undo)
  }

  /** Writes one step that frees more than it takes. */
  write(record: Buffer, apply: (position: Position) => void, undo?: () => void): Promise<void> {
    this.#others ??= newBatch(true)
    return this.#add(this.#others, [record], ([position]) => apply(position!), undo)
  }

  /** Writes settlements; those of one turn become one record. */
  settle(
    sub: string,
    seqs: readonly number[],
    apply: (seq: number) => void,
    undo: (seq: number) => void,
  ): Promise<void> {
    this.#others ??= newBatch(true)
    const batch = this.#others
    const settling = batch.settles.get(sub)
    if (settling) settling.seqs.push(...seqs)
    else batch.settles.set(sub, { seqs: [...seqs], apply, undo })
    this.#schedule()
    return batch.done.promise
  }

  /**
   * Runs `work` while nothing is under way and nothing begins; what was begun before is written before. `append`
   * writes at once.
   */
  exclusive<T>(work: (append: (records: Buffer[]) => Promise<Position[]>) => Promise<T>): Promise<T> {
    const done = this.#turn.then(() => this.#alone(work))
    this.#turn = done.catch(() => {})
    return done
  }

  async #alone<T>(work: (append: (records: Buffer[]) => Promise<Position[]>) => Promise<T>): Promise<T> {
    this.#flush()
    this.#held = true
    try {
      while (this.#inFlight > 0) await new Promise<void>(resolve => this.#waiting.push(resolve))
      return await work(async records => {
        const positions = await this.#journal.append(records, { useReserve: true })
        this.applied = Math.max(this.applied, positions.at(-1) ?? 0)
        return positions
      })
    } finally {
      this.#held = false
      this.#flush()
    }
  }

  /** Whether somebody writes alone. */
  get isHeld(): boolean {
    return this.#held
  }

  /** Resolves when everything that was begun has been written or refused. */
  async idle(): Promise<void> {
    for (;;) {
      const turn = this.#turn
      await turn
      if (turn !== this.#turn) continue
      this.#flush()
      if (this.#inFlight === 0) return
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    }
  }

  #add(
    batch: Batch,
    records: Buffer[],
    apply: (positions: readonly Position[]) => void,
    undo?: () => void,
  ): Promise<void> {
    for (const record of records) {
      batch.records.push(record)
      batch.bytes += record.length
    }
    batch.steps.push({ records: records.length, apply, undo })
    this.#schedule()
    return batch.done.promise
  }

  #schedule(): void {
    if (this.#scheduled || this.#held) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      if (!this.#held) this.#flush()
    })
  }

  #flush(): void {
    const batches = this.#messages
    if (this.#others) batches.push(this.#others)
    this.#messages = []
    this.#others = undefined
    for (const batch of batches) void this.#append(batch)
  }

  async #append(batch: Batch): Promise<void> {
    for (const [sub, { seqs, apply, undo }] of batch.settles) {
      batch.records.push(writeStep(RECORD.settle, { sub, seqs }))
      batch.steps.push({
        records: 1,
        apply: () => seqs.forEach(apply),
        undo: () => seqs.forEach(undo),
      })
    }
    const options: AppendOptions = { useReserve: batch.useReserve }
    this.#inFlight++
    try {
      const positions = await this.#journal.append(batch.records, options)
      this.applied = Math.max(this.applied, positions.at(-1)!)
      let at = 0
      for (const { records, apply } of batch.steps) {
        apply(positions.length === records ? positions : positions.slice(at, at + records))
        at += records
      }
      batch.done.resolve()
    } catch (error) {
      for (const { undo } of batch.steps) undo?.()
      batch.done.reject(error)
    } finally {
      this.#inFlight--
      if (this.#inFlight === 0) for (const resolve of this.#waiting.splice(0)) resolve()
    }
  }
}

function newBatch(useReserve: boolean): Batch {
  const done = Promise.withResolvers<void>()
  // Every caller gets this promise; one that does not wait for it must not end the process.
  done.promise.catch(() => {})
  return { records: [], bytes: 0, steps: [], settles: new Map(), useReserve, done }
}
