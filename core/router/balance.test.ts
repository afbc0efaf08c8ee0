import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { rendezvous } from './balance.ts'
import { isClient, nodeOf, placeOf, placeOfClient, slotOf } from './place.ts'

const KEYS = Array.from({ length: 8_000 }, (_, i) => `customer-${i}`)
const PLACES = Array.from({ length: 8 }, (_, i) => placeOf(`n${i >> 1}`, i & 1, 1))

test('a key moves only from a place that goes and only to a place that comes', () => {
  const before = KEYS.map(key => rendezvous(key, PLACES))
  const without = PLACES.filter(place => place !== PLACES[3])
  KEYS.forEach((key, i) => {
    const now = rendezvous(key, without)
    if (before[i] !== PLACES[3]) assert.equal(now, before[i])
  })
})

test('the keys spread evenly', () => {
  const counts = new Map<string | undefined, number>()
  for (const key of KEYS) counts.set(rendezvous(key, PLACES), (counts.get(rendezvous(key, PLACES)) ?? 0) + 1)
  assert.equal(counts.size, PLACES.length)
  for (const [place, count] of counts) assert.ok(Math.abs(count - 1_000) < 150, `${place}: ${count}`)
})

test('property: neither the incarnation of a place nor the order of the places moves a key', () => {
  fc.assert(
    fc.property(
      fc.string(),
      fc.shuffledSubarray(PLACES, { minLength: 1 }),
      fc.nat(9),
      (key, places, incarnation) => {
        const chosen = rendezvous(key, places)!
        const replaced = places.map(place => `${slotOf(place)}:${incarnation}`)
        assert.equal(slotOf(rendezvous(key, replaced)!), slotOf(chosen))
        assert.equal(rendezvous(key, places.toReversed()), chosen)
      },
    ),
  )
  assert.equal(rendezvous('key', []), undefined)
})

test('places are of nodes or of clients', () => {
  assert.deepEqual([nodeOf('n1/0:3'), slotOf('n1/0:3')], ['n1', 'n1/0'])
  assert.equal(nodeOf(placeOfClient('client/app/x1')), 'client/app/x1')
  assert.ok(isClient(placeOfClient('client/app/x1')))
  // A node may have this name.
  assert.ok(!isClient(placeOf('client', 0, 1)))
})
