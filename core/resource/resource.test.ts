/** What is said of resources that are wrong, and what becomes of references. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv } from 'ajv'
import type { SignalboxError } from '../errors.ts'
import { resolveOptions } from './option-values.ts'
import { acceptReferences } from './reference-schema.ts'
import { checkResource, idOf, type Resource } from './resource.ts'
import { channel, KINDS } from './test-kit.ts'

const environment = { PORT: '8123', FAST: 'true', HALF: '1.5', SNEAKY: '$' + '{secret:other}' }
const env = (name: string) => `\${env:${name}}`
const secret = (name: string) => `\${secret:${name}}`

function problems(resource: unknown, securityNames?: string[]): string[] {
  try {
    checkResource(resource as Resource, KINDS, { environment, ...(securityNames && { securityNames }) })
  } catch (error) {
    const { code, message, details } = error as SignalboxError
    assert.equal(code, 'SIGNALBOX_OPTIONS_INVALID')
    assert.ok((details!.errors as unknown[]).length > 0)
    return message
      .replace(/^[^ ]+: /, '')
      .split('; /')
      .map((part, i) => (i > 0 ? `/${part}` : part))
  }
  return []
}

const complete = (options: unknown) => checkResource(channel('a', options), KINDS, { environment })

test('options are completed, what was written stays', () => {
  const resource = channel('a', { tls: {} })
  assert.equal(idOf(resource), 'channel/test/a')
  assert.deepEqual(checkResource(resource, KINDS), { port: 80, fast: false, mode: 'a', tls: { on: true } })
  assert.deepEqual(resource.options, { tls: {} })
})

test('names, types, options and security names are checked', () => {
  assert.deepEqual(problems({ ...channel('1a', {}), type: 'tst' }), [
    '/name must match pattern "^[A-Za-z][A-Za-z0-9_.-]*$"',
    "/type is wrong: there is no transport 'tst'; did you mean 'test'? (there are: test, queue)",
  ])
  assert.deepEqual(problems({ kind: 'connection', type: 'queue', name: 'q', options: {} }), [
    '/type is wrong: transport queue has no connections (there are: test)',
  ])
  assert.deepEqual(problems({ ...channel('a', { prot: 1, port: 0 }), security: ['partnr'] }, ['partner']), [
    "/security/0 is wrong: there is no security definition 'partnr'; did you mean 'partner'?",
    "/options must not have the property 'prot'; did you mean 'port'?",
    '/options/port must be >= 1',
  ])
  assert.deepEqual(problems({ kind: 'connection', type: 'test', name: 'q', options: {}, security: [] }), [
    "(all) must not have the property 'security'",
  ])
  assert.match(
    problems({ kind: 'chanel', type: 'test', name: 'q', options: {} })[0]!,
    /did you mean 'channel'/,
  )
})

test('hostile options are refused', () => {
  assert.deepEqual(problems(channel('a', JSON.parse('{"users":[{"__proto__":{"x":1}}]}'))), [
    "/options/users/0 must not have the property '__proto__'",
  ])
  let deep: unknown = 1
  for (let i = 0; i < 50_000; i++) deep = [deep]
  assert.match(problems(channel('a', { deep })).join(), /must not be nested deeper than 64 levels/)
})

test('variables become what the schema asks for; what is in them is not read as a reference', () => {
  const options = complete({ port: env('PORT'), fast: env('FAST'), users: [{ pin: env('SNEAKY') }] })
  assert.deepEqual(options, { port: 8123, fast: true, mode: 'a', users: [{ pin: secret('other') }] })
  assert.deepEqual(problems(channel('a', { port: env('HALF') })), ['/options/port must be integer'])
  assert.deepEqual(problems(channel('a', { port: env('NOT_SET') })), [
    '/options/port needs the environment variable NOT_SET, which is not set',
  ])
  assert.deepEqual(problems(channel('a', { port: env('constructor') })).length, 1)
})

test('a secret passes where its text would not, and nothing else does', () => {
  const written = { secret: secret('key'), port: secret('port'), mode: secret('mode') }
  assert.deepEqual(complete(written), { ...written, fast: false })
  assert.deepEqual(problems(channel('a', { ...written, fast: 1 })), ['/options/fast must be boolean'])
})

test('secrets are checked when they are resolved, and not quoted', async () => {
  const schema = KINDS.schemaOf('channel', 'test')!
  const values: Record<string, string> = {
    key: '0123456789abcdef',
    port: '99',
    bad: 'BAD-SECRET',
    other: 'no',
  }
  const resolve = (options: unknown) =>
    resolveOptions(schema, options, 'channel/test/a', { secret: async name => values[name]!, environment })
  const options = { secret: secret('key'), port: secret('port'), users: [{ pin: env('SNEAKY') }] }
  assert.deepEqual(await resolve(options), {
    secret: '0123456789abcdef',
    port: 99,
    fast: false,
    mode: 'a',
    users: [{ pin: secret('other') }],
  })
  await assert.rejects(resolve({ secret: secret('bad'), port: secret('bad') }), (error: SignalboxError) => {
    assert.equal(error.code, 'SIGNALBOX_OPTIONS_INVALID')
    assert.match(error.message, /\/secret must match pattern.*\/port must be integer|\/port.*\/secret/)
    assert.ok(!JSON.stringify([error.message, error.details]).includes('BAD-SECRET'))
    return true
  })
  await assert.rejects(resolve({ port: env('NOT_SET') }), { code: 'SIGNALBOX_SECRET_UNKNOWN' })
})

test('a schema that takes references takes them only where a value is asked for', () => {
  const schema = KINDS.schemaOf('channel', 'test')!
  const ajv = new Ajv({ strict: false })
  const takes = (value: unknown) => ajv.compile(acceptReferences(schema))(value)
  assert.ok(takes({ port: env('X'), mode: secret('y'), secret: secret('z') }))
  assert.ok(takes({}))
  assert.ok(!takes({ port: 'x' }))
  assert.ok(!takes({ users: env('X') }))
  assert.equal(acceptReferences(schema), acceptReferences(schema))
})
