import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fixture } from '../../../test/fixture.ts'
import { SignalboxError } from '../../errors.ts'
import { compileSchema } from '../../schema.ts'
import { parseXml, xmlToObject } from '../xml.ts'
import { compileMapping } from './compile.ts'
import { type Fields, type MappingDefinition, MappingSchema, mapping, type Rule } from './definition.ts'
import { FUNCTIONS } from './functions.ts'
import { loadMapping, loadMappings, parseMapping } from './load.ts'

function run(map: Fields, input: unknown, extra?: Record<string, unknown>): unknown {
  return compileMapping({ map }).run(input, extra)
}

/** The value that one rule makes. */
function value(rule: Rule, input: unknown): unknown {
  return (run({ v: rule }, input) as { v?: unknown }).v
}

function failure(action: () => unknown): SignalboxError {
  try {
    action()
  } catch (error) {
    assert.ok(error instanceof SignalboxError, String(error))
    return error
  }
  return assert.fail('did not fail')
}

const ORDER = {
  id: 7,
  currency: 'EUR',
  customer: { name: ' Ada ', 'e.mail': 'a@b', tags: ['x', 'y'] },
  ids: [
    { scheme: 'DUNS', id: 1 },
    { scheme: 'VAT', id: 2 },
  ],
  lines: [
    { sku: 'a', quantity: 2, price: '1.10', unit: 'pcs' },
    { sku: 'b', quantity: 0, price: '9', unit: 'kg' },
    { sku: 'c', quantity: 3, price: '0.1' },
  ],
}

describe('paths', () => {
  const cases: [string, unknown][] = [
    ['id', 7],
    ['customer.name', ' Ada '],
    ['customer."e.mail"', 'a@b'],
    ["customer.'e.mail'", 'a@b'],
    ['customer.tags', ['x', 'y']],
    ['customer.tags[1]', 'y'],
    ['customer.tags[-1]', 'y'],
    ['customer.tags[5]', undefined],
    ['lines.sku', 'a'],
    ['lines[].sku', ['a', 'b', 'c']],
    ['lines[2].sku', 'c'],
    ["ids[scheme = 'VAT'].id", 2],
    ["ids[scheme = 'none'].id", undefined],
    ['lines[quantity > 0][].sku', ['a', 'c']],
    ['lines[not unit].sku', 'c'],
    ["lines[unit in ('kg', 'g') and price >= 9].sku", 'b'],
    ["lines[(quantity = 3 or quantity = 2) and unit != 'pcs'].sku", 'c'],
    ['lines[quantity = $.lines[0].quantity].sku', 'a'],
    ['$.customer.name', ' Ada '],
    ['^.id', 7],
    ['customer', ORDER.customer],
    ['missing.name', undefined],
    ['id.name', undefined],
    ['constructor', undefined],
    ['customer.toString', undefined],
    ['customer.__proto__', undefined],
    ['lines.length', undefined],
  ]
  for (const [path, expected] of cases) {
    test(path, () => assert.deepEqual(value(path, ORDER), expected))
  }

  test('beside the input, and at the item of a list', () => {
    assert.deepEqual(run({ cid: '$cid', all: '$' }, 5, { cid: 'c' }), { cid: 'c', all: 5 })
    const rule = { each: 'customer.tags', item: { from: '.', fn: 'upper' } }
    assert.deepEqual(value(rule, ORDER), ['X', 'Y'])
  })

  test('XML as data: one element or several, with attributes or without', () => {
    const xml = '<o><id s="1">7</id><n>a</n><n>b</n><l><q>1</q></l></o>'
    const input = xmlToObject(parseXml(Buffer.from(xml)))
    const map = {
      id: 'o.id.#text',
      n: 'o.n.#text',
      s: 'o.id.@s',
      x: 'o.n.@s',
      l: { each: 'o.l', map: { q: 'q' } },
    }
    assert.deepEqual(run(map, input), { id: '7', n: 'a', s: '1', l: [{ q: '1' }] })
  })

  test('only own properties of data are read', () => {
    class Account {
      get secret() {
        return 'secret'
      }
    }
    assert.equal(value('a.secret', { a: new Account() }), undefined)
    assert.equal(value('a.b', { a: Object.create({ b: 1 }) }), undefined)
    assert.equal(value('a.b', { a: Object.assign(Object.create(null), { b: 1 }) }), 1)
  })
})

