import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { type JsonSchemaOptions, jsonSchemaValidator } from './json-schema.ts'
import { patternCost } from './pattern-cost.ts'
import { timeBoxed } from './time-box.ts'
import type { Violation } from './violation.ts'

const folder = mkdtempSync(join(tmpdir(), 'signalbox-schema-'))
after(() => rmSync(folder, { recursive: true }))

function put(path: string, schema: object | string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), typeof schema === 'string' ? schema : JSON.stringify(schema))
}

function check(schema: object, message: unknown, more: object = {}): Violation[] {
  return jsonSchemaValidator({ schema, ...more }).validate(message) as Violation[]
}

function checkFile(schemaFile: string, message: unknown): Violation[] {
  return jsonSchemaValidator({ schemaFile, folder }).validate(message) as Violation[]
}

function unusable(options: JsonSchemaOptions, expected: RegExp): void {
  assert.throws(
    () => jsonSchemaValidator(options),
    error => {
      assert.equal((error as { code: string }).code, 'SIGNALBOX_SCHEMA_INVALID')
      assert.match((error as Error).message, expected)
      return true
    },
  )
}

describe('JSON Schema', () => {
  const order = {
    type: 'object',
    required: ['id', 'lines'],
    properties: {
      id: { type: 'string', pattern: '^[A-Z]+-[0-9]+$' },
      date: { format: 'date' },
      lines: {
        type: 'array',
        items: { type: 'object', properties: { price: { type: 'number', minimum: 0 } } },
      },
    },
    additionalProperties: false,
  }

  test('all violations, each with its place, rule and value', () => {
    const message = { id: 'x', date: '2024-02-30', lines: [{ price: 1 }, { price: -1 }, 'no'], more: {} }
    const found = check(order, message)
    assert.deepEqual(
      found.map(({ pointer, rule, value }) => ({ pointer, rule, ...(value !== undefined && { value }) })),
      [
        { pointer: '', rule: 'additionalProperties' },
        { pointer: '/id', rule: 'pattern', value: 'x' },
        { pointer: '/date', rule: 'format', value: '2024-02-30' },
        { pointer: '/lines/1/price', rule: 'minimum', value: -1 },
        { pointer: '/lines/2', rule: 'type', value: 'no' },
      ],
    )
    assert.deepEqual(found[3], {
      source: 'schema',
      severity: 'error',
      rule: 'minimum',
      message: 'must be >= 0',
      pointer: '/lines/1/price',
      value: -1,
    })
    assert.deepEqual(check(order, { id: 'A-1', lines: [] }), [])
  })

  test('each draft by its own words', () => {
    const by = (draft: string, schema: object) => ({
      $schema: `${draft === 'draft-07' ? 'http' : 'https'}://json-schema.org/${draft}/schema#`,
      ...schema,
    })
    const tuple = { items: [{ type: 'string' }] }
    assert.equal(check(by('draft-07', tuple), [1]).length, 1)
    assert.equal(check(by('draft/2019-09', { dependentRequired: { a: ['b'] } }), { a: 1 }).length, 1)
    assert.equal(check(by('draft/2020-12', { prefixItems: [{ type: 'string' }] }), [1]).length, 1)
    assert.equal(check({ prefixItems: [{ type: 'string' }] }, [1]).length, 1, 'the default is 2020-12')
    assert.equal(
      check({ definitions: { a: { type: 'string' } }, $ref: '#/definitions/a' }, 1, { draft: '07' }).length,
      1,
    )
    unusable({ schema: { $schema: 'http://json-schema.org/draft-04/schema#' } }, /none of the drafts/)
  })

  test('references to files of the folder, by path and by $id, in circles', () => {
    put('order.json', {
      properties: {
        lines: { items: { $ref: 'parts/line.json' } },
        tax: { $ref: 'parts/types.json#/$defs/rate' },
      },
    })
    put('parts/line.json', {
      properties: { price: { $ref: 'types.json#/$defs/amount' }, parent: { $ref: '../order.json' } },
    })
    put('parts/types.json', {
      $id: 'https://example.org/types.json',
      $defs: { amount: { type: 'string' }, rate: { $ref: '#/$defs/amount' } },
    })
    assert.deepEqual(
      checkFile('order.json', { lines: [{ price: 1, parent: { lines: [{ price: 2 }] } }], tax: 3 })
        .map(each => each.pointer)
        .sort(),
      ['/lines/0/parent/lines/0/price', '/lines/0/price', '/tax'],
    )
    const url = pathToFileURL(`${folder}/`)
    assert.ok(
      Array.isArray(jsonSchemaValidator({ schemaFile: 'order.json', folder: url }).validate({ tax: 1 })),
    )
    put('named.json', { $id: 'https://example.org/a/named.json', $ref: 'other.json' })
    put('other.json', { type: 'integer' })
    assert.equal(checkFile('named.json', 'x').length, 1)
  })

  test('nothing outside of the folder is read, nothing is fetched', () => {
    const outside = mkdtempSync(join(tmpdir(), 'signalbox-outside-'))
    try {
      writeFileSync(join(outside, 'secret.json'), '{}')
      symlinkSync(join(outside, 'secret.json'), join(folder, 'link.json'))
      symlinkSync(outside, join(folder, 'linked'))
      for (const $ref of [
        '../secret.json',
        '/etc/passwd',
        'a/../../secret.json',
        '%2e%2e/secret.json',
        '..\\secret.json',
      ]) {
        put('bad.json', { $ref })
        unusable({ schemaFile: 'bad.json', folder }, /out of the folder/)
      }
      put('bad.json', { $ref: 'link.json' })
      unusable({ schemaFile: 'bad.json', folder }, /symbolic link/)
      put('bad.json', { $ref: 'linked/secret.json' })
      unusable({ schemaFile: 'bad.json', folder }, /symbolic link/)
      for (const $ref of ['http://127.0.0.1:1/x.json', 'file:///etc/passwd', 'missing.json']) {
        put('bad.json', { $ref })
        unusable({ schemaFile: 'bad.json', folder }, /can't resolve reference/)
      }
    } finally {
      rmSync(outside, { recursive: true })
    }
  })

  test('schemas that cannot be used', () => {
    put('broken.json', '{')
    unusable({ schemaFile: 'broken.json', folder }, /broken.json is not JSON/)
    put('list.json', '[]')
    unusable({ schemaFile: 'list.json', folder }, /no object/)
    unusable({ schemaFile: 'none.json', folder }, /cannot be read|no such file/i)
    unusable({ schemaFile: 'x.json', folder: join(folder, 'nowhere') }, /no folder/)
    unusable({ schema: { type: 'strin' } }, /type/)
    unusable({ schema: { pattern: '(' } }, /./)
  })

  test('equal schemas are compiled once', () => {
    const many = {
      type: 'object',
      properties: Object.fromEntries(
        Array.from({ length: 2_000 }, (_, i) => [`p${i}`, { type: 'string', minLength: i }]),
      ),
    }
    const timed = () => {
      const start = performance.now()
      jsonSchemaValidator({ schema: structuredClone(many) })
      return performance.now() - start
    }
    const first = timed()
    assert.ok(Math.min(timed(), timed()) < first / 2, `first ${first} ms`)
  })
})

describe('messages that would make a check take long', () => {
  const limit = { code: 'SIGNALBOX_FORMAT_LIMIT', details: { limit: 'timeLimitMs', max: 50 } }
  const timed = { timeLimitMs: 50 }

  function bounded(schema: object, message: unknown): void {
    const start = performance.now()
    assert.throws(() => check(schema, message, timed), limit)
    assert.ok(performance.now() - start < 1_000)
  }

  test('expressions that backtrack', () => {
    const text = `${'a'.repeat(60)}!`
    for (const pattern of ['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '(a*)*b', '^(\\w+\\s?)*$', '^(?=(a+)+$)x']) {
      bounded({ pattern }, text)
    }
    bounded({ patternProperties: { '^(a+)+$': {} } }, { [text]: 1 })
    bounded({ pattern: 'a+a+!b' }, 'a'.repeat(100_000))
    bounded({ pattern: 'a+b' }, 'a'.repeat(1_000_000))
  })

  test('a harmless message passes all the same', () => {
    // However busy the machine is.
    const patient = { timeLimitMs: 10_000 }
    assert.deepEqual(check({ pattern: '^(a+)+$' }, 'aaa', patient), [])
    assert.equal(check({ pattern: '^(a+)+$' }, 'b', patient).length, 1)
    assert.deepEqual(check({ pattern: 'a+$' }, 'a'.repeat(300), patient), [])
    assert.equal(check({ format: 'email' }, `${'a'.repeat(5_000)}@`, patient).length, 1)
  })

  test('unique items, recursion with alternatives, too many values, cycles', () => {
    const items = Array.from({ length: 40_000 }, (_, i) => ({ a: i }))
    bounded({ uniqueItems: true }, items)
    let nested: object = {}
    for (let i = 0; i < 60; i++) nested = { a: nested }
    const again = { properties: { a: { $ref: '#' } } }
    bounded(
      {
        anyOf: [
          { ...again, required: ['x'] },
          { ...again, required: ['y'] },
        ],
      },
      nested,
    )
    const cycle: Record<string, unknown> = {}
    cycle.self = [cycle, cycle]
    for (const big of [Array(200_000).fill(0), cycle]) {
      assert.throws(() => check({}, big), {
        code: 'SIGNALBOX_FORMAT_LIMIT',
        details: { limit: 'maxValues', max: 100_000 },
      })
    }
  })

  test('cost of expressions', () => {
    const costs: [string, string][] = [
      ['^[A-Z]{2}[0-9]{2}$', 'linear'],
      ['^\\d+$', 'linear'],
      ['^(A|B|C)$', 'linear'],
      ['^(?:GB|XI)?[0-9]{9}$', 'linear'],
      ['^[a-z]+-[0-9]+$', 'polynomial'],
      ['a+', 'polynomial'],
      ['^[(+*]+\\(x\\)$', 'linear'],
      ['(a+)+', 'unknown'],
      ['(a|b)*', 'unknown'],
      ['(a|a){30}', 'unknown'],
      ['a*a*a*', 'unknown'],
      ['(a)\\1', 'unknown'],
      ['(?<!a)b', 'unknown'],
      [`${'a?'.repeat(30)}`, 'unknown'],
      ['^a{1,1000}a{1,1000}a{1,1000}$', 'unknown'],
    ]
    for (const [pattern, cost] of costs) assert.equal(patternCost(pattern), cost, pattern)
  })

  test('a time box gives values and errors as they are, and may stand in another', () => {
    assert.equal(
      timeBoxed(100, () => timeBoxed(100, () => 7) + 1),
      8,
    )
    assert.throws(() => timeBoxed(100, () => assert.fail('own')), /own/)
  })
})
