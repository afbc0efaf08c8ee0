/** Payloads and fields as bytes, and back. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../../core/errors.ts'
import { parseOptions } from '../../core/schema.ts'
import { RedisChannelOptions, RedisConnectionOptions } from './options.ts'
import { readEntry, writeEntry } from './payload.ts'

const FIELD = Buffer.from('payload')
const SETTINGS = { maxPayloadBytes: 1 << 20, maxDepth: 64 }
const buffers = (fields: readonly (string | Buffer)[]) => fields.map(field => Buffer.from(field as string))
const read = (fields: readonly (string | Buffer)[]) => readEntry(buffers(fields), FIELD, SETTINGS)

test('what is written is read again', () => {
  const name = fc
    .string({ minLength: 1 })
    .filter(
      one =>
        !/^(payload|cid|content-type|traceparent|__proto__|constructor|prototype)$/i.test(one) &&
        one === one.toLowerCase() &&
        one.isWellFormed(),
    )
  const value = fc.string().filter(one => one.isWellFormed())
  fc.assert(
    fc.property(fc.dictionary(name, value, { noNullPrototype: true }), fc.uint8Array(), (headers, bytes) => {
      const message = read(writeEntry(bytes, { headers, cid: 'c-1' }, 'payload', 1 << 20))
      assert.ok(Buffer.from(bytes).equals(message.payload as Buffer))
      assert.deepEqual(message.headers, { ...headers, cid: 'c-1' })
      assert.equal(message.cid, 'c-1')
    }),
  )
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), json => {
      const value = JSON.parse(JSON.stringify(json)) as unknown
      if (value === null || typeof value === 'string') return
      let message: ReturnType<typeof read>
      try {
        message = read(writeEntry(value, {}, 'payload', 1 << 20))
      } catch (error) {
        // Names that reach a prototype are refused, nothing else is.
        assert.match(JSON.stringify(value), /__proto__|constructor|prototype/)
        assert.ok(error instanceof SignalboxError)
        return
      }
      assert.deepEqual(message.payload, value)
    }),
  )
})

test('fields of a stranger give a message or a typed error, and change no prototype', () => {
  const field = fc.oneof(
    fc.uint8Array().map(bytes => Buffer.from(bytes)),
    fc
      .constantFrom(
        'payload',
        'content-type',
        'cid',
        'application/json',
        'text/csv',
        '{}',
        '__proto__',
        'constructor',
      )
      .map(text => Buffer.from(text)),
  )
  fc.assert(
    fc.property(fc.array(field, { maxLength: 12 }), fields => {
      try {
        const message = readEntry(fields, FIELD, SETTINGS)
        for (const name of Object.keys(message.headers)) assert.equal(name, name.toLowerCase())
        if (message.cid !== undefined) assert.match(message.cid, /^[\x21-\x7e]{1,200}$/)
      } catch (error) {
        assert.ok(error instanceof SignalboxError, String(error))
      }
      assert.deepEqual(Object.keys(Object.prototype), [])
    }),
    { numRuns: 2_000 },
  )
})

const refused = (options: Record<string, unknown>, schema = RedisChannelOptions) => {
  assert.throws(() => parseOptions(schema, options, 'options'), { code: 'SIGNALBOX_OPTIONS_INVALID' })
}

test('options: one server, one source, one target', () => {
  const url = 'redis://127.0.0.1:6379'
  const stream = { name: 's', group: 'g' }
  const list = { name: 'l' }
  const service = 'x'
  parseOptions(RedisChannelOptions, { url, stream, service }, 'options')
  parseOptions(
    RedisChannelOptions,
    { sentinel: { name: 'm', nodes: ['[::1]:26379'] }, list, target: 'topic/x' },
    'options',
  )
  refused({ stream, service })
  refused({ url, cluster: { nodes: ['a:1'] }, stream, service })
  refused({ url, service })
  refused({ url, stream, list, service })
  refused({ url, stream })
  refused({ url, stream, service, target: 'topic/x' })
  refused({ url, pubsub: {}, service })
  refused({ url, stream: { ...stream, start: 'now' }, service })
  refused({ url, username: 'ada' }, RedisConnectionOptions as never)
})

test('addresses: no credentials, no paths, no other scheme', () => {
  for (const url of [
    'redis://user:pw@h:1',
    'redis://h/1',
    'http://h',
    'redis://h:1?x',
    'redis://h:123456',
    'redis://',
  ])
    refused({ url }, RedisConnectionOptions as never)
  for (const node of ['h', 'h:', ':1', 'a:b:1', 'h:1/x', 'u@h:1'])
    refused({ cluster: { nodes: [node] } }, RedisConnectionOptions as never)
})
