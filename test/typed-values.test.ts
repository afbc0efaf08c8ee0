/** Values that can only be sent as text reach services as their schemas, and the OpenAPI description, say. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { run } from '../cli/admin-test-server.ts'
import { type RunningProject, startProject } from '../cli/start.ts'
import { urlOf } from './faulty-bus.ts'

const PROJECT = fileURLToPath(new URL('./projects/typed', import.meta.url))

let state: string
let bus: RunningProject
let url: string

before(async () => {
  state = mkdtempSync(join(tmpdir(), 'signalbox-typed-'))
  bus = await startProject(PROJECT, { stateFolder: state })
  url = await urlOf(bus.node)
})
after(async () => {
  await bus.stop(2_000)
  rmSync(state, { recursive: true })
})

interface Answer {
  input: unknown
  code?: string
  details: { errors: { pointer: string; rule: string }[] }
}

async function call(path: string, init?: RequestInit): Promise<{ status: number; answer: Answer }> {
  const response = await fetch(`${url}${path}`, init)
  return { status: response.status, answer: (await response.json()) as Answer }
}

test('a query and the path', async () => {
  const { answer } = await call('/orders/7?amount=1.5&open=true&size=20&tags=1&note=12')
  const input = { id: 7, amount: 1.5, open: true, size: 20, tags: [1], note: '12' }
  assert.deepEqual(answer, { input, same: true })
  const { answer: more } = await call('/orders/8?open=false&size=all&tags=1&tags=2')
  assert.deepEqual(more.input, { id: 8, open: false, size: 'all', tags: [1, 2] })
})

test('a text that does not fit is refused with all violations and their places', async () => {
  const { status, answer } = await call('/orders/0?amount=1,5&open=yes&tags=1&tags=x')
  assert.equal(status, 400)
  assert.equal(answer.code, 'SIGNALBOX_INPUT_INVALID')
  const said = answer.details.errors.map(({ pointer, rule }) => `${pointer} ${rule}`)
  assert.deepEqual(said.toSorted(), [
    '/amount must be number',
    '/id must be >= 1',
    '/open must be boolean',
    '/tags/1 must be integer',
  ])
})

test('JSON is never read as something else, and neither is what one service sends another', async () => {
  const headers = { 'content-type': 'application/json' }
  const json = await call('/orders', { method: 'POST', headers, body: '{"id":"7"}' })
  assert.deepEqual([json.status, json.answer.details.errors[0]!.pointer], [400, '/id'])
  // The query is no part of the payload where there is a body.
  const beside = await call('/orders/7?id=7', { method: 'POST', headers, body: '{"id":"7"}' })
  assert.equal(beside.status, 400)
  assert.equal((await call('/orders/7?texts=true')).status, 400)
})

test('forms, with files and without', async () => {
  const body = new URLSearchParams('count=3&agreed=true&parts=0.5')
  const { answer } = await call('/form', { method: 'POST', body })
  assert.deepEqual(answer, { count: 3, agreed: true, parts: [0.5] })
  const form = new FormData()
  form.append('count', '3')
  form.append('file', new Blob(['hello']), '12')
  const uploaded = await call('/upload', { method: 'POST', body: form })
  assert.deepEqual(uploaded.answer, { fields: { count: 3 }, files: [{ filename: '12', bytes: 5 }] })
})

test('in a service that lives in one worker only', async () => {
  // Connections are spread over the workers, so some of these cross over.
  for (let n = 0; n < 8; n++) {
    const { answer } = await call(`/single?n=${n}`, { headers: { connection: 'close' } })
    assert.deepEqual(answer, { n })
  }
})

test('the typed client, written from the description, gets back what it sends', async () => {
  const file = join(state, 'client.ts')
  const token = (await readFile(join(state, 'admin-token'), 'utf8')).trim()
  const { code, err } = await run(['client', '--out', file], {
    env: { SIGNALBOX_URL: bus.admin!, SIGNALBOX_TOKEN: token },
  })
  assert.equal(code, 0, err)
  const { Client } = await import(pathToFileURL(file).href)
  const client = new Client()
  const query = fc.record(
    {
      amount: fc.double({ noNaN: true, noDefaultInfinity: true }).map(n => n || 0),
      open: fc.boolean(),
      size: fc.constantFrom(10, 20, 'all'),
      tags: fc.array(fc.maxSafeInteger(), { minLength: 1, maxLength: 3 }),
      note: fc.string(),
    },
    { requiredKeys: [], noNullPrototype: true },
  )
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1 }), query, async (id, query) => {
      const { input } = await client.orders({ path: { id }, query })
      assert.deepEqual(input, { ...query, id })
    }),
    { numRuns: 60 },
  )
  const form = { count: 3, agreed: false, parts: [1, 2.5] }
  assert.deepEqual(await client.form({ body: form }), form)
})
