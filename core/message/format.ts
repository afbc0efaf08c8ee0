/** What a format is: one small value for each, listed in `formats.ts`. */

/** What a body may ask for. */
export interface BodyLimits {
  /** How deep values may be nested. */
  maxDepth: number
  /** How many values (elements, fields, members) there may be. Default 1,000,000; for forms 10,000. */
  maxElements?: number
}

/** How bodies of one format are read and written. */
export interface FormatCodec {
  /** Media types, without parameters, in lower case; the first is the one that is sent. */
  readonly mediaTypes: readonly [string, ...string[]]
  /** Structured syntax suffix (RFC 6839), such as `+json`. */
  readonly suffix?: string
  /** Throws SIGNALBOX_FORMAT_INVALID or SIGNALBOX_FORMAT_LIMIT. */
  parse(bytes: Buffer, limits: BodyLimits): unknown
  /** Throws SIGNALBOX_CODEC_UNENCODABLE. */
  build(value: unknown): string | Buffer
}

export const DEFAULT_MAX_ELEMENTS = 1_000_000
