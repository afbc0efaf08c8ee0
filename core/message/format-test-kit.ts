/** What tests of formats share: pieces of any size, and errors that must be typed. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SignalboxError } from '../errors.ts'
import type { BodyLimits, FormatCodec } from './format.ts'

export const LIMITS: BodyLimits = { maxDepth: 64 }

/** Cuts bytes into pieces whose sizes repeat. */
export function* pieces(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length] ?? 1)
    yield bytes.subarray(at, at + size)
    at += size
  }
}

/** Sizes of pieces, from single bytes up. */
export const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 400 })), {
  minLength: 1,
  maxLength: 6,
})

/** What `split` gives, and the error that ended it. */
export async function splitAll<Options extends object>(
  codec: FormatCodec<Options>,
  bytes: Buffer,
  cut: readonly number[],
  options?: Options,
  limits = LIMITS,
): Promise<{ records: unknown[]; error: SignalboxError | undefined }> {
  const records: unknown[] = []
  try {
    for await (const record of codec.split!(pieces(bytes, cut), limits, options)) records.push(record)
    return { records, error: undefined }
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${(error as Error).stack}`)
    return { records, error }
  }
}

/** Everything that `join` writes. */
export async function joinAll<Options extends object>(
  codec: FormatCodec<Options>,
  records: Iterable<unknown>,
  options?: Options,
): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of codec.join!(records, options)) parts.push(Buffer.from(part as string))
  return Buffer.concat(parts)
}

export function bytesOf(built: string | Buffer): Buffer {
  return Buffer.from(built as string)
}

/** What `parse` gives or the typed error that it throws. */
export function tryParse<Options extends object>(
  codec: FormatCodec<Options>,
  bytes: Buffer,
  options?: Options,
  limits = LIMITS,
): { value: unknown; error: SignalboxError | undefined } {
  try {
    return { value: codec.parse(bytes, limits, options), error: undefined }
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${(error as Error).stack}`)
    return { value: undefined, error }
  } finally {
    assert.equal(({} as Record<string, unknown>).polluted, undefined)
  }
}

/** The error of a refused body, whose code must be the expected one. */
export function refusal<Options extends object>(
  codec: FormatCodec<Options>,
  body: string | Buffer,
  code: string,
  options?: Options,
  limits = LIMITS,
): SignalboxError {
  const { error } = tryParse(codec, bytesOf(body), options, limits)
  assert.ok(error, `accepted: ${String(body).slice(0, 80)}`)
  assert.equal(error.code, code, error.message)
  return error
}

/** Bytes that are nearly right: a text with some bytes changed, taken out or put in. */
export function mutated(text: fc.Arbitrary<string>): fc.Arbitrary<Buffer> {
  const change = fc.record({ at: fc.nat(), byte: fc.nat(255), kind: fc.constantFrom('set', 'cut', 'put') })
  return fc.tuple(text, fc.array(change, { maxLength: 4 })).map(([start, changes]) => {
    let bytes = Buffer.from(start)
    for (const { at, byte, kind } of changes) {
      const place = bytes.length === 0 ? 0 : at % bytes.length
      const after = bytes.subarray(kind === 'put' ? place : place + 1)
      bytes = Buffer.concat([bytes.subarray(0, place), Buffer.from(kind === 'cut' ? [] : [byte]), after])
    }
    return bytes
  })
}
