/** A set of message numbers, a bit for each. */

const CHUNK_BITS = 65_536
const CHUNK_WORDS = CHUNK_BITS / 32

interface Chunk {
  /** Undefined: all of them. */
  words: Uint32Array | undefined
  count: number
}

export class SeqSet {
  readonly #chunks = new Map<number, Chunk>()
  /** Everything below is in the set. */
  #floor = 0

  has(seq: number): boolean {
    if (seq < this.#floor) return true
    const chunk = this.#chunks.get(Math.floor(seq / CHUNK_BITS))
    if (chunk === undefined) return false
    if (chunk.words === undefined) return true
    const bit = seq % CHUNK_BITS
    return (chunk.words[bit >>> 5]! & (1 << (bit & 31))) !== 0
  }

  /** False when it was there. */
  add(seq: number): boolean {
    if (seq < this.#floor) return false
    const number = Math.floor(seq / CHUNK_BITS)
    let chunk = this.#chunks.get(number)
    if (chunk === undefined) {
      chunk = { words: new Uint32Array(CHUNK_WORDS), count: 0 }
      this.#chunks.set(number, chunk)
    }
    if (chunk.words === undefined) return false
    const bit = seq % CHUNK_BITS
    const mask = 1 << (bit & 31)
    if ((chunk.words[bit >>> 5]! & mask) !== 0) return false
    chunk.words[bit >>> 5]! |= mask
    // A full chunk needs no bits.
    if (++chunk.count === CHUNK_BITS) chunk.words = undefined
    return true
  }

  delete(seq: number): void {
    if (!this.has(seq)) return
    if (seq < this.#floor) this.#lowerFloor(seq)
    const chunk = this.#chunks.get(Math.floor(seq / CHUNK_BITS))!
    chunk.words ??= new Uint32Array(CHUNK_WORDS).fill(0xffffffff)
    const bit = seq % CHUNK_BITS
    chunk.words[bit >>> 5]! &= ~(1 << (bit & 31))
    chunk.count--
  }

  /** Puts everything below into the set; costs no memory. */
  addBelow(seq: number): void {
    if (seq <= this.#floor) return
    const first = Math.floor(seq / CHUNK_BITS)
    for (const number of this.#chunks.keys()) if (number < first) this.#chunks.delete(number)
    for (let i = Math.max(this.#floor, first * CHUNK_BITS); i < seq; i++) this.add(i)
    this.#floor = seq
  }

  /** Takes everything from there on out of the set. */
  deleteFrom(seq: number): void {
    this.#floor = Math.min(this.#floor, seq)
    const first = Math.floor(seq / CHUNK_BITS)
    for (const number of this.#chunks.keys()) if (number > first) this.#chunks.delete(number)
    const chunk = this.#chunks.get(first)
    if (chunk === undefined) return
    const words = chunk.words ?? new Uint32Array(CHUNK_WORDS).fill(0xffffffff)
    const bit = seq % CHUNK_BITS
    words[bit >>> 5]! &= (1 << (bit & 31)) - 1
    words.fill(0, (bit >>> 5) + 1)
    chunk.words = words
    chunk.count = 0
    for (let i = 0; i <= bit >>> 5; i++) chunk.count += bitsOf(words[i]!)
  }

  addRanges(ranges: readonly (readonly [number, number])[]): void {
    for (const [first, last] of ranges) for (let seq = first; seq <= last; seq++) this.add(seq)
  }

  #lowerFloor(seq: number): void {
    const floor = this.#floor
    this.#floor = seq
    for (let i = seq; i < floor; i++) this.add(i)
  }
}

function bitsOf(word: number): number {
  let left = word - ((word >>> 1) & 0x55555555)
  left = (left & 0x33333333) + ((left >>> 2) & 0x33333333)
  return Math.imul((left + (left >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
