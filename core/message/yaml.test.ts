import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { bytesOf, joinAll, LIMITS, mutated, refusal, sizes, splitAll, tryParse } from './format-test-kit.ts'
import { yaml } from './yaml.ts'

const INVALID = 'SIGNALBOX_FORMAT_INVALID'
const LIMIT = 'SIGNALBOX_FORMAT_LIMIT'
const parse = (text: string) => yaml.parse(Buffer.from(text), LIMITS)
const value = fc
  .jsonValue()
  .map(value => JSON.parse(JSON.stringify(value)) as unknown)
  .filter(value => !JSON.stringify(value).includes('_proto'))

describe('YAML', () => {
  test('what is built is parsed back, and split in any pieces gives the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 4 }), sizes, async (values, cut) => {
        assert.deepEqual(yaml.parse(bytesOf(yaml.build(values[0])), LIMITS), values[0])
        const stream = await joinAll(yaml, values)
        assert.deepEqual(await splitAll(yaml, stream, cut), { records: values, error: undefined })
      }),
    )
  })

  test('the core schema: yes is a text, and stays one for others', () => {
    assert.deepEqual(parse('a: yes\nb: 010\nc: 0o10\nd: 2024-01-01\ne: ~\nf: .inf\n1: x\n'), {
      a: 'yes',
      b: 10,
      c: 8,
      d: '2024-01-01',
      e: null,
      f: Number.POSITIVE_INFINITY,
      1: 'x',
    })
    assert.deepEqual(parse('%YAML 1.1\n---\na: yes\n<<: {b: 1}\n'), { a: 'yes', '<<': { b: 1 } })
    assert.equal(yaml.build({ a: 'yes' }), 'a: "yes"\n')
    assert.equal(parse(''), null)
    assert.deepEqual(parse('a: &x [1]\nb: *x\n'), { a: [1], b: [1] })
    assert.deepEqual(yaml.parse(Buffer.from('a: &x {b: 1}\nc:\n  <<: *x\n'), LIMITS, { merge: true }), {
      a: { b: 1 },
      c: { b: 1 },
    })
  })

  test('tags, duplicate names, names that reach prototypes and more than one document are refused', () => {
    const cases: [string, number, number][] = [
      ['a: 1\nb: !!js/function x\n', 2, 4],
      ['a: !foo x\n', 1, 4],
      ['a: !!binary aGk=\n', 1, 4],
      ['a: 1\na: 2\n', 2, 1],
      ['a: [1,\nb: 2\n', 2, 1],
      ['a: "\\x"\n', 1, 5],
      ['a: 1\n---\nb: 2\n', 2, 1],
      ['a: *x\n', 1, 4],
    ]
    for (const [text, line, column] of cases) {
      const { details, message } = refusal(yaml, text, INVALID)
      assert.deepEqual([details?.line, details?.column], [line, column], `${text}: ${message}`)
    }
    for (const text of [
      '__proto__: {polluted: 1}\n',
      'a: [{"\\x5f_proto__": {polluted: 1}}]\n',
      'constructor: {prototype: {polluted: 1}}\n',
    ]) {
      refusal(yaml, text, INVALID)
    }
    const merged = Buffer.from('a: &x {"__proto__": {polluted: 1}}\nb: {<<: *x}\n')
    assert.equal(tryParse(yaml, merged, { merge: true }).error?.code, INVALID)
  })

  test('alias bombs, depth and width are limits', () => {
    const laughs = ['a: &a [x,x,x,x,x,x,x,x,x]']
    for (let i = 1; i < 10; i++) {
      const [from, to] = ['abcdefghij'[i - 1], 'abcdefghij'[i]]
      laughs.push(`${to}: &${to} [${Array(9).fill(`*${from}`).join(',')}]`)
    }
    refusal(yaml, laughs.join('\n'), LIMIT)
    refusal(yaml, 'a: &a [*a]\n', LIMIT)
    for (const text of [
      '['.repeat(100_000),
      '{a: '.repeat(100_000),
      '- '.repeat(100_000),
      '? '.repeat(100_000),
      Array.from({ length: 700 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
      `${'['.repeat(65)}${']'.repeat(65)}`,
    ]) {
      const start = process.cpuUsage()
      const { error } = tryParse(yaml, Buffer.from(text))
      assert.ok(error?.code === LIMIT, `${text.slice(0, 10)} ${error?.message}`)
      const { user, system } = process.cpuUsage(start)
      assert.ok(user + system < 5e6, text.slice(0, 10))
    }
    const many = refusal(yaml, `[${'1,'.repeat(100)}]`, LIMIT, undefined, { maxDepth: 9, maxElements: 50 })
    assert.deepEqual(many.details, { limit: 'maxElements', max: 50 })
  })

  test('documents of a stream, with directives and comments, and the place of an error', async () => {
    const text = '# c\n%YAML 1.2\n---\na: |\n  --- x\n...\n# d\n---\n- 1\n--- {b: 2}\n---\n'
    const split = await splitAll(yaml, Buffer.from(text), [3])
    assert.deepEqual(split, { records: [{ a: '--- x\n' }, [1], { b: 2 }, null], error: undefined })
    const { records, error } = await splitAll(yaml, Buffer.from('a: 1\n---\nb: 2\nb: 3\n---\nc: 1\n'), [2])
    assert.deepEqual(records, [{ a: 1 }])
    assert.deepEqual(error?.details, { line: 4, column: 1, record: 2 })
    const large = await splitAll(yaml, Buffer.from(`a: 1\n---\n${'- 1\n'.repeat(100)}`), [9], undefined, {
      maxDepth: 9,
      maxRecordBytes: 100,
    })
    assert.deepEqual(large.error?.details?.limit, 'maxRecordBytes')
  })

  test('what YAML cannot say', () => {
    const cyclic: unknown[] = []
    cyclic.push(cyclic)
    for (const value of [cyclic, () => 1, Symbol('x'), { a: 1n }]) {
      assert.throws(() => yaml.build(value), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
    }
  })

  test('nearly right and random texts end in data or a typed error', async () => {
    const text = fc.oneof(
      value.map(value => yaml.build(value).toString()),
      fc.stringMatching(/^(?:[-?:,[\]{}#&*!|>'"%@ \na1~]|---\n|: |\n {2}|&a |\*a){0,30}$/),
    )
    await fc.assert(
      fc.asyncProperty(mutated(text), sizes, async (bytes, cut) => {
        const { value, error } = tryParse(yaml, bytes)
        const split = await splitAll(yaml, bytes, cut)
        if (!error && split.records.length > 0) assert.deepEqual(split.records, [value])
      }),
      { numRuns: 1500 },
    )
  })
})
