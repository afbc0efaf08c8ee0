import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../../errors.ts'
import { compileJsonata } from './compile.ts'

async function fails(
  expression: string,
  code: string,
  input?: unknown,
  timeoutMs = 5_000,
): Promise<SignalboxError> {
  const { run, compiled } = await compileJsonata(expression, { name: 'totals', timeoutMs })
  assert.equal(compiled, true)
  try {
    run(input)
  } catch (error) {
    assert.ok(error instanceof SignalboxError, String(error))
    assert.equal(error.code, 'SIGNALBOX_MAPPING_FAILED')
    assert.equal(error.details?.code, code, error.message)
    return error
  }
  return assert.fail(`${expression} did not fail`)
}

test('an expression is JavaScript, and answers at once', async () => {
  const { run, compiled, reason } = await compileJsonata(
    '{ "total": $sum(lines.(price * quantity)), "who": $name }',
  )
  assert.deepEqual([compiled, reason], [true, undefined])
  const lines = [
    { price: 2, quantity: 3 },
    { price: 4, quantity: 1 },
  ]
  assert.deepEqual(run({ lines }, { name: 'Ada' }), { total: 10, who: 'Ada' })
  assert.deepEqual(run({ lines: { price: 2, quantity: 3 } }), { total: 6 })
  assert.deepEqual(run(undefined), {})
})

test('results are plain data', async () => {
  const { run } = await compileJsonata('{ "many": a.b, "one": c.b[] }')
  const result = run({ a: [{ b: 1 }, { b: 2 }], c: { b: 1 } }) as { many: unknown }
  assert.deepStrictEqual(result, { many: [1, 2], one: [1] })
  assert.deepEqual(Reflect.ownKeys(result.many as object), ['0', '1', 'length'])
  assert.deepEqual(structuredClone(result), result)
})

test('what is not covered runs in the package, and says so', async () => {
  for (const [expression, input, expected] of [
    ['$eval("1 + 2")', {}, 3],
    ['(a.b).%.c', { a: { b: 1, c: 2 } }, 2],
    ['a#$i{ "x": $i }', { a: [5, 6] }, { x: [0, 1] }],
  ] as const) {
    const { run, compiled, reason } = await compileJsonata(expression)
    assert.equal(compiled, false)
    assert.match(reason!, /left to it/)
    assert.deepEqual(JSON.parse(JSON.stringify(await run(input))), expected)
  }
  const { run } = await compileJsonata('$eval("1 + ") & "a"', { name: 'bad' })
  await assert.rejects(async () => run({}), { code: 'SIGNALBOX_MAPPING_FAILED', message: /^bad: / })
})

test('a syntax error has its line and column', async () => {
  await assert.rejects(
    compileJsonata('{\n  "a": $sum(\n}', { name: 'f.jsonata' }),
    (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_MAPPING_INVALID')
      assert.equal(error.details?.line, 3)
      assert.match(error.message, /^f\.jsonata: .*line 3, column \d/)
      return true
    },
  )
  await assert.rejects(compileJsonata(`"${'a'.repeat(300_000)}"`), /longer than/)
})

test('an error has its code, its place and what it is about', async () => {
  const { message, details } = await fails('1 + "a"', 'T2002')
  assert.match(message, /^totals: .* number \(T2002\), at character 3/)
  assert.deepEqual([details?.position, details?.token], [3, '+'])
  assert.equal((await fails('$sum("a")', 'T0412')).details?.token, 'sum')
})

describe('bindings', () => {
  test('functions answer at once', async () => {
    const { run } = await compileJsonata('$map(a, $double) ~> $sum()')
    assert.equal(run({ a: [1, 2] }, { double: (x: number) => x * 2 }), 6)
    const later = await compileJsonata('$later(1)')
    assert.throws(() => later.run({}, { later: async () => 1 }), /returned a promise/)
  })

  test('the functions of the library cannot be replaced', async () => {
    const { run } = await compileJsonata('$sum([1, 2])')
    assert.throws(() => run({}, { sum: () => 7 }), { code: 'SIGNALBOX_USAGE' })
    assert.equal(run({}, { count: () => 7 }), 3)
  })

  test('only own ones are there', async () => {
    const { run } = await compileJsonata('$type($constructor) & $type($toString)')
    assert.equal(run({}, {}), '')
  })
})

