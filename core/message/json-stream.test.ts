import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { joinAll, LIMITS, mutated, refusal, sizes, splitAll, tryParse } from './format-test-kit.ts'
import { json } from './json.ts'
import { jsonl } from './jsonl.ts'

const INVALID = 'SIGNALBOX_FORMAT_INVALID'
const value = fc
  .jsonValue()
  .map(value => JSON.parse(JSON.stringify(value)) as unknown)
  .filter(value => !JSON.stringify(value).includes('_proto'))
/** White space where JSON allows it. */
const spaced = (text: string, space: string) => text.replace(/^[[{]|[\]}]$/g, found => space + found + space)

describe('JSON Lines', () => {
  test('what is built is parsed back, and split in any pieces gives the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(value), sizes, async (values, cut) => {
        const bytes = Buffer.from(jsonl.build(values))
        assert.deepEqual(jsonl.parse(bytes, LIMITS), values)
        assert.deepEqual(await splitAll(jsonl, bytes, cut), { records: values, error: undefined })
        assert.deepEqual(await joinAll(jsonl, values), bytes)
      }),
    )
  })

  test('errors have line, column and record; records before them are given', async () => {
    const body = '{"a":1}\r\n\n  \n{"b":\n2'
    assert.deepEqual(refusal(jsonl, body, INVALID).details, { line: 4, column: 6, record: 2 })
    const { records, error } = await splitAll(jsonl, Buffer.from(body), [3])
    assert.deepEqual([records, error?.details?.line], [[{ a: 1 }], 4])
    refusal(jsonl, '{"__proto__":1}', INVALID)
    refusal(jsonl, Buffer.from([0x31, 0x0a, 0xff]), INVALID)
    const limit = (text: string, limits: object) =>
      refusal(jsonl, text, 'SIGNALBOX_FORMAT_LIMIT', undefined, { ...LIMITS, ...limits }).details?.limit
    assert.equal(limit('1\n'.repeat(11), { maxElements: 10 }), 'maxElements')
    assert.equal(limit('[1,2,3]\n'.repeat(3), { maxElements: 10 }), 'maxElements')
    assert.equal(limit(`"${'x'.repeat(100)}"`, { maxRecordBytes: 50 }), 'maxRecordBytes')
    assert.equal(limit('[[[1]]]', { maxDepth: 2 }), 'maxDepth')
    assert.throws(() => jsonl.build({}), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
    assert.throws(() => jsonl.build([1n]), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
  })
})

describe('elements of a JSON array', () => {
  test('any array in any pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(value),
        sizes,
        fc.constantFrom('', ' ', '\n\t'),
        async (values, cut, space) => {
          const text = spaced(JSON.stringify(values, undefined, space.length), space)
          assert.deepEqual(await splitAll(json, Buffer.from(text), cut), {
            records: values,
            error: undefined,
          })
          const joined = await joinAll(json, values)
          assert.deepEqual(json.parse(joined, LIMITS), values)
        },
      ),
    )
  })

  test('an array inside, beside other things', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(value), value, fc.string(), sizes, async (values, other, name, cut) => {
        fc.pre(name !== '__proto__' && !['before', 'z'].includes(name) && !/^\d+$/.test(name))
        const body = Buffer.from(
          JSON.stringify({ before: other, [name]: [other, { x: values, y: other }, other], z: 1 }),
        )
        const pointer = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}/1/x`
        assert.deepEqual(await splitAll(json, body, cut, { pointer }), { records: values, error: undefined })
        assert.deepEqual(json.parse(body, LIMITS, { pointer }), values)
      }),
    )
    const options = { pointer: '/a~1b/c' }
    const joined = await joinAll(json, [1, 2], options)
    assert.equal(joined.toString(), '{"a/b":{"c":[1,2]}}')
    assert.equal(json.build([1, 2], options), joined.toString())
    assert.equal((await joinAll(json, [], options)).toString(), '{"a/b":{"c":[]}}')
    assert.deepEqual((await splitAll(json, joined, [1], options)).records, [1, 2])
  })

  test('errors have line, column, offset and element; elements before them are given', async () => {
    const cases: [string, unknown[], string, object][] = [
      ['[1,\n {"a":x}]', [1], INVALID, { line: 2, column: 7, record: 2 }],
      ['[1,\n\n 2', [1], INVALID, { line: 3, column: 3, record: 2 }],
      ['[1,]', [1], INVALID, { line: 1, column: 4 }],
      ['[1,,2]', [1], INVALID, { line: 1, column: 4 }],
      ['[1}', [], INVALID, { column: 3 }],
      ['[1] 2', [1], INVALID, { column: 5 }],
      ['[{"__proto__":1}]', [], INVALID, { record: 1 }],
      ['{"a":1}', [], INVALID, { pointer: '' }],
      ['[[[[1]]]]', [], 'SIGNALBOX_FORMAT_LIMIT', { limit: 'maxDepth', record: 1 }],
      [`["${'x'.repeat(200)}"]`, [], 'SIGNALBOX_FORMAT_LIMIT', { limit: 'maxRecordBytes', record: 1 }],
      ['', [], INVALID, {}],
    ]
    for (const [text, records, code, details] of cases) {
      for (const cut of [1, 7, 999]) {
        const got = await splitAll(json, Buffer.from(text), [cut], undefined, {
          maxDepth: 2,
          maxRecordBytes: 100,
        })
        assert.equal(got.error?.code, code, text)
        for (const [name, value] of Object.entries(details)) {
          assert.equal(got.error?.details?.[name], value, `${text} in ${cut}: ${name}`)
        }
        assert.deepEqual(got.records, records, text)
      }
    }
    for (const pointer of ['/b', '/a/b', '/a/7', '/c']) {
      const { error } = await splitAll(json, Buffer.from('{"a":[1,2],"c":{}}'), [2], { pointer })
      assert.equal(error?.code, INVALID, pointer)
      refusal(json, '{"a":[1,2]}', INVALID, { pointer: `${pointer}/x` })
    }
  })

  test('nearly right texts end in elements or a typed error, split as parsed', async () => {
    const text = fc.oneof(
      fc.array(value).map(values => JSON.stringify(values)),
      fc.stringMatching(/^\[(?:[[\]{},:"\\1 \n]|\{"a":1\}){0,20}\]$/),
    )
    await fc.assert(
      fc.asyncProperty(mutated(text), sizes, async (bytes, cut) => {
        const { value, error } = tryParse(json, bytes)
        const split = await splitAll(json, bytes, cut)
        if (Array.isArray(value)) assert.deepEqual(split, { records: value, error: undefined })
        else assert.ok(split.error)
        if (error) assert.equal(split.error?.code, error.code)
      }),
      { numRuns: 1500 },
    )
  })

  test('1 MiB byte by byte takes linear time', async () => {
    const start = process.cpuUsage()
    for (const body of [
      `[${'"x",'.repeat(250_000)}1]`,
      `["${'\\"'.repeat(500_000)}"]`,
      `[${' '.repeat(1_000_000)}`,
    ]) {
      await splitAll(json, Buffer.from(body), [1])
      await splitAll(json, Buffer.from(body), [100_000])
      await splitAll(jsonl, Buffer.from(body), [1])
    }
    const { user, system } = process.cpuUsage(start)
    assert.ok(user + system < 20e6, `${(user + system) / 1e6} s`)
  })
})
