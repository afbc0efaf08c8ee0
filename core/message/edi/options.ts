/** Options that EDIFACT and X12 share. */
import { type Static, Type } from '../../schema.ts'
import { CHARSETS, type CharsetName } from './charset.ts'

const KIB = 1024
export const DEFAULT_MAX_SEGMENT_BYTES = 1024 * KIB
export const DEFAULT_MAX_PACKAGE_BYTES = 16 * 1024 * KIB

const ediOptions = {
  by: Type.Union([Type.Literal('message'), Type.Literal('segment')], {
    default: 'message',
    description:
      'What a record of a stream is: an interchange of one message, or a segment, the service segments among them',
  }),
  strict: Type.Boolean({
    default: true,
    description:
      'Refuse an interchange whose counts or references do not match; without, they are listed in `problems`',
  }),
  charset: Type.Unsafe<CharsetName | 'auto'>({
    type: 'string',
    enum: ['auto', ...CHARSETS],
    default: 'auto',
    description: 'Character set; auto: the one that the interchange names, in X12 UTF-8',
  }),
  group: Type.Union([Type.Boolean(), Type.Record(Type.String(), Type.String())], {
    default: false,
    description:
      'Group the segments of messages: true with the built-in structures, or more structures by message type',
  }),
  lineBreaks: Type.Boolean({ default: false, description: 'Write a line break after each segment' }),
  maxSegmentBytes: Type.Integer({
    minimum: 128,
    default: DEFAULT_MAX_SEGMENT_BYTES,
    description: 'Longest segment, in bytes',
  }),
}

export const X12_OPTIONS = Type.Object(ediOptions, { additionalProperties: false })

export const EDIFACT_OPTIONS = Type.Object(
  {
    ...ediOptions,
    maxPackageBytes: Type.Integer({
      minimum: 0,
      default: DEFAULT_MAX_PACKAGE_BYTES,
      description: 'Largest object between UNO and UNP, in bytes',
    }),
  },
  { additionalProperties: false },
)

export type EdiReadOptions = Static<typeof EDIFACT_OPTIONS>

export const DEFAULT_EDI_OPTIONS: EdiReadOptions = {
  by: 'message',
  strict: true,
  charset: 'auto',
  group: false,
  lineBreaks: false,
  maxSegmentBytes: DEFAULT_MAX_SEGMENT_BYTES,
  maxPackageBytes: DEFAULT_MAX_PACKAGE_BYTES,
}
