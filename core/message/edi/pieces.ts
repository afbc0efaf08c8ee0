/** Bodies in pieces, as writers give them. */
/** What bodies are written by: what was written so far is taken in pieces. */
export interface RecordWriter {
  /** A whole record; `path` is where it stands, for errors. */
  record(value: unknown, path: string): void
  segment(value: unknown, path: string): void
  end(): void
  take(): (string | Buffer)[]
}

/** Writes records, or segments, one after the other as they come. */
export async function* joinRecords(
  writer: RecordWriter,
  by: 'message' | 'segment',
  records: AsyncIterable<unknown> | Iterable<unknown>,
): AsyncGenerator<string | Buffer, void> {
  let index = 0
  for await (const record of records) {
    const path = `[${index++}]`
    if (by === 'segment') writer.segment(record, path)
    else writer.record(record, path)
    yield* writer.take()
  }
  writer.end()
  yield* writer.take()
}

/** One body of all pieces: a text, or bytes when some piece is. */
export function joined(pieces: (string | Buffer)[]): string | Buffer {
  if (pieces.every(piece => typeof piece === 'string')) return pieces.join('')
  return Buffer.concat(pieces.map(piece => (typeof piece === 'string' ? Buffer.from(piece) : piece)))
}
