/** Where an actor is reached: `service/orders.create`, `channel/http/public`; with a key `service/account#42`. */
import { SignalboxError } from '../errors.ts'

/** `kind/name` or `kind/name#key`. */
export type Address = string

const SHAPE = /^[a-z][a-z0-9]*(?:\/[A-Za-z0-9_.$:-]+)+$/
const MAX_LENGTH = 512

/** The address without its key: where the keyed actors of one kind are found. */
export function baseOf(address: Address): Address {
  const hash = address.indexOf('#')
  return hash < 0 ? address : address.slice(0, hash)
}

/** The key of a keyed address; undefined when it has none. */
export function keyOf(address: Address): string | undefined {
  const hash = address.indexOf('#')
  return hash < 0 ? undefined : address.slice(hash + 1)
}

/**
 * Checks an address: a lower-case kind, a slash, a name of letters, digits and `_ . $ : -` in parts divided by
 * slashes, and after `#` any key. At most 512 characters. Throws SIGNALBOX_ADDRESS_INVALID.
 */
export function checkAddress(address: Address): Address {
  if (typeof address === 'string' && address.length <= MAX_LENGTH && SHAPE.test(baseOf(address)))
    return address
  const shown = typeof address === 'string' ? address.slice(0, 80) : typeof address
  throw new SignalboxError(
    'SIGNALBOX_ADDRESS_INVALID',
    `'${shown}' is not an address: kind/name or kind/name#key`,
  )
}