describe('rules', () => {
  test('constants, defaults, alternatives, conditions', () => {
    assert.equal(value({ value: 'EUR' }, {}), 'EUR')
    assert.equal(value({ from: 'a', default: 'x' }, { a: null }), 'x')
    assert.equal(value({ from: 'a', default: false }, {}), false)
    assert.equal(value({ from: ['a', 'b', 'c'] }, { b: 0, c: 1 }), 0)
    const rule = { when: "kind = 'x'", from: 'a', else: { value: 'other' } }
    assert.equal(value(rule, { kind: 'x', a: 1 }), 1)
    assert.equal(value(rule, { kind: 'y', a: 1 }), 'other')
    assert.equal(value({ when: 'on', value: 1 }, { on: false }), undefined)
    const shared = compileMapping({ map: { v: { value: { list: [1] } } } })
    ;(shared.run({}) as { v: { list: number[] } }).v.list.push(2)
    assert.deepEqual(shared.run({}), { v: { list: [1] } })
  })

  test('objects: by dots, by map, left out when nothing is in them', () => {
    const map = { 'a.b.c': 'id', 'a.d': 'currency', e: { from: 'customer', map: { n: 'name', up: '^.id' } } }
    assert.deepEqual(run(map, ORDER), { a: { b: { c: 7 }, d: 'EUR' }, e: { n: ' Ada ', up: 7 } })
    assert.deepEqual(run(map, {}), {})
    assert.deepEqual(Object.keys(run({ z: 'id', a: 'id', m: 'none', b: 'id' }, ORDER) as object), [
      'z',
      'a',
      'b',
    ])
  })

  test('lists: with a condition, in each other, empty', () => {
    const map = {
      lines: { each: 'lines', where: 'quantity > 0', map: { sku: 'sku', currency: '^.currency' } },
    }
    assert.deepEqual(run(map, ORDER), {
      lines: [
        { sku: 'a', currency: 'EUR' },
        { sku: 'c', currency: 'EUR' },
      ],
    })
    assert.deepEqual(run(map, {}), { lines: [] })
    const nested = { rows: { each: 'a', item: { each: 'b', item: { from: '.', fn: 'upper' } } } }
    assert.deepEqual(run(nested, { a: [{ b: ['x'] }, { b: 'y' }, null] }), { rows: [['X'], ['Y']] })
  })

  test('tables: of the mapping, in the rule, given', () => {
    const definition: MappingDefinition = {
      tables: { units: { pcs: 'C62', constructor: 'own' } },
      map: {
        a: { from: 'a', lookup: 'units', default: 'ZZ' },
        b: { from: 'b', lookup: { 1: 'one', true: 'yes' } },
        c: { from: 'c', lookup: 'given' },
      },
    }
    const { run } = compileMapping(definition, { tables: { given: { x: { y: 1 } } } })
    assert.deepEqual(run({ a: 'pcs', b: 1, c: 'x' }), { a: 'C62', b: 'one', c: { y: 1 } })
    assert.deepEqual(run({ a: 'toString', b: true }), { a: 'ZZ', b: 'yes' })
  })

  test('functions of the user', () => {
    const definition: MappingDefinition = {
      map: { v: { from: 'a', fn: ['trim', { greet: ['Hi', { from: 'b' }] }] } },
    }
    const functions = { greet: (name: unknown, ...words: unknown[]) => `${words.join(' ')} ${name}` }
    assert.deepEqual(compileMapping(definition, { functions }).run({ a: ' Ada', b: 'dear' }), {
      v: 'Hi dear Ada',
    })
    const later = compileMapping(definition, { functions: { greet: async () => 1 } })
    assert.match(failure(() => later.run({ a: 'a' })).message, /returned a promise/)
  })
})

