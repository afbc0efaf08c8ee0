/** The JSON Schema of project files, as an editor applies it. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import { parse } from 'yaml'
import { schemaFile, writtenSchema } from './schema-file.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const ajv = new Ajv({ allErrors: true, strict: false })
;(addFormats as unknown as (ajv: Ajv) => void)(ajv)
const validate = ajv.compile(JSON.parse(schemaFile()))

/** Where an editor underlines. */
function marked(yaml: string): string[] {
  if (validate(parse(yaml))) return []
  return [...new Set(validate.errors!.map(error => error.instancePath))].sort()
}

test('signalbox.schema.json is up to date', () => {
  assert.equal(writtenSchema(), schemaFile(), 'run `npm run docs`')
})

test('it is a schema, and every project of the tree follows it', () => {
  assert.ok(ajv.validateSchema(JSON.parse(writtenSchema())))
  const files = globSync('{examples,test,bench}/**/signalbox.yaml', { cwd: ROOT })
  assert.ok(files.length >= 3)
  for (const file of files) assert.deepEqual(marked(readFileSync(join(ROOT, file), 'utf8')), [], file)
})

test('options are checked by the type beside them; references stand anywhere', () => {
  assert.deepEqual(marked('channels: [{ name: a, type: http, options: { port: "x", routes: [] } }]'), [
    '/channels/0',
    '/channels/0/options/port',
  ])
  assert.deepEqual(
    marked(`channels: [{ name: a, type: http, options: { port: '\${env:PORT}', routes: [] } }]`),
    [],
  )
  assert.deepEqual(marked('channels: [{ name: a, type: memory }]'), ['/channels/0'])
  assert.deepEqual(marked('connections: [{ name: a, type: htp }]'), ['/connections/0/type'])
  assert.deepEqual(marked('security: [{ name: a, type: basic, options: { user: [] } }]').slice(-1), [
    '/security/0/options',
  ])
  assert.deepEqual(marked('profile: prod\nchanels: []'), ['', '/profile'])
})
