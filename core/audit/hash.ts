/** Hashes of names and correlation ids, and the filters that say of a piece of the log what is surely not in it. */

const OFFSET = 0x811c9dc5
const PRIME = 0x01000193
const BITS_PER_ITEM = 10
const PROBES = 7

/** FNV-1a over the UTF-16 units of a text, 32 bits. */
export function hashOf(text: string): number {
  let hash = OFFSET
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), PRIME)
  return hash >>> 0
}

/** A Bloom filter of hashes: about one wrong `yes` in a hundred, never a wrong `no`. */
export class Bloom {
  readonly #bits: Uint32Array

  constructor(hashes: ReadonlySet<number>) {
    const words = Math.max(1, Math.ceil((hashes.size * BITS_PER_ITEM) / 32))
    this.#bits = new Uint32Array(words)
    for (const hash of hashes) {
      this.#each(hash, (word, mask) => {
        this.#bits[word]! |= mask
        return true
      })
    }
  }

  get bytes(): number {
    return this.#bits.byteLength
  }

  mayHave(hash: number): boolean {
    return this.#each(hash, (word, mask) => (this.#bits[word]! & mask) !== 0)
  }

  /** Double hashing (Kirsch and Mitzenmacher). False as soon as `test` is. */
  #each(hash: number, test: (word: number, mask: number) => boolean): boolean {
    const size = this.#bits.length * 32
    const step = (mix(hash) | 1) >>> 0
    let at = hash
    for (let i = 0; i < PROBES; i++) {
      const bit = at % size
      if (!test(bit >>> 5, 1 << (bit & 31))) return false
      at = (at + step) >>> 0
    }
    return true
  }
}

/** The finalizer of MurmurHash3. */
function mix(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
