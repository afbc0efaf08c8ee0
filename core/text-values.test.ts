import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileSchema, type TSchema, Type } from './schema.ts'
import { readTexts } from './text-values.ts'

/** A schema with values that match it, none of which matches as a text. */
interface Kind {
  schema: TSchema
  value: fc.Arbitrary<number | boolean>
}

const KINDS: Kind[] = [
  { schema: Type.Integer(), value: fc.maxSafeInteger() },
  { schema: Type.Number(), value: fc.double({ noNaN: true, noDefaultInfinity: true }).map(n => n + 0 || 0) },
  { schema: Type.Boolean(), value: fc.boolean() },
  { schema: { enum: [1, 2.5, true] } as TSchema, value: fc.constantFrom(1, 2.5, true) },
  { schema: { const: 7 } as TSchema, value: fc.constant(7) },
  {
    schema: Type.Union([Type.Integer(), Type.Boolean()]),
    value: fc.oneof(fc.maxSafeInteger(), fc.boolean()),
  },
  { schema: Type.Union([Type.Literal(3), Type.Literal(false)]), value: fc.constantFrom(3, false) },
  { schema: Type.Union([Type.Null(), Type.Integer()]), value: fc.maxSafeInteger() },
]
const name = fc
  .oneof(
    fc.constantFrom('/', '~', '~1', 'a/b~0', 'constructor', '0'),
    fc.string({ minLength: 1, maxLength: 8 }),
  )
  .filter(text => text !== '__proto__')
const NUMERIC = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

test('what was written as text is read back as it was, whatever the name of the member', () => {
  const member = fc.constantFrom(...KINDS).chain(({ schema, value }) =>
    fc.oneof(
      value.map(one => ({ schema, value: one as unknown, text: String(one) as string | string[] })),
      fc.array(value, { minLength: 1, maxLength: 4 }).map(many => ({
        schema: Type.Array(schema),
        value: many as unknown,
        text: many.length === 1 ? String(many[0]) : many.map(String),
      })),
    ),
  )
  fc.assert(
    fc.property(fc.dictionary(name, member, { minKeys: 1, maxKeys: 4, noNullPrototype: true }), members => {
      const of = (key: 'schema' | 'value' | 'text') =>
        Object.fromEntries(Object.entries(members).map(([name, member]) => [name, member[key]]))
      const schema = Type.Object(of('schema') as Record<string, TSchema>)
      const texts = of('text')
      const before = structuredClone(texts)
      const read = readTexts(schema, texts, '')
      assert.deepEqual(read, { value: of('value'), violations: undefined })
      assert.deepEqual(texts, before, 'the texts themselves are left alone')
    }),
  )
})

test('a text is itself or what it says by the letter, and never anything that does not match', () => {
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom('', ' ', '1 ', ' 1', '+1', '01', '-0', '1.', '.5', '1.0', '1e3', '0x10', '1_0', 'NaN'),
    fc.constantFrom('Infinity', '1e999', '9007199254740993', 'TRUE', 'True', '1', '0', 'yes', 'null', 'true'),
    fc.double().map(String),
  )
  const schemas = [...KINDS.map(({ schema }) => schema), Type.String(), Type.Array(Type.Number())]
  fc.assert(
    fc.property(fc.constantFrom(...schemas), text, (schema, text) => {
      const whole = Type.Object({ x: schema })
      const { value, violations } = readTexts(whole, { x: text }, '')
      assert.deepEqual(violations, compileSchema(whole)(value))
      const [x] = [(value as { x: unknown }).x].flat()
      if (typeof x === 'string') assert.equal(x, text)
      else if (typeof x === 'boolean') assert.equal(String(x), text)
      else {
        assert.ok(typeof x === 'number' && Number.isFinite(x), String(x))
        assert.match(text, NUMERIC)
        assert.equal(x, JSON.parse(text))
      }
    }),
  )
})

const LEFT_ALONE: [schema: TSchema, text: string][] = [
  [Type.Integer(), '9007199254740993'],
  [Type.Integer(), '1.0'],
  [Type.Integer(), '1e3'],
  [Type.Integer(), ''],
  [Type.Integer(), '-0'],
  [Type.Number(), '1e999'],
  [Type.Number(), '0x10'],
  [Type.Boolean(), '1'],
  [Type.Boolean(), 'True'],
  [Type.Null(), 'null'],
  [Type.Null(), ''],
  [Type.Object({}), '{}'],
  [{ enum: ['a', 1] } as TSchema, '1.0'],
]

