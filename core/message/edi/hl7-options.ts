import { type Static, Type } from '../../schema.ts'
import { CHARSETS, type CharsetName } from './charset.ts'

const DEFAULT_MAX_SEGMENT_BYTES = 16 * 1024 * 1024

export const HL7_OPTIONS = Type.Object(
  {
    by: Type.Union([Type.Literal('message'), Type.Literal('segment')], {
      default: 'message',
      description: 'What a record of a stream is: a body of one message, or a segment',
    }),
    strict: Type.Boolean({
      default: true,
      description: 'Refuse a batch whose counts do not match; without, they are listed in `problems`',
    }),
    charset: Type.Unsafe<CharsetName | 'auto'>({
      type: 'string',
      enum: ['auto', ...CHARSETS],
      default: 'auto',
      description: 'Character set; auto: the one that MSH-18 names, UTF-8 when it names none',
    }),
    group: Type.Union([Type.Boolean(), Type.Record(Type.String(), Type.String())], {
      default: false,
      description:
        'Group the segments of messages: true with the built-in structures, or more structures by message structure',
    }),
    segmentEnd: Type.Union([Type.Literal('cr'), Type.Literal('lf'), Type.Literal('crlf')], {
      default: 'cr',
      description: 'What is written after each segment; the standard says cr. All are read',
    }),
    maxSegmentBytes: Type.Integer({
      minimum: 128,
      default: DEFAULT_MAX_SEGMENT_BYTES,
      description: 'Longest segment, in bytes',
    }),
  },
  { additionalProperties: false },
)

export type Hl7Options = Static<typeof HL7_OPTIONS>

export const DEFAULT_HL7_OPTIONS: Hl7Options = {
  by: 'message',
  strict: true,
  charset: 'auto',
  group: false,
  segmentEnd: 'cr',
  maxSegmentBytes: DEFAULT_MAX_SEGMENT_BYTES,
}