describe('functions', () => {
  const cases: [unknown, unknown, unknown][] = [
    ['trim', ' a ', 'a'],
    ['text', { '#text': ' a ', '@x': '1' }, 'a'],
    ['text', '  ', undefined],
    ['text', ['a', 'b'], 'a'],
    ['upper', 'aß', 'ASS'],
    ['number', '1.50', 1.5],
    ['integer', '12', 12],
    ['boolean', 'false', false],
    ['decimal', '+007.500', '7.5'],
    ['decimal', '-0.00', '0'],
    ['decimal', '.5', '0.5'],
    ['decimal', '5.', '5'],
    ['decimal', 1e21, '1000000000000000000000'],
    [{ fixed: 2 }, '1.005', '1.01'],
    [{ fixed: 2 }, '-1.005', '-1.01'],
    [{ round: [1, 'halfEven'] }, '0.25', '0.2'],
    [{ round: 0 }, '2.5', '3'],
    [{ add: '0.2' }, '0.1', '0.3'],
    [{ subtract: 1 }, '0.1', '-0.9'],
    [{ multiply: 3 }, '0.1', '0.3'],
    [{ divide: [3, 4] }, 1, '0.3333'],
    ['negate', '0', '0'],
    ['abs', '-2', '2'],
    [{ concat: ['-', 1] }, 'a', 'a-1'],
    [{ split: ',' }, 'a,b', ['a', 'b']],
    [{ join: '-' }, ['a', 1], 'a-1'],
    [{ substring: [1, 2] }, 'abcd', 'bc'],
    [{ substring: -2 }, 'abcd', 'cd'],
    [{ replace: ['.', '$&'] }, 'a.b', 'a$&b'],
    [{ padStart: [5, '0'] }, 42, '00042'],
    [{ like: 'AA99?' }, 'DE12.', 'DE12.'],
    [{ oneOf: ['a', 'b'] }, 'b', 'b'],
    [{ date: ['yyyyMMdd', 'dd.MM.yyyy'] }, '20240229', '29.02.2024'],
    [{ date: [['yyyy-MM-dd', 'd/M/yyyy']] }, '3/4/2024', '2024-04-03'],
    [{ date: ["yyyy-MM-dd'T'HH:mm:ssXXX", 'HH:mm XXX'] }, '2024-01-02T03:04:05+02:00', '03:04 +02:00'],
    [{ instant: ['yyyy-MM-dd HH:mm', 'Europe/Berlin'] }, '2024-07-01 12:00', '2024-07-01T10:00:00.000Z'],
    [{ instant: ['yyyy-MM-dd HH:mm', 'America/New_York'] }, '2024-11-03 12:00', '2024-11-03T17:00:00.000Z'],
    [{ local: ['yyyy-MM-dd HH:mm', 'Europe/Berlin'] }, '2024-01-01T23:30:00Z', '2024-01-02 00:30'],
    [{ local: ['HH:mm XXX', 'Asia/Kolkata'] }, 0, '05:30 +05:30'],
    ['first', ['a', 'b'], 'a'],
    ['last', ['a', 'b'], 'b'],
    ['count', ['a', 'b'], 2],
    ['sum', ['0.1', 0.2], '0.3'],
    ['min', ['10', '9'], '9'],
    ['max', ['10', '9'], '10'],
    ['distinct', ['a', 'b', 'a'], ['a', 'b']],
    ['nonEmpty', [], undefined],
  ]
  for (const [fn, input, expected] of cases) {
    test(`${JSON.stringify(fn)} of ${JSON.stringify(input)}`, () => {
      assert.deepEqual(value({ from: 'v', fn } as Rule, { v: input }), expected)
    })
  }

  const refusals: [unknown, unknown, RegExp][] = [
    ['decimal', '1e3', /'1e3' is not a decimal number/],
    ['decimal', '1'.repeat(41), /not a decimal/],
    ['number', '', /not a number/],
    ['integer', '1.5', /not a whole number/],
    ['boolean', 'yes', /not true or false/],
    ['trim', { a: 1 }, /an object is not a text/],
    [{ like: 'AAA' }, 'Euro', /not like AAA/],
    [{ oneOf: ['a'] }, 'b', /not one of a/],
    [{ date: 'yyyy-MM-dd' }, '2023-02-29', /not a date/],
    [{ divide: 0 }, 1, /division by zero/],
    [{ instant: ['HH:mm', 'UTC'] }, '24:00', /not a time/],
    [{ local: ['HH:mm', 'UTC'] }, 'now', /not an instant/],
  ]
  for (const [fn, input, message] of refusals) {
    test(`${JSON.stringify(fn)} refuses ${JSON.stringify(input)}`, () => {
      const error = failure(() => value({ from: 'v', fn } as Rule, { v: input }))
      assert.equal(error.code, 'SIGNALBOX_MAPPING_FAILED')
      assert.match(error.message, message)
      assert.match(error.message, /^mapping: v: .*\(for \/v\)$/)
    })
  }

  test('each has a description, and takes any value without anything but an Error', () => {
    for (const [name, { description }] of Object.entries(FUNCTIONS)) assert.ok(description.length > 5, name)
    const plain = Object.entries(FUNCTIONS).filter(([, { required }]) => required === 0)
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...plain.map(([name]) => name)), (input, fn) => {
        const { problems } = compileMapping({ map: { v: { from: 'v', fn } } }).report({ v: input })
        for (const { reason } of problems) assert.ok(reason === undefined || reason.length > 0)
      }),
      { numRuns: 300 },
    )
  })
})

