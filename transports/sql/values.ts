/** How values are read: exact, and the same for every database where that is possible. */
import type { DatabaseSettings } from './options.ts'

export type BigintMode = DatabaseSettings['values']['bigints']

/** A 64-bit integer from its text. */
export function integerFrom(text: string, mode: BigintMode): number | bigint | string {
  if (mode === 'string') return text
  if (mode === 'bigint') return BigInt(text)
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : BigInt(text)
}

/** A 64-bit integer from a bigint. */
export function integerOf(value: bigint, mode: BigintMode): number | bigint | string {
  if (mode === 'bigint') return value
  if (mode === 'string') return String(value)
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** The bytes, where a value is bytes. */
export function bytesIn(value: unknown): Buffer | undefined {
  if (Buffer.isBuffer(value)) return value
  if (!(value instanceof Uint8Array)) return undefined
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

/** Whether a value has members, and is no date and no bytes: databases get it as JSON. */
export function isJson(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Date) && !ArrayBuffer.isView(value)
}
