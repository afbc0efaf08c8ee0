/** What a format is: one small value for each, listed in `formats.ts`. */
import type { TSchema } from 'typebox'

/** What a body may ask for. */
export interface BodyLimits {
  /** How deep values may be nested. */
  maxDepth: number
  /** How many values (elements, fields, members) there may be. Default 1,000,000; for forms 10,000. */
  maxElements?: number
  /**
   * The largest record (row, line, element, document) of a format that has records, also in `split`. In text formats
   * it counts UTF-16 code units, of which a text never has more than bytes. Default 8 MiB.
   */
  maxRecordBytes?: number
  /** The longest line of a text that is split into lines, counted likewise. Default 1 MiB. */
  maxLineBytes?: number
  /** How many columns a table may have. Default 10,000. */
  maxColumns?: number
}

/**
 * How bodies of one format are read and written. Formats that have records (rows, elements, segments, messages)
 * also read and write them as streams, so that a body may be larger than memory: what is held at any time is the
 * largest record, never the body.
 */
export interface FormatCodec<Options extends object = object> {
  /** Media types, without parameters, in lower case; the first is the one that is sent. */
  readonly mediaTypes: readonly [string, ...string[]]
  /** Structured syntax suffix (RFC 6839), such as `+json`. */
  readonly suffix?: string
  /** Schema of the options, when the format has any. All have defaults, unless the format means nothing without. */
  readonly options?: TSchema
  /** Throws SIGNALBOX_FORMAT_INVALID (details `line` and `column`, or `offset` in binary ones) or SIGNALBOX_FORMAT_LIMIT. */
  parse(bytes: Buffer, limits: BodyLimits, options?: Options): unknown
  /** Throws SIGNALBOX_CODEC_UNENCODABLE. */
  build(value: unknown, options?: Options): string | Buffer
  /**
   * Reads record by record, as `parse` gives them. `limits` hold for each record. Throws as `parse` does, at the
   * record that is wrong; the records before it have been given. Ending the iteration early ends the source.
   */
  split?(source: ByteSource, limits: BodyLimits, options?: Options): AsyncIterable<unknown>
  /** Writes record by record, with what goes before, between and after them. Throws as `build` does. */
  join?(
    records: AsyncIterable<unknown> | Iterable<unknown>,
    options?: Options,
  ): AsyncIterable<string | Buffer>
}

/** Bytes in pieces of any size: a Node.js stream, a file, a body. */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

export const DEFAULT_MAX_ELEMENTS = 1_000_000
export const DEFAULT_MAX_RECORD_BYTES = 8 * 1024 * 1024
export const DEFAULT_MAX_LINE_BYTES = 1024 * 1024
export const DEFAULT_MAX_COLUMNS = 10_000
