import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../../core/errors.ts'
import { insertStatements } from './insert.ts'
import { parseNamedQueries } from './named-queries.ts'
import { DIALECTS, type Dialect } from './options.ts'
import { bind, type Parameters } from './statement.ts'

function bound(dialect: Dialect, sql: string, parameters: Parameters = { a: 1, b: 2 }) {
  const { text, values } = bind(dialect, sql, parameters)
  return [text, values]
}

const invalid = (pattern: RegExp) => (error: unknown) =>
  error instanceof SignalboxError &&
  error.code === 'SIGNALBOX_SQL_STATEMENT_INVALID' &&
  pattern.test(error.message)

describe('statements', () => {
  test('placeholders become those of the product; values keep their order', () => {
    const sql = 'select :a, :b, :a'
    assert.deepEqual(bound('postgresql', sql), ['select $1, $2, $1', [1, 2]])
    assert.deepEqual(bound('mssql', sql), ['select @p1, @p2, @p1', [1, 2]])
    assert.deepEqual(bound('oracle', sql), ['select :1, :2, :3', [1, 2, 1]])
    for (const dialect of ['mysql', 'mariadb', 'sqlite'] as const)
      assert.deepEqual(bound(dialect, sql), ['select ?, ?, ?', [1, 2, 1]])
    assert.deepEqual(bound('mysql', 'select $2, $1', [1, 2]), ['select ?, ?', [2, 1]])
    assert.deepEqual(bound('oracle', 'select ?, ?', [1, 2]), ['select :1, :2', [1, 2]])
    assert.deepEqual(bound('postgresql', "select data ? 'x', :a"), ["select data ? 'x', $1", [1]])
    assert.deepEqual(bound('postgresql', 'select :...a', { a: [7, 8] }), ['select $1, $2', [7, 8]])
    assert.deepEqual(bound('sqlite', 'in (:...a) or x = :b', { a: [7, 8], b: 9 }), [
      'in (?, ?) or x = ?',
      [7, 8, 9],
    ])
  })

  test('strings, comments, quoted names and casts are left alone', () => {
    const same: Record<Dialect, string[]> = {
      postgresql: [
        "select ':a', 'it''s :a', \":a\", E'\\':a', 1::int",
        'select $$ :a $$, $x$ :a $$ $x$ -- :a\n',
        'select /* :a /* :b */ :a */ 1',
      ],
      mysql: ['select \'\\\':a\', "\\":a", `:a` # :a\n, @x := 1 -- :a'],
      mariadb: ["select 'it''s :a'"],
      mssql: ['select [:a], /* /* :a */ :b */ 1'],
      oracle: ["select q'[:a ' :b]', nq'!it's :a!' from dual"],
      sqlite: ['select [:a], ":a", `:a`, x\'00\''],
    }
    for (const dialect of DIALECTS)
      for (const sql of same[dialect])
        assert.deepEqual(bound(dialect, sql, {}), [sql, []], `${dialect}: ${sql}`)
  })

  test('what is missing, left over or no value is refused', () => {
    assert.throws(() => bind('sqlite', 'select :a', {}), invalid(/needs the parameter :a/))
    assert.throws(() => bind('sqlite', 'select :a', [1]), invalid(/needs an object/))
    assert.throws(() => bind('sqlite', 'select ?', [1, 2]), invalid(/needs 1 parameters, got 2/))
    assert.throws(() => bind('sqlite', 'select ?', { a: 1 }), invalid(/needs a list/))
    assert.throws(() => bind('sqlite', 'select 1', [1]), invalid(/no placeholder/))
    assert.throws(() => bind('sqlite', 'select ?, :a', [1]), invalid(/mixes/))
    assert.throws(
      () => bind('sqlite', 'select :a', { a: undefined }),
      invalid(/undefined; for NULL give null/),
    )
    assert.throws(() => bind('sqlite', 'select :a', { a: () => 1 }), invalid(/function/))
    assert.throws(() => bind('sqlite', 'select :...a', { a: [] }), invalid(/list of 1 to/))
    assert.throws(() => bind('sqlite', 'select :...a', { a: 'x' }), invalid(/list of 1 to/))
    assert.throws(() => bind('sqlite', ' '), invalid(/empty/))
    assert.throws(() => bind('sqlite', 'select \0'), invalid(/NUL/))
    for (const name of ['constructor', 'toString', '__proto__'])
      assert.throws(() => bind('sqlite', `select :${name}`, {}), invalid(/needs the parameter/))
  })

  test('no value ever changes the text (10,000 cases)', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom(
        "'; drop table x; --",
        '" or 1=1',
        "\\'",
        ':a',
        '$1',
        '?',
        '@p1',
        '*/',
        "$$'",
        '\0',
        '`',
      ),
      fc.array(fc.string()),
      fc.object(),
      fc.bigInt(),
      fc.double(),
    )
    fc.assert(
      fc.property(fc.constantFrom(...DIALECTS), hostile, hostile, (dialect, a, b) => {
        const plain = bind(dialect, 'select * from t where a = :a and b = :b', { a: 1, b: 2 }).text
        const { text, values } = bind(dialect, 'select * from t where a = :a and b = :b', { a, b })
        assert.equal(text, plain)
        assert.deepEqual(values, [a, b])
      }),
      { numRuns: 10_000 },
    )
  })

  test('no text hangs the parser or makes a placeholder inside a string (5,000 cases)', () => {
    const piece = fc.constantFrom(
      "'",
      '"',
      '`',
      '[',
      ']',
      '--',
      '/*',
      '*/',
      '\n',
      '$$',
      '$t$',
      '\\',
      "E'",
      "q'[",
      ':a',
      '$1',
      '?',
      'x',
      ' ',
      '::',
      ':=',
      '#',
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...DIALECTS),
        fc.array(piece, { minLength: 1, maxLength: 60 }),
        (dialect, pieces) => {
          const quoted = `select '${pieces.join('').replaceAll("'", "''").replaceAll('\\', '')}', :z`
          const { values, text } = bind(dialect, quoted, { z: 1 })
          assert.deepEqual(values, [1])
          assert.ok(text.startsWith(quoted.slice(0, -2)))
          try {
            bind(dialect, pieces.join(''), { a: 1 })
          } catch (error) {
            assert.ok(error instanceof SignalboxError)
          }
        },
      ),
      { numRuns: 5_000 },
    )
  })

  test('an insert names only what the options list, whatever it is given (5,000 cases)', () => {
    const tables = { items: ['id', 'name'] }
    fc.assert(
      fc.property(
        fc.constantFrom(...DIALECTS),
        fc.string(),
        fc.dictionary(fc.string(), fc.string()),
        (dialect, table, row) => {
          if (table === 'items' || Object.keys(row).every(name => tables.items.includes(name))) return
          for (const name of [table, 'items'])
            assert.throws(() => insertStatements({ dialect, tables }, name, [row]), invalid(/./))
        },
      ),
      { numRuns: 5_000 },
    )
    const [statement] = insertStatements({ dialect: 'mssql', tables }, 'items', [{ name: 'x' }], ['id'])
    assert.equal(statement?.text, 'insert into "items" ("name") output "inserted"."id" values (@p1)')
    const oracle = insertStatements({ dialect: 'oracle', tables }, 'items', [{ name: 'x' }, { name: 'y' }])
    assert.deepEqual(
      oracle.map(({ text }) => text),
      Array(2).fill('insert into "items" ("name") values (:1)'),
    )
  })

  test('files of named queries', () => {
    assert.deepEqual(
      parseNamedQueries('-- c\n-- name: a\nselect 1;\n\n--NAME: b.c\r\nselect\r\n 2', 'f.sql'),
      [
        { name: 'a', sql: 'select 1', line: 2 },
        { name: 'b.c', sql: 'select\n 2', line: 5 },
      ],
    )
    assert.throws(() => parseNamedQueries('select 1', 'f.sql'), invalid(/f.sql:1: a statement has no name/))
    assert.throws(
      () => parseNamedQueries('-- name: a b\nselect 1', 'f.sql'),
      invalid(/f.sql:1: 'a b' is no name/),
    )
    assert.throws(
      () => parseNamedQueries('-- name: a\n-- name: b\nselect 1', 'f.sql'),
      invalid(/f.sql:1: the query 'a' is empty/),
    )
  })
})
