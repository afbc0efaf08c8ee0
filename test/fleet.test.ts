/** What all transports have in common: found in the list, documented, tested, and named alike. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import type { TSchema } from '../core/schema.ts'
import { transports } from '../transports/index.ts'
import { characteristicsTable } from './conformance/characteristics.ts'

const ROOT = new URL('../transports/', import.meta.url)

/** Names that other products use, and ours for the same thing. */
const CANONICAL: Record<string, string> = {
  uri: 'url',
  endpoint: 'url',
  baseUrl: 'url',
  ssl: 'tls',
  user: 'username',
  pass: 'password',
  passwd: 'password',
  timeout: 'timeoutMs',
  timeoutSeconds: 'timeoutMs',
  interval: 'intervalMs',
  delay: 'delayMs',
  concurrency: 'maxInFlight',
  parallelism: 'maxInFlight',
  maxConcurrent: 'maxInFlight',
  maxSize: 'maxBytes',
  rejectUnauthorised: 'rejectUnauthorized',
}
/** Options that break the rule of names for a reason. */
const WAIVED_NAMES: Record<string, string> = {
  maxAgeSeconds: 'the unit of the header Access-Control-Max-Age that it sets',
}
/** Strings of these names are secrets wherever they stand. */
const SECRET = /^(key|.*(password|secret|token|passphrase|privateKey))$/i

interface Schema {
  type?: string
  description?: string
  secret?: boolean
  properties?: Record<string, Schema>
  items?: Schema
  anyOf?: Schema[]
}

/** Visits every named option of a schema, also within objects, lists and unions. */
function* optionsOf(schema: Schema, path = ''): Generator<{ path: string; name: string; option: Schema }> {
  for (const [name, option] of Object.entries(schema.properties ?? {})) {
    yield { path: `${path}/${name}`, name, option }
    yield* optionsOf(option, `${path}/${name}`)
  }
  for (const inner of [...(schema.anyOf ?? []), ...(schema.items ? [schema.items] : [])])
    yield* optionsOf(inner, path)
}

test('every folder of transports is in the list, and every name is there once', () => {
  const folders = readdirSync(ROOT, { withFileTypes: true }).filter(entry => entry.isDirectory())
  const withIndex = folders
    .map(({ name }) => name)
    .filter(name => existsSync(new URL(`${name}/index.ts`, ROOT)))
  assert.deepEqual(transports.map(({ name }) => name).toSorted(), withIndex.toSorted())
})

for (const transport of transports) {
  const folder = new URL(`${transport.name}/`, ROOT)

  describe(`fleet: ${transport.name}`, () => {
    test('has a side, a description, a README and a conformance test', () => {
      assert.ok(transport.channel || transport.connection)
      assert.match(transport.name, /^[a-z][a-z0-9-]*$/)
      assert.ok(transport.description.length > 10)
      assert.ok(existsSync(new URL('README.md', folder)), 'README.md')
      const conformance = readFileSync(new URL('conformance.test.ts', folder), 'utf8')
      assert.match(conformance, /transportConformance\(/)
    })

    test('the characteristics table of the README is that of its capabilities', () => {
      const readme = readFileSync(new URL('README.md', folder), 'utf8')
      const start = readme.search(/^\| Characteristic /m)
      assert.ok(start >= 0, 'the README has no table of characteristics')
      const table = readme.slice(start).split('\n\n', 1)[0]!
      assert.equal(unpadded(table), characteristicsTable(transport))
    })

    for (const side of ['channel', 'connection'] as const) {
      const schema = transport[side]?.options
      if (schema) sideTests(side, schema)
    }
  })
}

/** A Markdown table without the spaces that a formatter put in. */
function unpadded(table: string): string {
  const rows = table.trim().split('\n')
  return rows.map(row => row.replace(/-{3,}/g, '---').replace(/ +\|/g, ' |')).join('\n')
}

function sideTests(side: string, schema: TSchema): void {
  const options = [...optionsOf(schema as Schema)]

  test(`${side}: every option has a description, and the schema knows all its options`, () => {
    assert.ok(options.length > 0)
    const bare = options.filter(({ option }) => !option.description).map(({ path }) => path)
    assert.deepEqual(bare, [])
    assert.equal((schema as { additionalProperties?: unknown }).additionalProperties, false)
  })

  test(`${side}: options have the canonical names, with units`, () => {
    for (const { path, name } of options.filter(option => !Object.hasOwn(WAIVED_NAMES, option.name))) {
      assert.equal(CANONICAL[name], undefined, `${path} should be called ${CANONICAL[name]}`)
      assert.match(name, /^[a-z][A-Za-z0-9]*$/, `${path} is not in camel case`)
      assert.doesNotMatch(name, /(Seconds|Secs|Millis|Kb|Mb|KiB|MiB)$/, `${path}: time in Ms, sizes in Bytes`)
    }
  })

  test(`${side}: secrets are marked`, () => {
    for (const { path, name, option } of options) {
      if (option.type === 'string' && SECRET.test(name))
        assert.equal(option.secret, true, `${path} is a secret`)
    }
  })

  if (side === 'channel') {
    test('channel: back-pressure has its option, maxInFlight', () => {
      assert.ok(options.some(({ path }) => path === '/maxInFlight'))
    })
  }
}
