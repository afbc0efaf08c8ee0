/** What the tests of the segment formats share. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SignalboxError } from '../../errors.ts'
import type { FormatCodec } from '../format.ts'

export const LIMITS = { maxDepth: 64 }

export function parse(
  codec: FormatCodec<never>,
  body: string | Buffer,
  options?: object,
  limits = LIMITS,
): never {
  return codec.parse(Buffer.from(body as string), limits, options as never) as never
}

/** The error of a refused body or value, whose code must be the expected one. */
export function refusal(code: string, run: () => unknown): SignalboxError {
  try {
    run()
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${error}`)
    assert.equal(error.code, code, error.message)
    return error
  } finally {
    assert.equal(({} as Record<string, unknown>).polluted, undefined)
  }
  return assert.fail('accepted')
}

/** The records of a body that comes in pieces, cut at the given places. */
export async function records(
  codec: FormatCodec<never>,
  body: Buffer,
  cuts: number[],
  options: object = {},
  limits = LIMITS,
): Promise<unknown[]> {
  const list: unknown[] = []
  for await (const record of codec.split!(pieces(body, cuts), limits, options as never)) list.push(record)
  return list
}

export function pieces(body: Buffer, cuts: number[]): Buffer[] {
  const places = [...new Set([0, ...cuts.map(cut => cut % (body.length + 1)), body.length])].sort(
    (a, b) => a - b,
  )
  return places.slice(1).map((end, i) => body.subarray(places[i]!, end))
}

/** The body of records. */
export async function body(
  codec: FormatCodec<never>,
  list: unknown[],
  options: object = {},
): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const piece of codec.join!(list, options as never)) all.push(Buffer.from(piece as string))
  return Buffer.concat(all)
}

/** Texts with everything that could be taken for structure. */
export function hostileText(delimiters: string, minLength = 0): fc.Arbitrary<string> {
  const unit = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...delimiters) },
    { weight: 1, arbitrary: fc.constantFrom('\r', '\n', ' ', '"', 'UNT', 'MSH', 'SE', '__proto__', '\0') },
    { weight: 2, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }) },
  )
  return fc.array(unit, { minLength, maxLength: 6 }).map(list => list.join(''))
}

/** Bodies that are nearly right: pieces replaced, doubled, left out. */
export function mutated(bodies: Buffer[]): fc.Arbitrary<Buffer> {
  const edit = fc.tuple(fc.nat(), fc.nat(40), fc.uint8Array({ maxLength: 8 }), fc.boolean())
  return fc
    .tuple(fc.constantFrom(...bodies), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([whole, edits]) =>
      edits.reduce((bytes, [place, length, junk, double]) => {
        const at = place % (bytes.length + 1)
        const middle = double ? Buffer.concat([bytes.subarray(at, at + length), junk]) : Buffer.from(junk)
        return Buffer.concat([bytes.subarray(0, at), middle, bytes.subarray(double ? at : at + length)])
      }, whole),
    )
}

/** Whatever the bytes are: a value, or a typed error that says where; the same from a stream. */
export async function survives(codec: FormatCodec<never>, bytes: Buffer, options: object): Promise<void> {
  const whole = outcome(() => parse(codec, bytes, options))
  if (whole.error) place(whole.error)
  try {
    for await (const _ of codec.split!([bytes], LIMITS, options as never)) assert.ok(_)
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${error}`)
    place(error)
  }
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
}

function outcome(run: () => unknown): { value?: unknown; error?: SignalboxError } {
  try {
    return { value: run() }
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${error}`)
    return { error }
  }
}

function place({ code, details, message }: SignalboxError): void {
  if (code !== 'SIGNALBOX_FORMAT_INVALID') return
  const { line, column, segment } = details as Record<string, number>
  assert.ok(line! >= 1 && column! >= 1 && segment! >= 1, message)
}