describe('what is missing', () => {
  const definition: MappingDefinition = {
    map: {
      number: { from: 'id', required: true },
      buyer: { from: 'customer', required: true, map: { name: { from: 'name', required: true } } },
      note: 'note',
      lines: {
        each: 'lines',
        where: 'quantity > 0',
        required: true,
        map: {
          price: { from: 'price', fn: 'decimal', required: true },
          tags: { each: 'tags', item: { from: '.', fn: 'integer' } },
        },
      },
    },
  }

  test('all of it is reported, with places in lists', () => {
    const lines = [{ quantity: 0 }, { quantity: 1, price: 'x', tags: [1, 'a'] }, { quantity: 1 }]
    const error = failure(() => compileMapping(definition, { name: 'order' }).run({ customer: {}, lines }))
    assert.equal(error.code, 'SIGNALBOX_MAPPING_FAILED')
    assert.equal(error.status, 422)
    assert.deepEqual(error.details?.problems, [
      { source: 'id', target: '/number' },
      { source: 'customer.name', target: '/buyer/name' },
      { source: 'lines[1].price', target: '/lines/0/price', reason: "'x' is not a decimal number" },
      { source: 'lines[1].tags[1]', target: '/lines/0/tags/1', reason: "'a' is not a number" },
      { source: 'lines[2].price', target: '/lines/1/price' },
    ])
    assert.deepEqual(error.details?.missing, ['id', 'customer.name', 'lines[2].price'])
    const none = failure(() => compileMapping(definition).run({ id: 1 }))
    assert.equal(none.code, 'SIGNALBOX_MAPPING_MISSING')
    assert.deepEqual(none.details?.missing, ['customer', 'lines'])
  })

  test('a report has optional ones too, and does not throw', () => {
    const { output, problems, absent } = compileMapping(definition).report({
      id: 1,
      lines: [{ quantity: 1, price: 2 }],
    })
    assert.deepEqual(output, { number: 1, lines: [{ price: '2', tags: [] }] })
    assert.deepEqual(problems, [{ source: 'customer', target: '/buyer' }])
    assert.deepEqual(absent, [{ source: 'note', target: '/note' }])
  })

  test('a trace says where each value came from', () => {
    const lines = [{ quantity: 0 }, { quantity: 1, price: '2' }]
    const trace = compileMapping(definition).trace({ id: 1, customer: { name: 'a' }, lines })
    assert.equal(trace.get('/lines/0/price'), 'lines[1].price')
    assert.equal(trace.get('/buyer/name'), 'customer.name')
    assert.equal(trace.has('/note'), false)
  })
})

