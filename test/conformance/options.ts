/** Scenarios of options: what is wrong is refused, by name and path, before anything is opened. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { parseOptions, type TSchema } from '../../core/schema.ts'

// No option is null, so null is the wrong type of each.
const WRONG = null

interface ObjectSchema {
  properties?: Record<string, TSchema & { type?: string }>
}

/** Registers the option scenarios of one side; `valid` gives options that are right. */
export function optionScenarios(
  side: string,
  schema: TSchema,
  valid: () => Promise<Record<string, unknown>>,
): void {
  const properties = (schema as ObjectSchema).properties ?? {}

  test(`${side}: an unknown option is refused with the nearest name`, async () => {
    const options = await valid()
    const name = Object.keys(properties).toSorted((a, b) => b.length - a.length)[0]!
    const typo = name.slice(0, -1)
    const error = refusal(schema, { ...options, [typo]: 1 })
    assert.match(error.message, new RegExp(`'${typo}'.*did you mean '${name}'`))
  })

  test(`${side}: an option of the wrong type is refused with its path`, async () => {
    const options = await valid()
    for (const name of Object.keys(properties)) {
      const error = refusal(schema, { ...options, [name]: WRONG })
      assert.ok(error.message.includes(`/${name} `), `${name}: ${error.message}`)
    }
  })

  test(`${side}: all problems are reported at once`, async () => {
    const wrong = Object.fromEntries(Object.keys(properties).map(name => [name, WRONG]))
    const error = refusal(schema, { ...(await valid()), ...wrong, nonsense: true })
    const pointers = (error.details!.errors as { pointer: string }[]).map(problem => problem.pointer)
    for (const name of Object.keys(properties)) assert.ok(pointers.includes(`/${name}`), `${name} is missing`)
    assert.match(error.message, /nonsense/)
  })

  test(`${side}: valid options are completed with defaults and frozen`, async () => {
    const options = parseOptions<Record<string, unknown>>(schema, await valid(), side)
    assert.ok(Object.isFrozen(options))
    for (const [name, property] of Object.entries(properties)) {
      if ('default' in property) assert.notEqual(options[name], undefined, `${name} has its default`)
    }
  })
}

function refusal(schema: TSchema, options: Record<string, unknown>): SignalboxError {
  try {
    parseOptions(schema, options, 'options')
  } catch (error) {
    assert.ok(error instanceof SignalboxError)
    assert.equal(error.code, 'SIGNALBOX_OPTIONS_INVALID')
    return error
  }
  assert.fail(`accepted: ${JSON.stringify(options)}`)
}