describe('an expression cannot hang a worker', () => {
  test('recursion, loops, ranges, texts', async () => {
    await fails('($f := function($n) { 1 + $f($n + 1) }; $f(0))', 'D1011')
    await fails('($f := function($n) { $f($n + 1) }; $f(0))', 'D1012', {}, 200)
    await fails('[1..10000000].[1..10000000]', 'D1012', {}, 200)
    await fails('[1..10000001]', 'D2014')
    await fails('$reduce([1..40], function($a, $b) { $a & $a }, "abc")', 'D2015')
    await fails('$pad("a", 1000000000)', 'D2015')
    await fails('($f := function($a) { $f($append($a, $a)) }; $f([1..1000]))', 'D2015')
    await fails('$sort([1..200000], function($a, $b) { $a < $b })', 'D1012', {}, 1)
  })

  test('regular expressions', async () => {
    const input = { text: `${'a'.repeat(40)}!` }
    await fails('$match(text, /(a+)+$/)', 'D1012', input, 200)
    await fails('$contains(text, /(a|aa)*$/)', 'D1012', { text: `${'a'.repeat(60)}!` }, 200)
    const { run } = await compileJsonata('$replace(text, /(a+)+/, "b")')
    assert.equal(run(input), 'b!')
  })

  test('a limit is that of one run', async () => {
    const { run } = await compileJsonata('$sum([1..100000])', { timeoutMs: 2_000 })
    for (let i = 0; i < 5; i++) assert.equal(run({}), 5_000_050_000)
  })
})

describe('nothing of an expression or the data becomes code or reaches a prototype', () => {
  test('names', async () => {
    const hostile = [
      '"];process.exit(1);["',
      "'+process.exit(1)+'",
      '\u2028process.exit(1)//',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what a hostile name looks like
      '${process.exit(1)}',
      '*/',
    ]
    for (const name of hostile) {
      const { run } = await compileJsonata(`{ ${JSON.stringify(name)}: \`${name.replaceAll('`', '')}\` }`)
      assert.deepEqual(run({ [name]: 1 }), { [name]: 1 })
    }
  })

  test('any name, any text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'grapheme' }), fc.jsonValue(), async (name, value) => {
        fc.pre(!/[`"\\]|^$/.test(name) && name !== '__proto__' && !/[\p{Cc}]/u.test(name))
        const { run } = await compileJsonata(`{ "a": $lookup($, "${name}"), "b": "${name}" }`)
        const { a, b } = run({ [name]: value }) as { a: unknown; b: unknown }
        assert.equal(b, name)
        if (!Array.isArray(value)) assert.deepEqual(a, value)
      }),
      { numRuns: 100 },
    )
  })

  test('prototypes', async () => {
    const { run } = await compileJsonata(
      '[a.constructor, a.toString, constructor.name, a.`__proto__`, $lookup(a, "valueOf")]',
    )
    assert.deepEqual(run({ a: {} }), [])
    const polluted = JSON.parse('{"k": "__proto__", "v": {"polluted": true}}')
    for (const expression of [
      '{ k: v }',
      '$merge([{ k: v }])',
      '$ ~> |$|{ k: v }|',
      '$sift(v, function() { true }) ~> $spread() ~> $merge() ~> |$|{ $k: 1 }|',
    ]) {
      const compiled = await compileJsonata(expression)
      try {
        compiled.run(polluted, { k: '__proto__' })
      } catch (error) {
        assert.equal((error as SignalboxError).details?.code, 'D1013', expression)
      }
      assert.equal(({} as { polluted?: boolean }).polluted, undefined)
    }
    class Account {
      get secret() {
        return 'secret'
      }
    }
    const secret = await compileJsonata('[account.secret, bytes.length, bytes.buffer]')
    assert.deepEqual(secret.run({ account: new Account(), bytes: Buffer.from('a') }), [])
  })
})
