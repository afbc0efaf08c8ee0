import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { ActorSystem } from '../../core/actor/index.ts'
import { openLmdbStore } from '../../core/store/lmdb/lmdb-store.ts'
import { remoteState, STATE, stateActor } from './state.ts'

it('state is read and written from afar, with the promises of the store', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-state-'))
  const store = await openLmdbStore({ folder })
  const system = new ActorSystem()
  t.after(async () => {
    await system.shutdown()
    await store.close()
    await rm(folder, { recursive: true })
  })
  system.spawn(STATE, stateActor(store))
  const state = remoteState(system)
  const { revision } = await state.put('groups', 'a', { size: 1 })
  assert.deepEqual((await state.get('groups', 'a'))?.value, { size: 1 })
  await assert.rejects(state.put('groups', 'a', 2, { ifRevision: revision + 1 }), {
    code: 'SIGNALBOX_STORE_CONFLICT',
  })
  await state.transact([
    { type: 'put', collection: 'groups', key: 'b', value: 2, ifRevision: 0 },
    { type: 'delete', collection: 'groups', key: 'a' },
  ])
  assert.deepEqual(
    (await state.list('groups', { limit: 10 })).map(({ key }) => key),
    ['b'],
  )
  assert.equal(await state.delete('groups', 'b'), true)
  assert.equal(await state.get('groups', 'b'), undefined)
  await assert.rejects(system.ask(STATE, { op: 'drop' }), { code: 'SIGNALBOX_USAGE' })
})
