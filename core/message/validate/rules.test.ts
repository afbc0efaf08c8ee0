import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import jsonata from 'jsonata'
import { parse } from 'yaml'
import { SignalboxError } from '../../errors.ts'
import { declaredRules } from './declared-rules.ts'
import { rules } from './rules.ts'
import { validator } from './validator.ts'
import { assertValid, type Violation } from './violation.ts'

interface Invoice {
  total: number
  currency?: string
  lines: { amount: number }[]
}

const checks = rules<Invoice>([
  { id: 'R1', test: ({ lines }) => lines.length > 0, message: 'an invoice has lines', pointer: '/lines' },
  {
    id: 'R2',
    when: invoice => invoice.lines.length > 0,
    test: async ({ lines, total }) => lines.reduce((sum, line) => sum + line.amount, 0) === total,
    message: invoice => `the lines do not add up to ${invoice.total}`,
    pointer: () => '/total',
  },
  {
    id: 'R3',
    test: ({ lines }) => lines.flatMap((line, i) => (line.amount < 0 ? [`/lines/${i}/amount`] : [])),
    message: (_, pointer) => `${pointer} is negative`,
  },
  {
    id: 'R4',
    test: ({ currency }) => currency!.length === 3,
    message: 'three letters',
    pointer: '/currency',
  },
  { id: 'W1', test: () => false, message: 'just so you know', severity: 'warning' },
])

describe('rules', () => {
  test('all run; each violation has its place, value and severity', async () => {
    const found = await checks.validate({ total: 5, lines: [{ amount: 1 }, { amount: -2 }] })
    assert.deepEqual(found, [
      {
        source: 'rule',
        severity: 'error',
        rule: 'R2',
        pointer: '/total',
        message: 'the lines do not add up to 5',
        value: 5,
      },
      {
        source: 'rule',
        severity: 'error',
        rule: 'R3',
        pointer: '/lines/1/amount',
        message: '/lines/1/amount is negative',
        value: -2,
      },
      {
        source: 'rule',
        severity: 'error',
        rule: 'R4',
        pointer: '/currency',
        message: "cannot be tested: Cannot read properties of undefined (reading 'length')",
      },
      { source: 'rule', severity: 'warning', rule: 'W1', pointer: '', message: 'just so you know' },
    ])
    const none = (await checks.validate({ total: 0, lines: [], currency: 'EUR' })) as Violation[]
    assert.deepEqual(
      none.map(each => each.rule),
      ['R1', 'W1'],
    )
  })

  test('declared in YAML, with expressions of JSONata', async () => {
    const declared = declaredRules(
      parse(`
- id: TOTAL
  when: $exists(lines)
  test: $sum(lines.amount) = total
  message: the lines do not add up
  pointer: /total
- id: SIGN
  test: "[lines#$i[amount < 0].('/lines/' & $i)]"
  message: negative
  severity: warning
`),
      expression => {
        const compiled = jsonata(expression)
        return message => compiled.evaluate(message)
      },
    )
    assert.deepEqual(await declared.validate({ total: 2, lines: [{ amount: 2 }] }), [])
    const found = (await declared.validate({
      total: 9,
      lines: [{ amount: -3 }, { amount: -1 }],
    })) as Violation[]
    assert.deepEqual(
      found.map(({ rule, pointer }) => [rule, pointer]),
      [
        ['TOTAL', '/total'],
        ['SIGN', '/lines/0'],
        ['SIGN', '/lines/1'],
      ],
    )
  })

  test('a single pointer is a place, not a yes', async () => {
    const one = rules([{ id: 'P', test: () => '/a', message: 'no' }])
    assert.deepEqual(
      ((await one.validate({ a: 1 })) as Violation[]).map(each => each.pointer),
      ['/a'],
    )
  })

  test('declarations that cannot be used', () => {
    const compile = (expression: string) => jsonata(expression).evaluate
    const bad: [unknown, RegExp][] = [
      ['no list', /must be array/],
      [[{ id: 'a', test: 'true' }], /message/],
      [[{ id: 'a', test: 'true', message: 'm', tset: 'x' }], /did you mean 'test'/],
      [[{ id: 'a', test: '((', message: 'm' }], /rule 'a': test does not compile/],
      [[{ id: 'a', test: 'true', when: ')', message: 'm' }], /rule 'a': when does not compile/],
      [
        [
          { id: 'a', test: 'true', message: 'm' },
          { id: 'a', test: 'true', message: 'm' },
        ],
        /two rules/,
      ],
    ]
    for (const [definitions, expected] of bad) {
      assert.throws(
        () => declaredRules(definitions, compile),
        error => {
          assert.ok(error instanceof SignalboxError)
          assert.equal(error.code, 'SIGNALBOX_SCHEMA_INVALID')
          assert.match(error.message, expected)
          return true
        },
      )
    }
  })
})

describe('assertValid', () => {
  const schema = validator({ schema: { required: ['id'], properties: { lines: { maxItems: 1 } } } })

  test('resolves with warnings', async () => {
    const only = rules([{ id: 'W', test: () => false, message: 'hm', severity: 'warning' }])
    assert.equal((await assertValid([schema, only], { id: 1 })).length, 1)
    assert.deepEqual(await assertValid(schema, { id: 1 }), [])
  })

  test('rejects with what all validators found', async () => {
    const message = { total: 1, lines: [{ amount: 1 }, { amount: -1 }], currency: 'EUR' }
    await assert.rejects(assertValid([schema, checks], message), (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_VALIDATION_FAILED')
      assert.equal(error.status, 422)
      assert.equal(
        error.message,
        "the message is not valid: (all) must have required property 'id'; " +
          '/lines must NOT have more than 1 items; /total the lines do not add up to 1 and 1 more',
      )
      const { violations, total } = error.details as { violations: Violation[]; total: number }
      assert.deepEqual([violations.length, total, violations[0]!.source], [5, 5, 'schema'])
      return true
    })
  })

  test('a bounded number of violations travels', async () => {
    const many = validator({ schema: { items: { type: 'string' } } })
    await assert.rejects(assertValid(many, Array(5_000).fill(1)), ({ details }: SignalboxError) => {
      assert.equal((details!.violations as unknown[]).length, 100)
      assert.equal(details!.total, 1_000)
      return true
    })
  })
})
