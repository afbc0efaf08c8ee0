import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { testService } from 'signalbox/test'
import { rateTable } from '../../lib/rate-table.ts'
import rates from './get.ts'

test('a rate, and from the second time on without reading the file', async () => {
  const service = testService(rates)
  const first = await service.invoke({ currency: 'DKK' })
  assert.deepEqual(first.payload, { currency: 'DKK', perEuro: '7.4575', date: '2024-06-28', cached: false })
  const second = await service.invoke({ currency: 'EUR' })
  assert.deepEqual(second.payload, { currency: 'EUR', perEuro: '1', date: '2024-06-28', cached: true })
})

test('a currency that the table does not have is refused', async () => {
  await assert.rejects(testService(rates).invoke({ currency: 'XTS' }), {
    code: 'SIGNALBOX_REQUEST_REFUSED',
    message: 'there is no rate for the currency XTS',
  })
})

test('the file is read again after a minute, and after a failure', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-rates-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'rates.json')
  let now = 0
  const table = rateTable(pathToFileURL(file), () => now)
  await assert.rejects(table(), { code: 'ENOENT' })
  const write = (perEuro: object) => writeFile(file, JSON.stringify({ date: '2024-07-01', perEuro }))
  await write({ DKK: 'much' })
  await assert.rejects(table(), { code: 'SIGNALBOX_VALIDATION_FAILED' })
  await write({ DKK: '7.4' })
  assert.equal((await table()).perEuro.get('DKK'), '7.4')
  await write({ DKK: '7.5' })
  now = 59_999
  assert.deepEqual([(await table()).perEuro.get('DKK'), (await table()).cached], ['7.4', true])
  now = 60_000
  const { perEuro, cached } = await table()
  assert.deepEqual([perEuro.get('DKK'), cached], ['7.5', false])
})
