/** Reading and writing `signalbox.yaml`. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SignalboxError } from '../errors.ts'
import { Type } from '../schema.ts'
import type { FileProblem } from './file-problems.ts'
import { parseProjectFile, writeProjectFile } from './project-file.ts'
import { idOf, type Resource } from './resource.ts'
import { channel, KINDS } from './test-kit.ts'

const telemetry = Type.Object({ level: Type.Integer({ default: 3 }) }, { additionalProperties: false })
const parse = (text: string, environment = {}) =>
  parseProjectFile(text, 'p.yaml', KINDS, { telemetry, environment })

/** Everything, with a reference where a number stands. */
const FULL = `name: shop
node: n-1
profile: production
workers: \${env:WORKERS}
limits:
  heapMb: 64
network:
  port: 7720
  publicKey: ${'a'.repeat(40)}
  secretKey: \${secret:network}
admin:
  port: 7711
telemetry:
  level: \${env:WORKERS}
try:
  - curl http://localhost
security:
  - name: partner
    type: key
connections:
  - name: out
    type: test
channels:
  - name: public
    type: test
    security:
      - partner
    options:
      port: \${env:PORT}
      secret: \${secret:key}
`

function errorOf(text: string): SignalboxError {
  try {
    parse(text)
  } catch (error) {
    assert.equal((error as SignalboxError).code, 'SIGNALBOX_CONFIG_INVALID')
    return error as SignalboxError
  }
  return assert.fail('it is accepted')
}

test('what is written stays as written; settings and options are completed beside it', () => {
  const { settings, resources, effective, options } = parse(FULL, { WORKERS: '2', PORT: '81' })
  assert.equal(settings.workers, '$' + '{env:WORKERS}')
  assert.equal(effective.workers, 2)
  assert.deepEqual(effective.telemetry, { level: 2 })
  assert.deepEqual(effective.admin, { host: '127.0.0.1', port: 7711 })
  assert.equal(effective.network!.secretKey, '$' + '{secret:network}')
  assert.deepEqual(resources.map(idOf), [
    'security/key/partner',
    'connection/test/out',
    'channel/test/public',
  ])
  assert.deepEqual(resources[2]!.options, { port: '$' + '{env:PORT}', secret: '$' + '{secret:key}' })
  assert.deepEqual(resources[2]!.security, ['partner'])
  assert.equal((options.get('channel/test/public') as { port: number }).port, 81)
  assert.equal(writeProjectFile(settings, resources.toReversed()), FULL)
})

test('problems have line and column', () => {
  const text = `name: shop
profile: prod
admin: { prt: 1 }
telemetry: { levl: 1 }
workers: \${secret:x}
limits: { heapMb: '\${env:NOT_SET}' }
security:
  - { name: a, type: kee }
channels:
  - name: b
    type: test
    security: [aa]
    options: { prt: 1 }
`
  const error = errorOf(text)
  const places = (error.details!.errors as FileProblem[]).map(({ line, column }) => [line, column])
  assert.deepEqual(error.message.split('\n').slice(-5), [
    'p.yaml:5: workers must be integer',
    'p.yaml:6: limits.heapMb needs the environment variable NOT_SET, which is not set',
    "p.yaml:8: security.0.type is wrong: there is no type 'kee'; did you mean 'key'? (there are: key)",
    "p.yaml:12: channels.0.security.0 is wrong: there is no security definition 'aa'; did you mean 'a'?",
    "p.yaml:13: channels.0.options must not have the property 'prt'; did you mean 'port'?",
  ])
  assert.match(error.message, /p.yaml:2: profile must be "development"/)
  assert.match(error.message, /p.yaml:3: admin must not have the property 'prt'; did you mean 'port'\?/)
  assert.match(error.message, /p.yaml:4: telemetry must not have the property 'levl'; did you mean 'level'\?/)
  assert.deepEqual(places.slice(-5), [
    [5, 1],
    [6, 11],
    [8, 16],
    [12, 16],
    [13, 16],
  ])
})

test('hostile files are refused', () => {
  for (const text of [
    '__proto__: { name: a }',
    'telemetry: { __proto__: { level: 1 } }',
    'channels: [{ name: a, type: test, options: { __proto__: { port: 1 } } }]',
  ])
    assert.match(errorOf(text).message, /p.yaml:1: .*must not have the property '__proto__'/)
  assert.match(errorOf(`telemetry: ${'['.repeat(20_000)}`).message, /^p.yaml:/)
  assert.match(errorOf('#'.repeat(5_000_000)).message, /larger than/)
  assert.match(errorOf('channels: { a: b }').message, /channels must be array/)
  assert.equal(({} as Record<string, unknown>).port, undefined)
})

test('what is written is read back the same', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('yes', '1', '~', 'null', '- a', 'a: b', '|', '#', ' '),
  )
  const data = fc.letrec<{ value: unknown }>(tie => ({
    value: fc.oneof(
      { maxDepth: 3 },
      text,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(
        text.filter(key => key !== '__proto__' && !key.includes('$')),
        tie('value'),
        { maxKeys: 3 },
      ),
    ),
  })).value
  const kinds = { schemaOf: () => Type.Unknown(), types: () => ['any'] }
  const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,5}$/)
  const one: fc.Arbitrary<Resource> = fc.record({
    kind: fc.constantFrom('channel' as const, 'connection' as const, 'security' as const),
    type: fc.constant('any'),
    name,
    options: fc.dictionary(name, data, { maxKeys: 3 }),
  })
  const all = fc.uniqueArray(one, { selector: idOf, maxLength: 4 })
  const settings = fc.record({ name, telemetry: data }, { requiredKeys: [] })
  const byId = (list: readonly Resource[]) => list.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
  fc.assert(
    fc.property(settings, all, (written, resources) => {
      const yaml = writeProjectFile(written, resources)
      const read = parseProjectFile(yaml, 'p.yaml', kinds, { environment: {} })
      // JSON has no records without prototype, which fast-check makes.
      const plain = (value: unknown) => JSON.parse(JSON.stringify(value))
      assert.deepEqual(plain(read.settings), plain(written))
      assert.deepEqual(plain(byId(read.resources)), plain(byId(resources)))
      assert.equal(writeProjectFile(read.settings, read.resources), yaml)
    }),
  )
})

test('a list may be empty, options may be left out', () => {
  assert.deepEqual(parse('channels:\nsecurity: []').resources, [])
  assert.deepEqual(parse('channels: [{ name: a, type: test, security: [] }]').resources, [channel('a', {})])
  assert.match(errorOf('channels: [{ name: a, type: queue }]').message, /must have required property 'queue'/)
})
