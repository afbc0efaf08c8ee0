/** Records of recent messages: who consumes soon after somebody published needs no disk. The oldest goes first. */
export class ContentCache {
  readonly #records = new Map<number, Buffer>()
  readonly #maxBytes: number
  #bytes = 0
  /** Goes on where it was: a new one would pass by everything that has been deleted. */
  #oldest: Iterator<number> | undefined

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get(seq: number): Buffer | undefined {
    return this.#records.get(seq)
  }

  put(seq: number, record: Buffer): void {
    // One big message must not drive all others out.
    if (record.length * 4 > this.#maxBytes) return
    this.delete(seq)
    this.#records.set(seq, record)
    this.#bytes += record.length
    while (this.#bytes > this.#maxBytes) {
      this.#oldest ??= this.#records.keys()
      const { value, done } = this.#oldest.next()
      if (done) this.#oldest = undefined
      else this.delete(value)
    }
  }

  delete(seq: number): void {
    const record = this.#records.get(seq)
    if (record === undefined) return
    this.#records.delete(seq)
    this.#bytes -= record.length
  }
}
