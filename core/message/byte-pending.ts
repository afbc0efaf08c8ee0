/** Bytes of one record that has not ended yet. */
export class PendingBytes {
  #pieces: Buffer[] = []
  /** Small pieces are copied together, so that a record that comes byte by byte is not a million buffers. */
  #tail = Buffer.alloc(0)
  #used = 0
  length = 0

  add(piece: Buffer): void {
    if (piece.length === 0) return
    this.length += piece.length
    if (piece.length > SMALL) {
      this.#close()
      this.#pieces.push(piece)
      return
    }
    if (this.#used + piece.length > this.#tail.length) {
      this.#close()
      this.#tail = Buffer.allocUnsafe(BLOCK)
    }
    this.#used += piece.copy(this.#tail, this.#used)
  }

  /** The whole, with a last piece; afterwards nothing is pending. */
  take(last: Buffer): Buffer {
    if (this.length === 0) return last
    this.#close()
    this.#pieces.push(last)
    const bytes = Buffer.concat(this.#pieces)
    this.#pieces = []
    this.length = 0
    return bytes
  }

  #close(): void {
    if (this.#used > 0) this.#pieces.push(this.#tail.subarray(0, this.#used))
    this.#tail = this.#tail.subarray(this.#used)
    this.#used = 0
  }
}

const SMALL = 1024
const BLOCK = 16 * 1024
