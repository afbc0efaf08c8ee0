/** What is known of every message of a log without reading it: a few bytes each. */

const CHUNK = 4_096

interface Columns {
  position: Float64Array
  publishedAt: Float64Array
  bytes: Uint32Array
  /** Subscriptions that have not settled it. */
  owed: Uint16Array
  priority: Uint8Array
  /** 0: not there; 1: there. */
  live: Uint8Array
  count: number
}

export interface Row {
  position: number
  publishedAt: number
  bytes: number
  priority: number
}

export class IndexTable {
  readonly #chunks = new Map<number, Columns>()
  /** Messages that are there, and their bytes in the journal. */
  count = 0
  bytes = 0

  has(seq: number): boolean {
    return this.#chunks.get(Math.floor(seq / CHUNK))?.live[seq % CHUNK] === 1
  }

  put(seq: number, { position, publishedAt, bytes, priority }: Row): void {
    const number = Math.floor(seq / CHUNK)
    const columns = this.#chunks.get(number) ?? newColumns()
    this.#chunks.set(number, columns)
    const at = seq % CHUNK
    if (columns.live[at] === 1) this.bytes -= columns.bytes[at]!
    else {
      columns.live[at] = 1
      columns.owed[at] = 0
      columns.count++
      this.count++
    }
    columns.position[at] = position
    columns.publishedAt[at] = publishedAt
    columns.bytes[at] = bytes
    columns.priority[at] = priority
    this.bytes += bytes
  }

  delete(seq: number): void {
    const number = Math.floor(seq / CHUNK)
    const columns = this.#chunks.get(number)
    const at = seq % CHUNK
    if (columns?.live[at] !== 1) return
    columns.live[at] = 0
    this.count--
    this.bytes -= columns.bytes[at]!
    if (--columns.count === 0) this.#chunks.delete(number)
  }

  position(seq: number): number {
    return this.#columns(seq).position[seq % CHUNK]!
  }

  publishedAt(seq: number): number {
    return this.#columns(seq).publishedAt[seq % CHUNK]!
  }

  bytesOf(seq: number): number {
    return this.#columns(seq).bytes[seq % CHUNK]!
  }

  priority(seq: number): number {
    return this.#columns(seq).priority[seq % CHUNK]!
  }

  owed(seq: number): number {
    return this.#columns(seq).owed[seq % CHUNK]!
  }

  /** Adds to what is owed of a message; how much that is now. */
  owe(seq: number, by: 1 | -1): number {
    const columns = this.#columns(seq)
    columns.owed[seq % CHUNK]! += by
    return columns.owed[seq % CHUNK]!
  }

  /** Every message that is there, by number. */
  *seqs(from = 0): IterableIterator<number> {
    const numbers = [...this.#chunks.keys()].sort((a, b) => a - b)
    for (const number of numbers) {
      if ((number + 1) * CHUNK <= from) continue
      const first = Math.max(0, from - number * CHUNK)
      for (let at = this.#nextLive(number, first); at !== -1; at = this.#nextLive(number, at + 1)) {
        yield number * CHUNK + at
      }
    }
  }

  /** Rows come and go while they are looked through. */
  #nextLive(number: number, at: number): number {
    return this.#chunks.get(number)?.live.indexOf(1, at) ?? -1
  }

  #columns(seq: number): Columns {
    return this.#chunks.get(Math.floor(seq / CHUNK))!
  }
}

function newColumns(): Columns {
  return {
    position: new Float64Array(CHUNK),
    publishedAt: new Float64Array(CHUNK),
    bytes: new Uint32Array(CHUNK),
    owed: new Uint16Array(CHUNK),
    priority: new Uint8Array(CHUNK),
    live: new Uint8Array(CHUNK),
    count: 0,
  }
}
