/** The compiled JSONata against the jsonata package: the same results and the same error codes. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import jsonata from 'jsonata'
import type { SignalboxError } from '../../core/errors.ts'
import { compileJsonata } from '../../core/message/jsonata/compile.ts'
import { EXPRESSIONS, QUOTED_EXPRESSIONS } from './jsonata-expressions.ts'

const DATA = new URL('../data/jsonata/', import.meta.url)

interface Case {
  /** Name of the dataset; null: no input. */
  data: string | null
  expression: string
}

const datasets: Record<string, unknown> = JSON.parse(readFileSync(new URL('datasets.json', DATA), 'utf8'))
const collected: Case[] = JSON.parse(readFileSync(new URL('expressions.json', DATA), 'utf8'))

/** What every expression is evaluated with, beside its own dataset. */
const SMALL = [undefined, 'abc', [1, [2, [3]]], { a: [{ b: 1 }, { b: [2, 3] }, { c: [{ b: [4] }] }] }]
const LIMITS = { timeout: 5_000, stack: 2_000, sequence: 1e7 }
/** They give another result each time. */
const VARYING = /\$random|\$shuffle|\$now|\$millis/

/** A result without what only the evaluators know: marks of sequences, prototypes, functions. */
function plain(value: unknown): unknown {
  const isFunction = (value as { _jsonata_lambda?: true } | null)?._jsonata_lambda === true
  if (typeof value === 'function' || isFunction) return 'a function'
  if ((value as { _jsonata_function?: true } | null)?._jsonata_function === true) return 'a function'
  if (Array.isArray(value)) return Array.from(value, plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
}

async function outcome(run: () => unknown): Promise<unknown> {
  try {
    return { value: plain(await run()) }
  } catch (error) {
    const { code, details } = error as { code?: string; details?: SignalboxError['details'] }
    return { code: details?.code ?? (code === 'SIGNALBOX_MAPPING_FAILED' ? undefined : code) }
  }
}

/** Compares one expression with the package; returns whether it was compiled, undefined when it does not parse. */
async function compare(expression: string, inputs: readonly unknown[]): Promise<boolean | undefined> {
  let package_: ReturnType<typeof jsonata>
  try {
    package_ = jsonata(expression, LIMITS)
  } catch {
    await assert.rejects(compileJsonata(expression), { code: 'SIGNALBOX_MAPPING_INVALID' }, expression)
    return undefined
  }
  const own = await compileJsonata(expression)
  if (!own.compiled) assert.ok(own.reason, expression)
  if (VARYING.test(expression)) return own.compiled
  for (const input of inputs) {
    const expected = await outcome(() => package_.evaluate(structuredClone(input)))
    const actual = await outcome(() => own.run(structuredClone(input)))
    assert.deepEqual(actual, expected, `${expression} of ${JSON.stringify(input)?.slice(0, 100)}`)
  }
  return own.compiled
}

async function compareAll(cases: readonly Case[]): Promise<{ compiled: number; left: string[] }> {
  let compiled = 0
  const left: string[] = []
  for (const { data, expression } of cases) {
    const own = data === null ? [] : [datasets[data]]
    const result = await compare(expression, [...own, ...SMALL])
    if (result) compiled++
    if (result === false) left.push(expression)
  }
  return { compiled, left }
}

test('the expressions of the test suite of JSONata, as collected for Go', async t => {
  const { compiled, left } = await compareAll(collected)
  t.diagnostic(`${compiled} compiled, ${left.length} left to the package`)
  assert.deepEqual(left, [])
  assert.ok(compiled > 1_000, String(compiled))
})

test('what is easy to get wrong', async t => {
  const list = [...EXPRESSIONS, ...QUOTED_EXPRESSIONS]
  const { compiled, left } = await compareAll(list.map(expression => ({ data: 'account', expression })))
  t.diagnostic(`${compiled} compiled, ${left.length} left to the package`)
  assert.ok(compiled > 400, String(compiled))
  // Only what the documentation says is left to the package.
  for (const expression of left)
    assert.match(expression, /%.*\{|\{.*%|[@#].*\{|%.*\)|^\[.*[@#]|\$eval/, expression)
  assert.ok(left.length < 10, left.join('; '))
})
