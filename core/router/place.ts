/** Where actors live: a worker of a node in one incarnation, `node/slot:incarnation`, e.g. `n1/0:3`. */

/** A worker that was replaced is another place, so that nothing meant for the old one reaches the new. */
export type Place = string

export function placeOf(node: string, slot: number, incarnation: number): Place {
  return `${node}/${slot}:${incarnation}`
}

/** The place without its incarnation: what stays the same when a worker is replaced. */
export function slotOf(place: Place): string {
  const colon = place.lastIndexOf(':')
  return colon < 0 ? place : place.slice(0, colon)
}

/** The node (or client) a place belongs to. */
export function nodeOf(place: Place): string {
  const slash = place.lastIndexOf('/')
  return slash < 0 ? place : place.slice(0, slash)
}

/** The place of a program outside the bus, by the id of its connection (`client/<name>/<random>`): it has one only. */
export function placeOfClient(id: string): Place {
  return placeOf(id, 0, 1)
}

/** Whether a place is that of a program outside the bus. */
export function isClient(place: Place): boolean {
  return nodeOf(place).startsWith('client/')
}
