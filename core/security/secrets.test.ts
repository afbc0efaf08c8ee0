import assert from 'node:assert/strict'
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { loadKeyRing, MasterKey, parseKeyRing, saveKeyRing } from './master-key.ts'
import { MAX_SECRET_BYTES, SecretVault } from './secrets.ts'
import { FileStore, MemoryStore, refusal, temporaryFolder } from './test-kit.ts'

const VALUE = 'swordfish-7!'

function newVault(): { store: MemoryStore; key: MasterKey; vault: SecretVault } {
  const store = new MemoryStore()
  const key = MasterKey.generate()
  return { store, key, vault: new SecretVault(store, [key]) }
}

describe('the vault', () => {
  test('gives back what was put, through files and a new vault; files do not have the value', async t => {
    const folder = await temporaryFolder(t)
    const key = MasterKey.generate()
    const vault = new SecretVault(new FileStore(folder), [key])
    await vault.put('partners/acme.password', VALUE)
    await vault.put('empty', '')
    const later = new SecretVault(new FileStore(folder), [key])
    assert.equal(await later.get('partners/acme.password'), VALUE)
    assert.equal(await later.get('empty'), '')
    assert.deepEqual(await later.list(), ['empty', 'partners/acme.password'])
    for (const file of await readdir(folder)) {
      assert.ok(!(await readFile(join(folder, file), 'utf8')).includes(Buffer.from(VALUE).toString('base64')))
    }
    await later.delete('empty')
    await later.delete('empty')
    assert.equal(await later.has('empty'), false)
    await refusal(() => later.get('empty'), 'SIGNALBOX_SECRET_UNKNOWN')
  })

  test('any text comes back, and equal values look different', async () => {
    const { store, vault } = newVault()
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 200 }), async value => {
        await vault.put('a', value)
        await vault.put('b', value)
        assert.equal(await vault.get('a'), value)
        assert.notEqual(store.records.get('a'), store.records.get('b'))
      }),
    )
  })

  test('any changed character of a record is found, or changes nothing', async () => {
    const { store, vault } = newVault()
    await vault.put('name', VALUE)
    const record = store.records.get('name')!
    for (let i = 0; i < record.length; i++) {
      const changed = record.slice(0, i) + (record[i] === 'A' ? 'B' : 'A') + record.slice(i + 1)
      store.records.set('name', changed)
      const error = await vault.get('name').then(
        value => assert.equal(value, VALUE),
        thrown => thrown,
      )
      if (error === undefined) continue
      assert.match(error.code, /^SIGNALBOX_SECRET_(TAMPERED|KEY)$/)
      assert.ok(!inspect(error).includes(VALUE))
    }
  })

  test('a record that is something else, short tags included, is tampered with', async () => {
    const { store, vault } = newVault()
    await vault.put('name', VALUE)
    const record = JSON.parse(store.records.get('name')!)
    const shortTag = Buffer.from(record.tag, 'base64').subarray(0, 4).toString('base64')
    const bad = [
      '',
      'null',
      '[]',
      '"x"',
      '{',
      JSON.stringify({ ...record, v: 2 }),
      JSON.stringify({ ...record, tag: shortTag }),
      JSON.stringify({ ...record, tag: '' }),
      JSON.stringify({ ...record, nonce: '' }),
      JSON.stringify({ ...record, data: 7 }),
    ]
    for (const text of bad) {
      store.records.set('name', text)
      await refusal(() => vault.get('name'), 'SIGNALBOX_SECRET_TAMPERED')
    }
  })

  test('a record copied to another name does not open', async () => {
    const { store, vault } = newVault()
    await vault.put('admin', VALUE)
    store.records.set('guest', store.records.get('admin')!)
    await refusal(() => vault.get('guest'), 'SIGNALBOX_SECRET_TAMPERED')
  })

  test('another key says which one is needed, even under the same id', async () => {
    const { store, vault, key } = newVault()
    await vault.put('name', VALUE)
    const other = MasterKey.generate()
    const error = await refusal(() => new SecretVault(store, [other]).get('name'), 'SIGNALBOX_SECRET_KEY')
    assert.match(error.message, new RegExp(key.id))
    const record = JSON.parse(store.records.get('name')!)
    store.records.set('name', JSON.stringify({ ...record, keyId: other.id }))
    await refusal(() => new SecretVault(store, [other]).get('name'), 'SIGNALBOX_SECRET_TAMPERED')
  })

  test('rotation seals everything again; reads and writes go on; an interrupted one is finished', async () => {
    const { store, vault, key } = newVault()
    const names = Array.from({ length: 20 }, (_, i) => `s${i}`)
    for (const name of names) await vault.put(name, `${VALUE}${name}`)
    const next = MasterKey.generate()
    const original = store.put.bind(store)
    let puts = 0
    store.put = async (name, record) => {
      if (++puts > 5) throw new Error('disk full')
      return original(name, record)
    }
    await assert.rejects(vault.rotate(next), /disk full/)
    store.put = original
    const both = new SecretVault(store, [next, key])
    for (const name of names) assert.equal(await both.get(name), `${VALUE}${name}`)
    const [sealed] = await Promise.all([both.rotate(next), both.put('s3', 'new'), both.get('s7')])
    assert.equal(sealed, 15)
    const after = new SecretVault(store, [next])
    for (const name of names) assert.equal(await after.get(name), name === 's3' ? 'new' : `${VALUE}${name}`)
    assert.deepEqual(both.keyIds, [next.id])
    assert.equal(await both.rotate(next), 0)
  })

  test('bad names and values are refused, without the value', async () => {
    const { vault } = newVault()
    for (const name of ['', '../x', '/x', 'a b', 'a\0', 'a\n', 'x'.repeat(129), '$x']) {
      await refusal(() => vault.put(name, VALUE), 'SIGNALBOX_SECRET_INVALID')
      await refusal(() => vault.get(name), 'SIGNALBOX_SECRET_INVALID')
    }
    for (const value of ['x'.repeat(MAX_SECRET_BYTES + 1), `${VALUE}\ud800`, 7 as unknown as string]) {
      const error = await refusal(() => vault.put('name', value), 'SIGNALBOX_SECRET_INVALID')
      assert.ok(!error.message.includes(VALUE))
    }
  })

  test('vault and key show nothing but ids', async () => {
    const { vault, key } = newVault()
    await vault.put('name', VALUE)
    const bytes = MasterKey.bytesOf(key)
    for (const thing of [vault, key]) {
      for (const text of [
        inspect(thing, { depth: 9, showHidden: true }),
        JSON.stringify(thing),
        String(thing),
        `${thing}`,
      ]) {
        for (const secret of [bytes.toString('base64'), bytes.toString('hex'), VALUE]) {
          assert.ok(!text.includes(secret), text)
        }
        assert.ok(text.includes(key.id), text)
      }
    }
  })
})

