import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BALANCES } from './balance.ts'
import { Directory, type DirectoryChange, placesOn } from './directory.ts'
import { nodeOf } from './place.ts'

const address = fc.constantFrom('service/a', 'service/b', 'queue/c')

/** Changes as one node says them: of its own places only. */
function changesOf(node: string): fc.Arbitrary<DirectoryChange[]> {
  const place = fc.constantFrom(`${node}/0:1`, `${node}/1:1`, `${node}/1:2`)
  const change: fc.Arbitrary<DirectoryChange> = fc.oneof(
    fc.record({ address, place, balance: fc.constantFrom(...BALANCES) }).map(one => {
      return { type: 'add' as const, registrations: [one] }
    }),
    fc.record({ type: fc.constant('remove' as const), address, place }),
    fc.record({ type: fc.constant('leave' as const), place }),
    fc.constant({ type: 'leave' as const, node }),
  )
  return fc.array(change, { maxLength: 12 })
}

const shown = (directory: Directory) => ({
  list: directory.list().sort((a, b) => (a.address + a.place < b.address + b.place ? -1 : 1)),
  balances: ['service/a', 'service/b', 'queue/c'].map(one => directory.find(one)?.balance),
})

test('property: copies that hear the same of each node agree, however the news of the nodes are mixed', () => {
  fc.assert(
    fc.property(changesOf('n1'), changesOf('n2'), fc.infiniteStream(fc.boolean()), (one, two, coins) => {
      const first = new Directory()
      for (const change of [...one, ...two]) first.apply(change)
      const second = new Directory()
      const [left, right] = [[...one], [...two]]
      while (left.length + right.length > 0) {
        const from = right.length === 0 || (left.length > 0 && coins.next().value) ? left : right
        second.apply(from.shift()!)
      }
      assert.deepEqual(shown(first), shown(second))
    }),
  )
})

test('property: an entry has its places in order, once, and none of those that left', () => {
  fc.assert(
    fc.property(changesOf('n1'), changes => {
      const directory = new Directory()
      for (const change of changes) {
        directory.apply(change)
        for (const { address, places } of directory.list().map(({ address }) => directory.find(address)!)) {
          assert.deepEqual(places, [...new Set(places)].sort(), address)
          assert.ok(places.length > 0)
          if (change.type === 'leave')
            assert.ok(!places.some(place => place === change.place || nodeOf(place) === change.node))
        }
      }
    }),
  )
})

test('a keyed address is found by its base; what was before is remembered; the near places are of the node', () => {
  const directory = new Directory()
  const add = (place: string) =>
    directory.apply({ type: 'add', registrations: [{ address: 'service/a', place, balance: 'keyed' }] })
  add('n2/0:1')
  add('n1/0:1')
  const entry = directory.find('service/a#42')!
  assert.deepEqual([entry.places, entry.before], [['n1/0:1', 'n2/0:1'], ['n2/0:1']])
  assert.deepEqual(placesOn(entry, 'n1'), ['n1/0:1'])
  add('n1/1:1')
  assert.deepEqual(placesOn(entry, 'n1'), ['n1/0:1', 'n1/1:1'])
  assert.deepEqual(
    directory.list('n2').map(({ place }) => place),
    ['n2/0:1'],
  )
  assert.deepEqual(directory.apply({ type: 'remove', address: 'service/a', place: 'n9/0:1' }), [])
})
