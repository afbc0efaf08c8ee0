import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import { parse } from 'yaml'
import { projectFiles } from '../init/files.ts'
import { ownSchema, SCHEMA_FILE } from './schema.ts'

const validate = new Ajv({ strict: false, allErrors: true }).compile(ownSchema())
const valid = (yaml: string) => validate(parse(yaml))

test('the schema for editors takes the projects that there are', () => {
  const example = new URL('../../examples/invoice-hub/signalbox.yaml', import.meta.url)
  const made = projectFiles({ name: 'my-bus', source: '^0.1.0' })['signalbox.yaml']!
  assert.ok(valid(readFileSync(example, 'utf8')), JSON.stringify(validate.errors))
  assert.ok(valid(made), JSON.stringify(validate.errors))
  assert.ok(made.startsWith(`# yaml-language-server: $schema=node_modules/signalbox/${SCHEMA_FILE}\n`))
})

test('it knows the options of each transport, and references in the place of numbers', () => {
  const channel = (options: string, type = 'http') =>
    `channels: [{ name: a, type: ${type}, options: ${options} }]`
  assert.ok(valid(channel('{ port: 80 }')))
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what the file says
  assert.ok(valid(channel("{ port: '${env:PORT}' }")))
  assert.equal(valid(channel('{ port: eighty }')), false)
  assert.equal(valid(channel('{ prot: 80 }')), false)
  assert.equal(valid(channel('{}', 'htpp')), false)
  assert.equal(valid('chanels: []'), false)
})