describe('what is wrong with a mapping is said at once, with its place', () => {
  const invalid = async (text: string) => {
    const [definition, options] = await parseMapping(text, 'm.yaml')
    return failure(() => compileMapping(definition, options))
  }

  test('everything, with line and column', async () => {
    const error = await invalid(
      'map:\n  a: { frm: b }\n  b: { from: c, fn: trimm }\n  c: "x[1"\n  d: { each: q }\n',
    )
    assert.equal(error.code, 'SIGNALBOX_MAPPING_INVALID')
    assert.match(error.message, /^m\.yaml: map\.a\.frm \(line 2, column \d+\) .*did you mean 'from'/)
    assert.match(error.message, /line 3, column \d+\) there is no function 'trimm'; did you mean 'trim'\?/)
    assert.match(error.message, /line 4/)
    assert.match(error.message, /line 5.*either map or item/)
    assert.equal((error.details!.issues as unknown[]).length, 4)
    assert.equal(error.details?.line, 2)
  })

  const cases: [string, RegExp][] = [
    ['map: { __proto__: a }', /not allowed in a target/],
    ['map: { a.constructor: a }', /not allowed in a target/],
    ['map: { a: b, "a.b": c }', /'a' is already mapped as a whole/],
    ['map: { a.b: x, a: c }', /'a' is mapped twice/],
    ['map: { a: 5 }', /write a constant as \{ value/],
    ['map: { a: { value: 1, from: b } }', /both from and value/],
    ['map: { a: { from: b, where: "c = 1" } }', /no each/],
    ['map: { a: { when: "c =", from: b } }', /a name is expected/],
    ['map: { a: { required: true } }', /says nothing about where/],
    ['map: { a: { from: b, required: 5 } }', /must be true or false/],
    ['map: { a: { from: b, lookup: unit } }\ntables: { units: {} }', /did you mean 'units'/],
    ['map: { a: { from: b, fn: { date: yyyy-QQ } } }', /'QQ' means nothing in a date pattern/],
    ['map: { a: { from: b, fn: { instant: [HH, Mars/Base] } } }', /no time zone/],
    ['map: { a: { from: b, fn: replace } }', /takes other arguments: search, replacement/],
    ['map: { a: { from: b, fn: { trim: 1 } } }', /takes other arguments: none/],
    ['map: { a: { from: b, fn: { like: { from: c } } } }', /must be constants/],
    ['mapp: {}', /means nothing here/],
    ['[]', /must be an object/],
    ['map: []', /must be an object of targets/],
  ]
  for (const [text, message] of cases) {
    test(text, async () => assert.match((await invalid(text)).message, message))
  }

  test('YAML that is none', async () => {
    await assert.rejects(parseMapping('map: {', 'm.yaml'), {
      code: 'SIGNALBOX_MAPPING_INVALID',
      message: /line 1/,
    })
  })

  test('nesting has a limit', () => {
    let rule: Rule = 'a'
    for (let i = 0; i < 100; i++) rule = { when: 'a', from: 'a', else: rule }
    assert.match(failure(() => run({ v: rule }, {})).message, /deeper than/)
    assert.match(
      failure(() => run({ v: { from: 'a', when: `${'('.repeat(100)}a${')'.repeat(100)}` } }, {})).message,
      /too deeply/,
    )
  })
})

test('nothing of a mapping becomes code', () => {
  const hostile = [
    '"];process.exit(1);["',
    "');process.exit(1);//",
    '\u2028process.exit(1)',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what a hostile name looks like
    '${process.exit(1)}',
    '`*/',
  ]
  for (const name of hostile) {
    const quoted = name.includes('"') ? `'${name}'` : `"${name}"`
    if (name.includes('"') && name.includes("'")) continue
    const map = {
      [quoted]: {
        from: quoted,
        lookup: { [name]: name },
        default: name,
        fn: { concat: [name, { value: name }] },
      },
    }
    assert.deepEqual(run(map, { [name]: '' }), { [name]: name })
    assert.deepEqual(value({ when: `a = ${quoted}`, value: name }, { a: name }), name)
  }
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.jsonValue(), (name, input) => {
      fc.pre(
        !name.includes('"') && !['__proto__', 'constructor', 'prototype'].includes(name) && input !== null,
      )
      assert.deepEqual(run({ [`"${name}"`]: `"${name}"` }, { [name]: input }), { [name]: input })
    }),
    { numRuns: 200 },
  )
})

