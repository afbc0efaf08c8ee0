/** Where message numbers wait: in order of arrival, or for their time. */

/** First in, first out. Numbers only, so that the engine keeps them unboxed: millions may wait. */
export class SeqFifo {
  #items: number[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  push(seq: number): void {
    this.#items.push(seq)
  }

  peek(): number | undefined {
    return this.#items[this.#head]
  }

  shift(): number | undefined {
    if (this.#head === this.#items.length) return undefined
    const seq = this.#items[this.#head++]
    if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return seq
  }

  *[Symbol.iterator](): IterableIterator<number> {
    for (let i = this.#head; i < this.#items.length; i++) yield this.#items[i]!
  }
}

/** The earliest first. What is not wanted any more stays in until its time: the owner checks what comes out. */
export class TimeHeap {
  readonly #times: number[] = []
  readonly #seqs: number[] = []

  get length(): number {
    return this.#times.length
  }

  /** The earliest time; undefined when empty. */
  get next(): number | undefined {
    return this.#times[0]
  }

  push(time: number, seq: number): void {
    let at = this.#times.length
    this.#times.push(time)
    this.#seqs.push(seq)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#before(at, parent)) break
      this.#swap(at, parent)
      at = parent
    }
  }

  /** Takes out the earliest if its time has come. Of equal times the lower number comes first. */
  pop(now: number): number | undefined {
    if (this.#times.length === 0 || this.#times[0]! > now) return undefined
    const seq = this.#seqs[0]!
    const time = this.#times.pop()!
    const last = this.#seqs.pop()!
    if (this.#times.length > 0) {
      this.#times[0] = time
      this.#seqs[0] = last
      this.#sink()
    }
    return seq
  }

  /** Starts over with these. */
  reset(entries: Iterable<readonly [seq: number, time: number]>): void {
    this.#times.length = this.#seqs.length = 0
    for (const [seq, time] of entries) this.push(time, seq)
  }

  #sink(): void {
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      if (left >= this.#times.length) return
      const right = left + 1
      const child = right < this.#times.length && this.#before(right, left) ? right : left
      if (!this.#before(child, at)) return
      this.#swap(at, child)
      at = child
    }
  }

  #before(a: number, b: number): boolean {
    const difference = this.#times[a]! - this.#times[b]!
    return difference < 0 || (difference === 0 && this.#seqs[a]! < this.#seqs[b]!)
  }

  #swap(a: number, b: number): void {
    const time = this.#times[a]!
    const seq = this.#seqs[a]!
    this.#times[a] = this.#times[b]!
    this.#seqs[a] = this.#seqs[b]!
    this.#times[b] = time
    this.#seqs[b] = seq
  }
}

/** A list that grows at its end and is read from anywhere; its oldest part can be let go. */
export class Lane {
  #chunks: Float64Array[] = []
  /** Index of the first item of the first chunk. */
  #base = 0
  #end = 0

  /** The index behind the last item. */
  get end(): number {
    return this.#end
  }

  /** The index of the oldest item that is still held. */
  get start(): number {
    return this.#base
  }

  push(seq: number): void {
    const at = this.#end - this.#base
    const chunk = Math.floor(at / LANE_CHUNK)
    this.#chunks[chunk] ??= new Float64Array(LANE_CHUNK)
    this.#chunks[chunk]![at % LANE_CHUNK] = seq
    this.#end++
  }

  get(index: number): number {
    const at = index - this.#base
    return this.#chunks[Math.floor(at / LANE_CHUNK)]![at % LANE_CHUNK]!
  }

  /** Lets go of what lies before an index, in whole chunks. */
  forget(index: number): void {
    const chunks = Math.floor((Math.min(index, this.#end) - this.#base) / LANE_CHUNK)
    if (chunks <= 0) return
    this.#chunks = this.#chunks.slice(chunks)
    this.#base += chunks * LANE_CHUNK
  }
}

const LANE_CHUNK = 4_096
