/** Records of recent messages: who consumes soon after somebody published needs no disk. The oldest goes first. */
export class ContentCache {
  readonly #records = new Map<number, Buffer>()
  readonly #maxBytes: number
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get(seq: number): Buffer | undefined {
    return this.#records.get(seq)
  }

  put(seq: number, record: Buffer): void {
    // One big message must not drive all others out.
    if (record.length * 4 > this.#maxBytes) return
    this.#records.set(seq, record)
    this.#bytes += record.length
    if (this.#bytes <= this.#maxBytes) return
    for (const oldest of this.#records.keys()) {
      this.delete(oldest)
      if (this.#bytes <= this.#maxBytes) return
    }
  }

  delete(seq: number): void {
    const record = this.#records.get(seq)
    if (record === undefined) return
    this.#records.delete(seq)
    this.#bytes -= record.length
  }
}
