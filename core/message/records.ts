/** Records as streams: pieces of bytes go into a reader, records come out one by one. */
import type { Charset, CharsetDecoder } from './charset.ts'
import type { ByteSource } from './format.ts'

/** Finds records in pieces of a body. What it throws comes after the records that it has put into `out` before. */
export interface RecordReader<Piece> {
  push(piece: Piece, out: unknown[]): void
  /** The body has ended; the last record may end with it. */
  end(out: unknown[]): void
}

/** Larger pieces are cut, so that a body that comes in one piece is not decoded as a whole. */
const MAX_PIECE_BYTES = 32 * 1024

/** All records of a source, in memory that holds one piece and its records. */
export function recordsOf(
  source: ByteSource,
  open: () => RecordReader<Buffer>,
): AsyncIterableIterator<unknown> {
  return new Records(source, open)
}

/** A reader of text as a reader of bytes. A byte order mark is dropped. */
export function textReader(
  reader: RecordReader<string>,
  charset: Charset,
  what: string,
): RecordReader<Buffer> {
  return new DecodingReader(reader, charset.decoder(what))
}

class DecodingReader implements RecordReader<Buffer> {
  readonly #reader: RecordReader<string>
  readonly #decoder: CharsetDecoder
  #started = false

  constructor(reader: RecordReader<string>, decoder: CharsetDecoder) {
    this.#reader = reader
    this.#decoder = decoder
  }

  push(bytes: Buffer, out: unknown[]): void {
    this.#text(this.#decoder.write(bytes), out)
  }

  end(out: unknown[]): void {
    this.#text(this.#decoder.end(), out)
    this.#reader.end(out)
  }

  #text(decoded: string, out: unknown[]): void {
    let text = decoded
    if (!this.#started && text !== '') {
      this.#started = true
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1)
    }
    if (text !== '') this.#reader.push(text, out)
    if (this.#decoder.failure) throw this.#decoder.failure
  }
}

// Not a generator: a promise of its own for each record is most of what a small record costs.
class Records implements AsyncIterableIterator<unknown> {
  readonly #source: ByteSource
  readonly #open: () => RecordReader<Buffer>
  #reader: RecordReader<Buffer> | undefined
  #pieces: AsyncIterator<Uint8Array> | Iterator<Uint8Array> | undefined
  /** What of a large piece has not been read yet. */
  #rest: Buffer | undefined
  #batch: unknown[] = []
  #at = 0
  #loading: Promise<unknown> | undefined
  #failure: { error: unknown } | undefined
  #ended = false

  constructor(source: ByteSource, open: () => RecordReader<Buffer>) {
    this.#source = source
    this.#open = open
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#loading === undefined && this.#at < this.#batch.length) {
      return Promise.resolve({ done: false, value: this.#batch[this.#at++] })
    }
    const turn: Promise<IteratorResult<unknown, undefined>> = (this.#loading ?? Promise.resolve()).then(() =>
      this.#load(),
    )
    // The next call waits for this one, whatever comes of it.
    const settled: Promise<unknown> = turn.then(
      () => this.#loaded(settled),
      () => this.#loaded(settled),
    )
    this.#loading = settled
    return turn
  }

  async return(): Promise<IteratorResult<unknown, undefined>> {
    const wasOpen = !this.#ended
    this.#ended = true
    this.#batch = []
    this.#at = 0
    this.#failure = this.#rest = undefined
    if (wasOpen) await this.#pieces?.return?.()
    return { done: true, value: undefined }
  }

  #loaded(turn: Promise<unknown>): void {
    if (this.#loading === turn) this.#loading = undefined
  }

  async #load(): Promise<IteratorResult<unknown, undefined>> {
    for (;;) {
      if (this.#at < this.#batch.length) return { done: false, value: this.#batch[this.#at++] }
      if (this.#failure) {
        const { error } = this.#failure
        await this.return()
        throw error
      }
      if (this.#ended) return { done: true, value: undefined }
      this.#batch = []
      this.#at = 0
      try {
        const reading = this.#read()
        if (reading) await reading
      } catch (error) {
        // The source failed, so there is nothing of it to end.
        this.#ended = true
        throw error
      }
    }
  }

  /** Reads one piece; a promise only if it has to be waited for, as many small pieces would cost one each. */
  #read(): Promise<void> | undefined {
    if (this.#rest) {
      this.#take(this.#rest)
      return undefined
    }
    const source = this.#source
    if (Symbol.asyncIterator in source) return this.#wait(source)
    this.#pieces ??= source[Symbol.iterator]()
    this.#takeResult(this.#pieces.next() as IteratorResult<Uint8Array>)
    return undefined
  }

  async #wait(source: AsyncIterable<Uint8Array>): Promise<void> {
    this.#pieces ??= source[Symbol.asyncIterator]()
    const result = await this.#pieces.next()
    // The reader of the records may have gone away meanwhile.
    if (!this.#ended) this.#takeResult(result)
  }

  #takeResult({ done, value }: IteratorResult<Uint8Array>): void {
    if (done) this.#take(undefined)
    else if (Buffer.isBuffer(value)) this.#take(value)
    else this.#take(Buffer.from(value.buffer, value.byteOffset, value.byteLength))
  }

  /** The records before an error are given before it. */
  #take(piece: Buffer | undefined): void {
    try {
      this.#reader ??= this.#open()
      if (piece === undefined) {
        this.#ended = true
        this.#reader.end(this.#batch)
      } else {
        this.#rest = piece.length > MAX_PIECE_BYTES ? piece.subarray(MAX_PIECE_BYTES) : undefined
        this.#reader.push(this.#rest ? piece.subarray(0, MAX_PIECE_BYTES) : piece, this.#batch)
      }
    } catch (error) {
      this.#failure = { error }
    }
  }
}

/** Pieces of one record that has not ended yet. */
export class Pending {
  #pieces: string[] = []
  length = 0

  add(piece: string): void {
    if (piece === '') return
    this.#pieces.push(piece)
    this.length += piece.length
  }

  /** The whole, with a last piece; afterwards nothing is pending. */
  take(last: string): string {
    if (this.length === 0) return last
    this.#pieces.push(last)
    const text = this.#pieces.join('')
    this.#pieces = []
    this.length = 0
    return text
  }
}
