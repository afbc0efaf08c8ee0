/**
 * What keys there should be: their number and the exclusive or of their checksums. A record's own checksum finds a
 * value that was damaged; this finds a key that was, whose record would otherwise just be gone.
 */
import { crc32 } from 'node:zlib'

export class Inventory {
  #count: number
  #mixed: number

  constructor(count = 0, mixed = 0) {
    this.#count = count
    this.#mixed = mixed
  }

  added(place: Uint8Array): void {
    this.#count++
    this.#mixed ^= crc32(place)
  }

  removed(place: Uint8Array): void {
    this.#count--
    this.#mixed ^= crc32(place)
  }

  copy(): Inventory {
    return new Inventory(this.#count, this.#mixed)
  }

  toJSON(): [count: number, mixed: number] {
    return [this.#count, this.#mixed]
  }

  /** What differs from what was found, for people; undefined when nothing does. */
  difference(found: Inventory): string | undefined {
    if (found.#count === this.#count && found.#mixed === this.#mixed) return undefined
    if (found.#count === this.#count) return 'at least one key is not the one that was written'
    return `there are ${found.#count} keys instead of ${this.#count}`
  }
}
