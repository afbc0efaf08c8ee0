/** The keeper of a node: what it keeps outlives its thread. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startProject } from '../cli/start.ts'
import type { AuditPage } from '../core/audit/audit-log.ts'
import type { Node } from '../core/node.ts'
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
    // The audit log goes on as well, and whatever was found stays.
    await until(async () => (await recorded(node)).includes(round), 'the delivery is recorded')
    const seqs = await recorded(node)
    assert.equal(new Set(seqs).size, seqs.length)
  }
})

/** Numbers of the messages whose delivery the audit log has. */
async function recorded(node: Node): Promise<number[]> {
  const keeper = await node.host.startKeeper()
  const { records } = (await keeper.request('auditSearch', { kind: 'delivery' })) as AuditPage
  return records.map(({ seq }) => seq!)
}

async function run(stateFolder: string) {
  const running = await startProject(PROJECT, { stateFolder })
  return { ...running, [Symbol.asyncDispose]: () => running.stop() }
}