describe('the master key', () => {
  test('is made once, mode 0600, also when many want it at the same time', async t => {
    const folder = join(await temporaryFolder(t), 'state')
    const path = join(folder, 'master.key')
    const rings = await Promise.all(Array.from({ length: 8 }, () => loadKeyRing(path, {})))
    assert.equal(new Set(rings.map(([key]) => key.id)).size, 1)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.deepEqual(await readdir(folder), ['master.key'])
  })

  test('the environment comes first, and makes no file', async t => {
    const path = join(await temporaryFolder(t), 'master.key')
    const key = MasterKey.generate()
    const text = MasterKey.bytesOf(key).toString('base64')
    const [found] = await loadKeyRing(path, { SIGNALBOX_MASTER_KEY: text })
    assert.equal(found.id, key.id)
    await assert.rejects(stat(path), { code: 'ENOENT' })
    const [first, second] = parseKeyRing(
      `${MasterKey.bytesOf(MasterKey.generate()).toString('base64')}, ${text}`,
    )
    assert.notEqual(first.id, key.id)
    assert.equal(second?.id, key.id)
  })

  test('a file that others may read, or that is malformed, is refused', async t => {
    const path = join(await temporaryFolder(t), 'master.key')
    await saveKeyRing(path, [MasterKey.generate(), MasterKey.generate()])
    assert.equal((await loadKeyRing(path, {})).length, 2)
    await chmod(path, 0o640)
    await refusal(() => loadKeyRing(path, {}), 'SIGNALBOX_SECRET_KEY')
    for (const bad of ['', 'c2hvcnQ=', 'x'.repeat(44), '!'.repeat(44)]) {
      await writeFile(path, bad)
      await chmod(path, 0o600)
      const error = await refusal(() => loadKeyRing(path, {}), 'SIGNALBOX_SECRET_KEY')
      if (bad !== '') assert.ok(!error.message.includes(bad))
      await refusal(() => loadKeyRing(path, { SIGNALBOX_MASTER_KEY: bad }), 'SIGNALBOX_SECRET_KEY')
    }
  })
})
