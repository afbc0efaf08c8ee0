import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Announcement, Singletons } from './singletons.ts'

const ADDRESS = 'service/poller'

/** Nodes with one worker each, and the network between them: announcements travel one by one, in order. */
class Cluster {
  readonly nodes = new Map<string, Singletons>()
  readonly running = new Set<string>()
  /** Places that were told to stop and have not yet. */
  readonly stopping = new Set<string>()
  readonly overlaps: string[] = []
  readonly #wires = new Map<string, Announcement[]>()

  add(id: string): void {
    const node: Singletons = new Singletons(id, {
      activate: (_, place) => {
        if (this.running.size > 0) this.overlaps.push(`${place} beside ${[...this.running]}`)
        this.running.add(place)
      },
      deactivate: (_, place) => void this.stopping.add(place),
      announce: announcement => {
        for (const [wire, queue] of this.#wires)
          if (wire.startsWith(`${id}>`)) queue.push(structuredClone(announcement))
      },
    })
    const others = [...this.nodes]
    this.nodes.set(id, node)
    for (const [otherId, other] of others) {
      this.#wires.set(`${id}>${otherId}`, [node.own()])
      this.#wires.set(`${otherId}>${id}`, [other.own()])
      node.up(otherId)
      other.up(id)
    }
  }

  /** The node and all it runs end, and the others see it. */
  kill(id: string): void {
    this.nodes.delete(id)
    for (const place of this.running) if (place.startsWith(`${id}/`)) this.running.delete(place)
    for (const wire of [...this.#wires.keys()]) if (wire.split('>').includes(id)) this.#wires.delete(wire)
    for (const other of this.nodes.values()) other.gone(id)
  }

  candidate(id: string, slot = 0): void {
    this.nodes.get(id)?.candidate(ADDRESS, `${id}/${slot}:1`)
  }

  /** Lets one thing happen: an announcement arrives, or an actor has stopped. False: there is nothing. */
  step(choice: number): boolean {
    const wires = [...this.#wires].filter(([, queue]) => queue.length > 0)
    const stops = [...this.stopping]
    const count = wires.length + stops.length
    if (count === 0) return false
    const chosen = choice % count
    if (chosen < wires.length) {
      const [wire, queue] = wires[chosen]!
      const [from, to] = wire.split('>') as [string, string]
      this.nodes.get(to)!.announced(from, queue.shift()!)
    } else this.#stopped(stops[chosen - wires.length]!)
    return true
  }

  settle(): void {
    for (let steps = 0; this.step(steps); steps++) assert.ok(steps < 10_000, 'it never comes to rest')
  }

  #stopped(place: string): void {
    this.stopping.delete(place)
    this.running.delete(place)
    this.nodes.get(place.split('/')[0]!)?.stopped(ADDRESS, place)
  }
}

test('the node with the lowest id runs it; when a lower one comes, it moves there without overlap', () => {
  const cluster = new Cluster()
  for (const id of ['b', 'c']) cluster.add(id)
  for (const id of ['c', 'b']) cluster.candidate(id)
  cluster.settle()
  assert.deepEqual([...cluster.running], ['b/0:1'])
  cluster.add('a')
  cluster.settle()
  assert.deepEqual([...cluster.running], ['b/0:1'], 'a node that cannot run it changes nothing')
  cluster.candidate('a')
  cluster.settle()
  assert.deepEqual([[...cluster.running], cluster.overlaps], [['a/0:1'], []])
})

test('when its node goes, the next one runs it; alone it is run at once', () => {
  const cluster = new Cluster()
  cluster.add('a')
  cluster.candidate('a')
  assert.deepEqual([...cluster.running], ['a/0:1'])
  cluster.add('b')
  cluster.candidate('b')
  cluster.settle()
  cluster.kill('a')
  cluster.settle()
  assert.deepEqual([[...cluster.running], cluster.overlaps], [['b/0:1'], []])
})

test('when the worker that runs it dies or leaves, another worker of the node runs it', () => {
  const cluster = new Cluster()
  cluster.add('a')
  for (const slot of [0, 1, 2]) cluster.candidate('a', slot)
  const node = cluster.nodes.get('a')!
  cluster.running.delete('a/0:1')
  node.lost('a/0:1')
  assert.deepEqual([...cluster.running], ['a/1:1'])
  node.leave('a/1:1')
  assert.deepEqual([...cluster.running], ['a/1:1'], 'it has not stopped yet')
  cluster.settle()
  assert.deepEqual([[...cluster.running], cluster.overlaps], [['a/2:1'], []])
})

test('property: nodes that see each other never run it twice, and in the end one that can runs it', () => {
  const event = fc.oneof(
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constantFrom('candidate', 'kill'), id: fc.constantFrom('a', 'b', 'c') }),
    },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('step'), choice: fc.nat(20) }) },
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), events => {
      const cluster = new Cluster()
      const candidates = new Set<string>()
      for (const id of ['a', 'b', 'c']) cluster.add(id)
      for (const one of events) {
        if ('choice' in one) cluster.step(one.choice)
        else if (one.do === 'candidate') {
          cluster.candidate(one.id)
          if (cluster.nodes.has(one.id)) candidates.add(one.id)
        } else if (cluster.nodes.has(one.id) && cluster.nodes.size > 1) {
          cluster.kill(one.id)
          candidates.delete(one.id)
        }
      }
      cluster.settle()
      assert.deepEqual(cluster.overlaps, [])
      const lowest = [...candidates].sort()[0]
      assert.deepEqual([...cluster.running], lowest ? [`${lowest}/0:1`] : [])
    }),
    { numRuns: 1_000 },
  )
})

test('a place that has taken the actor away is not told to run it again', () => {
  const activated: string[] = []
  const node = new Singletons('a', {
    activate: (_, place) => void activated.push(place),
    deactivate: () => {},
    announce: () => {},
  })
  for (const place of ['a/0:1', 'a/1:1']) node.candidate(ADDRESS, place)
  node.withdraw(ADDRESS, 'a/0:1')
  assert.deepEqual(activated, ['a/0:1', 'a/1:1'])
  node.withdraw(ADDRESS, 'a/1:1')
  assert.deepEqual(activated, ['a/0:1', 'a/1:1'])
  assert.deepEqual([node.own().candidates, node.own().running], [[], []])
  node.candidate(ADDRESS, 'a/0:1')
  assert.deepEqual(activated, ['a/0:1', 'a/1:1', 'a/0:1'])
})
