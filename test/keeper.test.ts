/** The keeper of a node: what it keeps outlives its thread. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startProject } from '../cli/start.ts'
import { fixture } from './fixture.ts'
import { until } from './load.ts'

const PROJECT = new URL('./projects/kept', import.meta.url).pathname

test('a keeper that is ended is replaced, with everything it kept', { timeout: 60_000 }, async () => {
  using state = fixture({})
  await using running = await run(state.path)
  const { node } = running
  const handled = async () => {
    const { workers } = await node.inspect()
    const actors = workers.flatMap(worker => worker.actors as { address: string; handled: number }[])
    return actors.find(({ address }) => address === 'service/book')?.handled ?? 0
  }
  assert.deepEqual(await node.invoke('place', 1), { seq: 1, duplicate: false })
  await until(async () => (await handled()) === 1, 'the message is handled')
  for (let round = 2; round <= 4; round++) {
    const { keeper } = node.host
    keeper!.kill('the test ends it')
    await keeper!.gone
    await until(() => node.host.keeper?.state === 'ready', 'there is another keeper')
    assert.deepEqual(await node.invoke('place', round), { seq: round, duplicate: false })
    await until(async () => (await handled()) >= round, 'the message is handled')
  }
})

async function run(stateFolder: string) {
  const running = await startProject(PROJECT, { stateFolder })
  return { ...running, [Symbol.asyncDispose]: () => running.stop() }
}
