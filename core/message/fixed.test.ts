import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseOptions } from '../schema.ts'
import { type FixedOptions, fixed } from './fixed.ts'
import { bytesOf, joinAll, LIMITS, mutated, refusal, sizes, splitAll, tryParse } from './format-test-kit.ts'

const INVALID = 'SIGNALBOX_FORMAT_INVALID'
const OPTIONS: FixedOptions = {
  columns: [
    { name: 'id', width: 4, type: 'integer', pad: '0' },
    { name: 'name', width: 6 },
    { name: 'amount', width: 8, type: 'number', decimal: ',' },
    { name: 'day', width: 10, type: 'date' },
    { name: 'code', width: 3, align: 'right', pad: '*' },
  ],
}

test('fields are stripped of their padding and have their types', () => {
  const second = ['-012', ' '.repeat(6), '1'.padStart(8), ' '.repeat(10), '**C'].join('')
  const body = `0007Müller  -12,502024-02-29*AB\r\n${second}\n`
  assert.deepEqual(fixed.parse(bytesOf(body), LIMITS, OPTIONS), [
    { id: 7, name: 'Müller', amount: -12.5, day: new Date('2024-02-29Z'), code: 'AB' },
    { id: -12, name: '', amount: 1, day: null, code: 'C' },
  ])
  const record = { id: -12, name: 'ab', amount: 1.5, code: 'C' }
  assert.equal(fixed.build([record], OPTIONS), `-012ab         1,5${' '.repeat(10)}**C\n`)
})

test('without a separator records follow each other', () => {
  const options: FixedOptions = {
    separator: 'none',
    columns: [
      { name: 'a', width: 2 },
      { name: 'b', width: 1 },
    ],
  }
  assert.deepEqual(fixed.parse(Buffer.from('xxyz\nw'), LIMITS, options), [
    { a: 'xx', b: 'y' },
    { a: 'z\n', b: 'w' },
  ])
  assert.equal(fixed.build([{ a: 'z\n', b: '' }], options), 'z\n ')
  const error = refusal(fixed, 'xxyz', INVALID, options)
  assert.deepEqual(error.details, { offset: 4, column: 2, record: 2 })
})

test('wrong lengths and values are refused with record and column, or padded and fitted', () => {
  const options: FixedOptions = {
    columns: [
      { name: 'a', width: 2 },
      { name: 'n', width: 2, type: 'integer' },
    ],
  }
  assert.deepEqual(refusal(fixed, 'ab 1\nab x\n', INVALID, options).details, {
    line: 2,
    column: 3,
    record: 2,
  })
  assert.deepEqual(refusal(fixed, 'ab 1\nab\n', INVALID, options).details, { line: 2, column: 3, record: 2 })
  assert.deepEqual(fixed.parse(Buffer.from('ab\n'), LIMITS, { ...options, ragged: 'pad' }), [
    { a: 'ab', n: null },
  ])
  refusal(fixed, 'ab 12\n', INVALID, { ...options, ragged: 'pad' })
  assert.deepEqual(fixed.parse(Buffer.from('ab 1xxx\n'), LIMITS, { ...options, ragged: 'fit' }), [
    { a: 'ab', n: 1 },
  ])
  const limit = (limits: object) =>
    refusal(fixed, 'ab 1\n'.repeat(9), 'SIGNALBOX_FORMAT_LIMIT', options, { ...LIMITS, ...limits })
  assert.equal(limit({ maxElements: 10 }).details?.limit, 'maxElements')
  assert.equal(limit({ maxRecordBytes: 3 }).details?.limit, 'maxRecordBytes')
})

test('what does not fit is not written', () => {
  const options: FixedOptions = {
    columns: [
      { name: 'a', width: 2 },
      { name: 'n', width: 2, type: 'integer' },
    ],
  }
  for (const record of [
    { a: 'abc' },
    { n: 100 },
    { n: 1.5 },
    { b: 1 },
    { a: '\n' },
    { a: {} },
    'ab',
    ['a'],
  ]) {
    assert.throws(
      () => fixed.build([record], options),
      { code: 'SIGNALBOX_CODEC_UNENCODABLE' },
      JSON.stringify(record),
    )
  }
  assert.throws(() => fixed.build({}, options), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
})

test('it means nothing without columns', () => {
  refusal(fixed, 'x', 'SIGNALBOX_FORMAT_UNSUPPORTED')
  for (const columns of [[], [{ name: '__proto__', width: 1 }], [{ name: 'a', width: 0 }]]) {
    assert.throws(() => parseOptions(fixed.options!, { columns }, 'fixed'), {
      code: 'SIGNALBOX_OPTIONS_INVALID',
    })
  }
  const twice = [
    { name: 'a', width: 1 },
    { name: 'a', width: 1 },
  ]
  refusal(fixed, 'xx', 'SIGNALBOX_OPTIONS_INVALID', { columns: twice })
})

test('what is built is parsed back, and split in any pieces gives the same', async () => {
  const cell = fc.string({ unit: 'grapheme', maxLength: 4 }).map(text =>
    text
      .slice(0, 4)
      .toWellFormed()
      .replace(/[\r\n\ufeff]/g, '')
      .replace(/ +$/, ''),
  )
  const record = fc.record(
    {
      s: cell,
      n: fc.integer({ min: -999, max: 999 }),
      b: fc.boolean(),
      z: fc.option(fc.integer({ min: 0, max: 99 })),
    },
    { noNullPrototype: true },
  )
  const separator = fc.constantFrom('line' as const, 'none' as const)
  await fc.assert(
    fc.asyncProperty(
      fc.array(record),
      separator,
      fc.constantFrom('utf-8', 'utf-16le'),
      sizes,
      async (records, separator, charset, cut) => {
        const options: FixedOptions = {
          separator,
          charset,
          columns: [
            { name: 's', width: 4 },
            { name: 'n', width: 5, type: 'integer', pad: '0' },
            { name: 'b', width: 5, type: 'boolean' },
            { name: 'z', width: 2, type: 'integer' },
          ],
        }
        const bytes = bytesOf(fixed.build(records, options))
        assert.deepEqual(fixed.parse(bytes, LIMITS, options), records)
        assert.deepEqual(await splitAll(fixed, bytes, cut, options), { records, error: undefined })
        assert.deepEqual(await joinAll(fixed, records, options), bytes)
      },
    ),
  )
})

test('nearly right records end in records or a typed error, split as parsed', async () => {
  const text = fc.array(fc.constantFrom('ab 1\n', 'c  2\r\n', '\n', 'ä 1\n')).map(lines => lines.join(''))
  const separator = fc.constantFrom('line' as const, 'none' as const)
  await fc.assert(
    fc.asyncProperty(mutated(text), separator, sizes, async (bytes, separator, cut) => {
      const options: FixedOptions = {
        separator,
        columns: [
          { name: 'a', width: 2 },
          { name: 'n', width: 2, type: 'integer' },
        ],
      }
      const { value, error } = tryParse(fixed, bytes, options)
      const split = await splitAll(fixed, bytes, cut, options)
      assert.equal(split.error?.code, error?.code)
      if (!error) assert.deepEqual(split.records, value)
    }),
    { numRuns: 500 },
  )
})