test('the schema accepts what the compiler accepts', () => {
  const check = compileSchema(MappingSchema)
  const good: MappingDefinition = {
    description: 'x',
    from: 'order',
    tables: { t: { a: 1 } },
    map: {
      a: 'b',
      c: {
        from: ['d', 'e'],
        fn: ['trim', { concat: ['x', { from: 'f' }] }, { date: [['yyyy', 'MM']] }],
        lookup: 't',
        default: null,
        required: false,
      },
      g: { each: 'h', where: 'i = 1', item: { when: 'j', value: 1, else: 'k' } },
    },
  }
  assert.equal(check(good), undefined)
  assert.ok(check({ map: { a: { frm: 'b' } } }))
  assert.ok(check({ map: { a: 5 } }))
})

test('a mapping in TypeScript is checked by its types', () => {
  interface Order {
    id: number
    customer: { name: string }
    lines: { sku: string }[]
  }
  interface Invoice {
    number: number
    buyer: { name: string }
    note?: string
    lines: { item: string }[]
  }
  const typed = mapping<Order, Invoice>({
    map: {
      number: 'id',
      buyer: { map: { name: 'customer.name' } },
      lines: { each: 'lines', map: { item: 'sku' } },
    },
  })
  const { run } = compileMapping(typed)
  const invoice: Invoice = run({ id: 1, customer: { name: 'a' }, lines: [{ sku: 's' }] })
  assert.deepEqual(invoice, { number: 1, buyer: { name: 'a' }, lines: [{ item: 's' }] })
  // @ts-expect-error: lines are required.
  mapping<Order, Invoice>({ map: { number: 'id', buyer: { map: { name: 'customer.name' } } } })
  // @ts-expect-error: an order has no such path.
  mapping<Order, Pick<Invoice, 'number'>>({ map: { number: 'customer.nmae' } })
})

test('mappings as files', async () => {
  using folder = fixture({
    'a.yaml': 'map: { number: { from: id, required: true }, note: note }',
    'b.jsonata': '{ "number": id, "cid": $cid }',
    'c.ts': 'export default (input: { id: number }, extra?: object) => ({ number: input.id, extra })',
    'd.ts': "export default { map: { number: 'id' } }",
    'e.json': '{"map": {"number": "id"}}',
    'f.yaml': 'map: { a: { frm: b } }',
    'g.ts': 'export default 5',
    'h.txt': '',
    'i.test.ts': 'throw new Error()',
  })
  const loaded = await loadMappings(folder.path)
  assert.deepEqual(
    loaded.map(result =>
      'mapping' in result ? `${result.mapping.name} ${result.mapping.kind}` : result.file,
    ),
    ['a declared', 'b jsonata', 'c typescript', 'd declared', 'e declared', 'f.yaml', 'g.ts'],
  )
  const [a, b, c] = await Promise.all(
    ['a.yaml', 'b.jsonata', 'c.ts'].map(name => loadMapping(join(folder.path, name))),
  )
  assert.deepEqual(a!.run({ id: 1 }), { number: 1 })
  assert.deepEqual(a!.missing!({}), { required: ['id'], optional: ['note'] })
  assert.deepEqual(b!.run({ id: 1 }, { cid: 'c' }), { number: 1, cid: 'c' })
  assert.deepEqual(c!.run({ id: 1 }, { x: 1 }), { number: 1, extra: { x: 1 } })
  await assert.rejects(loadMapping(join(folder.path, 'f.yaml')), {
    code: 'SIGNALBOX_MAPPING_INVALID',
    message: /f\.yaml: .*line 1/,
  })
  await assert.rejects(loadMapping(join(folder.path, 'g.ts')), /default export must be/)
  await assert.rejects(loadMapping(join(folder.path, 'none.yaml')), { code: 'SIGNALBOX_MAPPING_INVALID' })
  await assert.rejects(loadMapping(join(folder.path, 'h.txt')), /ends in/)
  assert.deepEqual(await loadMappings(join(folder.path, 'none')), [])
  writeFileSync(join(folder.path, 'd.ts'), "export default { map: { changed: 'id' } }")
  const { utimesSync } = await import('node:fs')
  utimesSync(join(folder.path, 'd.ts'), new Date(), new Date(Date.now() + 5_000))
  assert.deepEqual((await loadMapping(join(folder.path, 'd.ts'))).run({ id: 1 }), { changed: 1 })
})
