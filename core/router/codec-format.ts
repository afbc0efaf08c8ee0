/**
 * The wire format of a batch, version 1. Numbers are big-endian, but float64 is little-endian.
 *
 * ```
 * body    = version u8, flags u8, 0 u16, sequence u32, dataBytes u32, data, text segment*
 * data    = length (of the batch), value*
 * segment = u32 (byteLength * 4 + kind), bytes            the characters of the strings, in the order of the data
 * length  = u8 below 0xfe | 0xfe u16 | 0xff u32
 * value   = one byte tag below, then what it says
 * ```
 *
 * A string in the data is only its length in UTF-16 units; its characters are the next ones of the text segments.
 * One conversion per segment of about a thousand characters costs less than one per string, keeps
 * lone surrogates, and a string that an actor keeps pins one segment, not the batch.
 *
 * A plain object is a record: the first object with its keys in this order defines a shape (the keys), later ones
 * name it. Shapes outlive the batch unless the next body has {@link FLAG_FRESH}. Objects that look like
 * dictionaries (many or long keys) and those past {@link MAX_SHAPES} carry their keys themselves.
 */

export const VERSION = 1
export const HEADER_BYTES = 12
/** The shapes of earlier bodies are forgotten before this one is read. */
export const FLAG_FRESH = 1

/** How deep arrays, objects, maps and sets may nest. */
export const MAX_DEPTH = 512
/** Shapes that a pair remembers at most. */
export const MAX_SHAPES = 512
/** An object with more keys than this is a dictionary and defines no shape. */
export const MAX_SHAPE_KEYS = 64
/** A key longer than this makes its object a dictionary. */
export const MAX_SHAPE_KEY_CHARS = 64
/** Holes that a sparse array may have. */
export const MAX_HOLES = 65_536

// 0x00-0x7f small integer; 0x80-0xbf string of 0-63; 0xc0-0xcf array of 0-15; 0xd0-0xef shape 0-31; then:
export const TAG_STRING = 0x80
export const TAG_ARRAY = 0xc0
export const TAG_SHAPE = 0xd0
export const TAG_NULL = 0xf0
export const TAG_UNDEFINED = 0xf1
export const TAG_FALSE = 0xf2
export const TAG_TRUE = 0xf3
/** -1 to -256 in one byte: `-1 - byte`. */
export const TAG_NEGATIVE = 0xf4
export const TAG_UINT16 = 0xf5
export const TAG_INT32 = 0xf6
export const TAG_FLOAT64 = 0xf7
export const TAG_LONG_STRING = 0xf8
export const TAG_LONG_ARRAY = 0xf9
export const TAG_LONG_SHAPE = 0xfa
/** Key count u8, keys as strings, then the values. The new shape gets the next number. */
export const TAG_DEFINE = 0xfb
/** length, then key (a string value) and value in turn. */
export const TAG_DICTIONARY = 0xfc
/** The same, with a null prototype. */
export const TAG_NULL_DICTIONARY = 0xfd
/** One more byte, `EXT_*`. */
export const TAG_EXTENDED = 0xfe
/** A missing element of a sparse array. */
export const TAG_HOLE = 0xff

export const EXT_BIGINT64 = 0
/** sign u8, length, magnitude. */
export const EXT_BIGINT = 1
/** Milliseconds since the epoch as float64; NaN is an invalid date. */
export const EXT_DATE = 2
/** source and flags as string values. */
export const EXT_REGEXP = 3
/** length, then key and value in turn. */
export const EXT_MAP = 4
/** length, then the members. */
export const EXT_SET = 5
/** name and message as string values, then the other fields as a dictionary. */
export const EXT_ERROR = 6
/** WireError as an object. */
export const EXT_BUS_ERROR = 7
/** kind u8 (index in {@link BYTES}), length, bytes. */
export const EXT_BYTES = 8
/** kind u8; the bytes are the next attachment. */
export const EXT_ATTACHMENT = 9

/** How the characters of a text segment are written. */
export const TEXT_ASCII = 0
export const TEXT_UTF8 = 1
/** UTF-16 little-endian, for text with lone surrogates. */
export const TEXT_UTF16 = 2

/** What binary data can be on this side; the index is its kind on the wire. */
export const BYTES = [
  Buffer,
  Uint8Array,
  ArrayBuffer,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
  ...('Float16Array' in globalThis
    ? [Reflect.get(globalThis, 'Float16Array') as unknown as Float32ArrayConstructor]
    : []),
] as const

/** The error classes that come back as themselves; others come back as Error with their name. */
export const ERROR_CLASSES: ReadonlyMap<string, new (message?: string) => Error> = new Map(
  [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map(
    kind => [kind.name, kind as new (message?: string) => Error] as const,
  ),
)
