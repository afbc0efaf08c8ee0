/** The number of workers of one node changes: the other node knows, and loses no call. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startProject } from '../../cli/start.ts'
import type { Node } from '../../core/node.ts'
import type { Client } from '../../core/router/client.ts'
import { until } from '../load.ts'
import { projectOf, TwoNodes } from './nodes.ts'

let nodes: TwoNodes
let east: Node
let west: Client

before(async () => {
  process.env.SIGNALBOX_LOG_LEVEL ??= 'fatal'
  nodes = await TwoNodes.create()
  Object.assign(process.env, nodes.environment())
  await nodes.start('west')
  east = (await startProject(projectOf('east'))).node
  west = await nodes.connect('west')
})
after(async () => {
  await east?.stop(1_000)
  await nodes.close()
})

test('the other node follows every change of the workers, and no call fails', async () => {
  await until(async () => (await places()).size === 4, 'west reaches the workers of both nodes')
  const failed: unknown[] = []
  let stopped = false
  let answered = 0
  const load = Array.from({ length: 4 }, async () => {
    while (!stopped) {
      await west.invoke('roundRobin', { ms: 2 }).then(
        () => answered++,
        error => failed.push(error),
      )
    }
  })
  for (const workers of [4, 1, 3]) {
    await east.scale(workers)
    await until(async () => (await places()).size === workers + 2, `west reaches ${workers} workers of east`)
    const before = answered
    await until(() => answered > before + 50, 'calls are answered')
  }
  stopped = true
  await Promise.all(load)
  assert.deepEqual(failed, [])
  assert.equal(east.host.replaced, 0)
})

test('inspect names the endpoint and the peers', async () => {
  const { endpoint, peers, workers } = await east.inspect()
  assert.equal(endpoint, nodes.endpointOf('east'))
  assert.deepEqual(peers, [{ id: 'west', role: 'node', name: 'west' }])
  assert.ok(workers.every(({ state }) => state === 'ready'))
})

/** Where calls of west go, in turn. */
async function places(): Promise<Set<unknown>> {
  const calls = Array.from({ length: 24 }, () =>
    west.invoke<{ value: unknown }>('relay', { service: 'roundRobin', payload: {} }),
  )
  return new Set((await Promise.all(calls)).map(({ value }) => value))
}
