/** Random ids of traces and spans, cut from a pool of digits that is filled in one go. They are no secrets. */
import { randomBytes } from 'node:crypto'

const POOL_BYTES = 8_192
const TRACE_DIGITS = 32
const SPAN_DIGITS = 16

let pool = ''
let at = 0

/** 32 hexadecimal digits. */
export function newTraceId(): string {
  return digits(TRACE_DIGITS)
}

/** 16 hexadecimal digits. */
export function newSpanId(): string {
  return digits(SPAN_DIGITS)
}

function digits(count: number): string {
  if (at + count > pool.length) {
    pool = randomBytes(POOL_BYTES).toString('hex')
    at = 0
  }
  at += count
  return pool.slice(at - count, at)
}
