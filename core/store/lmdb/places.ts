/** Where things are in the environment: one ordered map, its keys beginning with a letter for what they hold. */

const SEPARATOR = 0

/** A record: `r`, collection, NUL, key; with the beginning of a key, where such records begin. Neither part can hold a NUL. */
export function recordPlace(collection: string, key: string): Buffer {
  return Buffer.from(`r${collection}\0${key}`)
}

/** An entry of a log: `l`, log, NUL, position in 8 bytes, so that order is that of the positions. */
export function entryPlace(log: string, position: number): Buffer {
  const place = Buffer.alloc(log.length + 10)
  place.write(`l${log}`)
  place.writeBigUInt64BE(BigInt(position), log.length + 2)
  return place
}

/** The last position of a log. */
export function lastPlace(log: string): Buffer {
  return Buffer.from(`p${log}`)
}

/** What the store says of itself: its version and its last revision. */
export const META_PLACE = Buffer.from('m')

/** The smallest key behind all keys that begin with `prefix`. UTF-8 has no byte 0xff, and names are UTF-8. */
export function behind(prefix: Buffer): Buffer {
  return Buffer.concat([prefix, Buffer.from([0xff])])
}

/** The part of a record's key behind the NUL. */
export function keyOf(place: Buffer): string {
  return place.toString('utf8', place.indexOf(SEPARATOR) + 1)
}

/** A place for people. */
export function describe(place: Buffer): string {
  const separator = place.indexOf(SEPARATOR)
  const name = place.toString('utf8', 1, separator < 0 ? undefined : separator)
  const kind = place.toString('latin1', 0, 1)
  if (kind === 'r' && separator > 0) return `record ${name}/${keyOf(place)}`
  if (kind === 'l' && place.length === name.length + 10) {
    return `entry ${place.readBigUInt64BE(separator + 1)} of log ${name}`
  }
  if (kind === 'p') return `position of log ${name}`
  return kind === 'm' ? 'head of the store' : `unknown key ${place.toString('hex').slice(0, 80)}`
}
