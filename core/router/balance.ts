/** Which of several places gets the next message. */
import { type Place, slotOf } from './place.ts'

/**
 * `localFirst`: this worker, then this node, then in turn. `roundRobin`: in turn over all. `leastBusy`: where
 * this sender has the fewest messages under way. `keyed`: the same key always to the same place.
 */
export type Balance = (typeof BALANCES)[number]

export const BALANCES = ['localFirst', 'roundRobin', 'leastBusy', 'keyed'] as const

/**
 * Rendezvous hashing (highest random weight): when a place comes or goes, only the keys that it gains or loses
 * move. The incarnation does not count: a replaced worker keeps its keys.
 */
export function rendezvous(key: string, places: readonly Place[]): Place | undefined {
  let best: Place | undefined
  let bestScore = -1
  for (const place of places) {
    const score = hash(key, slotOf(place))
    if (score > bestScore || (score === bestScore && place > best!)) {
      best = place
      bestScore = score
    }
  }
  return best
}

/** FNV-1a over both, then the finaliser of MurmurHash3: FNV alone spreads keys that differ at the end badly. */
function hash(key: string, place: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < place.length; i++) h = Math.imul(h ^ place.charCodeAt(i), 0x01000193)
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