test('what is not written as a number or boolean stays a text', () => {
  for (const [schema, text] of LEFT_ALONE) {
    const { value, violations } = readTexts(Type.Object({ x: schema }), { x: text }, '')
    assert.deepEqual(value, { x: text })
    assert.equal(violations?.[0]?.pointer, '/x')
  }
})

test('a text that is taken as it is stays one', () => {
  const schema = Type.Object({
    either: Type.Union([Type.Integer(), Type.String()]),
    any: Type.Unknown(),
    code: { enum: [12, '12'] } as TSchema,
    list: Type.Union([Type.Array(Type.String()), Type.String()]),
  })
  const texts = { either: '12', any: 'true', code: '12', list: 'a', more: '1' }
  assert.deepEqual(readTexts(schema, texts, ''), { value: texts, violations: undefined })
})

test('every violation is reported with its place, in the sense of the type', () => {
  const schema = Type.Object({
    page: Type.Integer({ maximum: 10 }),
    size: Type.Integer(),
    tags: Type.Array(Type.Integer(), { maxItems: 2 }),
    one: Type.Integer(),
    missing: Type.String(),
  })
  const { violations } = readTexts(
    schema,
    { page: '99', size: 'x', tags: ['1', 'y', '3'], one: ['1', '2'] },
    '',
  )
  assert.deepEqual(
    violations!.map(({ pointer, rule }) => `${pointer} ${rule}`).toSorted(),
    [
      " must have required property 'missing'",
      '/one must be integer',
      '/page must be <= 10',
      '/size must be integer',
      '/tags must NOT have more than 2 items',
      '/tags/1 must be integer',
    ].toSorted(),
  )
})

test('the alternative that matches decides, also where another one would read a text differently', () => {
  const schema = Type.Union([
    Type.Object({ kind: Type.Literal('page'), at: Type.Integer() }),
    Type.Object({ kind: Type.Literal('cursor'), at: Type.String(), size: Type.Integer() }),
    Type.Object({ kind: Type.Literal('list'), at: Type.Array(Type.Integer()) }),
  ])
  const read = (texts: object) => readTexts(schema, texts, '')
  assert.deepEqual(read({ kind: 'page', at: '7' }).value, { kind: 'page', at: 7 })
  assert.deepEqual(read({ kind: 'cursor', at: '7', size: '5' }).value, { kind: 'cursor', at: '7', size: 5 })
  assert.deepEqual(read({ kind: 'list', at: ['7', '8'] }).value, { kind: 'list', at: [7, 8] })
  assert.ok(read({ kind: 'other', at: '7' }).violations)
})

test('references are followed', () => {
  const schema = {
    $defs: { count: { type: 'integer', minimum: 1 } },
    type: 'object',
    allOf: [{ properties: { a: { $ref: '#/$defs/count' } } }],
    patternProperties: { '^n': { $ref: '#/$defs/count' } },
  }
  const read = readTexts(schema, { a: '1', n1: '2', other: '3' }, '')
  assert.deepEqual(read, { value: { a: 1, n1: 2, other: '3' }, violations: undefined })
})

test('only the members of the named object are read, and nothing below them', () => {
  const schema = Type.Object({
    fields: Type.Object({ n: Type.Integer() }),
    files: Type.Array(Type.Object({ bytes: Type.Integer() })),
  })
  const value = { fields: { n: '1' }, files: [{ bytes: '2' }] }
  const read = readTexts(schema, value, '/fields')
  assert.deepEqual(read.value, { fields: { n: 1 }, files: [{ bytes: '2' }] })
  assert.deepEqual(
    read.violations!.map(({ pointer }) => pointer),
    ['/files/0/bytes'],
  )
  const deep = Type.Object({ a: Type.Array(Type.Array(Type.Integer())) })
  assert.ok(readTexts(deep, { a: [['1']] }, '').violations)
  for (const nothing of [undefined, null, 'x', 7, []]) {
    for (const textAt of ['', '/fields']) assert.equal(readTexts(schema, nothing, textAt).value, nothing)
  }
})

test('many wrong texts are told as quickly as they are checked', () => {
  const schema = Type.Object({ a: Type.Array(Type.Union([Type.Integer(), Type.Boolean(), Type.Null()])) })
  const a = Array.from({ length: 20_000 }, (_, i) => (i % 2 ? 'x' : String(i)))
  const start = performance.now()
  const { value, violations } = readTexts(schema, { a }, '')
  assert.equal((value as { a: unknown[] }).a[2], 2)
  assert.equal(violations!.filter(({ rule }) => rule === 'must be integer').length, 10_000)
  assert.ok(performance.now() - start < 5_000)
})
