/** What a program outside the bus may do over its link. Everything it says is hostile until it was looked at. */
import type { Address } from '../actor/address.ts'
import type { MessageContext } from '../actor/envelope.ts'
import { malformed } from './wire.ts'

export interface Guest {
  /** What it may reach. */
  accepts(address: Address): boolean
  /** Who it is to those it reaches, whatever it says itself. */
  origin: unknown
}

/** Actors that one guest may watch at the same time. */
export const MAX_GUEST_WATCHES = 10_000
const MAX_HEADERS = 1_000

/** The context of a guest's message. Throws SIGNALBOX_CODEC_MALFORMED for one that is not of the right types. */
export function guestContext(given: unknown, guest: Guest): MessageContext {
  if (given === null) return { origin: guest.origin }
  if (typeof given !== 'object') throw malformed('a context that is no object')
  const { cid, headers, trace } = given as Record<string, unknown>
  if (!isText(cid) || !isText(trace)) throw malformed('a context with a cid or trace that is no text')
  return { cid, trace, headers: headersOf(headers), origin: guest.origin }
}

function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string'
}

function headersOf(given: unknown): Record<string, string> | undefined {
  if (given === undefined) return undefined
  const proto: unknown = typeof given === 'object' && given !== null && Object.getPrototypeOf(given)
  if (proto !== Object.prototype && proto !== null) throw malformed('headers that are no plain object')
  const values = Object.values(given as object)
  if (values.length > MAX_HEADERS || !values.every(value => typeof value === 'string')) {
    throw malformed('headers that are not all text, or too many')
  }
  return given as Record<string, string>
}
