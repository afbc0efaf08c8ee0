import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { DURABLE_OPTIONS } from '../actors/messages/options.ts'
import { SCHEDULE_TYPES } from '../actors/schedules/options.ts'
import { ERRORS } from '../core/errors.ts'
import type { TSchema } from '../core/schema.ts'
import { ERRORS_PAGE, errorsPage } from './errors-page.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Codes that only services throw: they are part of the API. */
const FOR_SERVICES = [
  'SIGNALBOX_REQUEST_REFUSED',
  'SIGNALBOX_NOT_FOUND',
  'SIGNALBOX_CONFLICT',
  'SIGNALBOX_UNAUTHENTICATED',
  'SIGNALBOX_FORBIDDEN',
  'SIGNALBOX_OVERLOADED',
]

/** Codes of parts that are still being built; a part that is done takes its codes off this list. */
const AWAITED = [
  'SIGNALBOX_ADDRESS_INVALID',
  'SIGNALBOX_ADDRESS_TAKEN',
  'SIGNALBOX_MAILBOX_FULL',
  'SIGNALBOX_MAILBOX_DROPPED',
  'SIGNALBOX_ACTOR_STOPPED',
  'SIGNALBOX_ACTOR_FAILED',
  'SIGNALBOX_SUPERVISION_ESCALATED',
  'SIGNALBOX_TIMEOUT_DEADLINE',
  'SIGNALBOX_CANCELLED',
  'SIGNALBOX_LINK_CLOSED',
  'SIGNALBOX_WORKER_LOST',
  'SIGNALBOX_NODE_LOST',
  'SIGNALBOX_LINK_SATURATED',
  'SIGNALBOX_CODEC_UNENCODABLE',
  'SIGNALBOX_CODEC_MALFORMED',
  'SIGNALBOX_WORKER_START',
  'SIGNALBOX_CPU_TIMEOUT',
  'SIGNALBOX_CPU_FAILED',
  'SIGNALBOX_SERVICE_INVALID',
  'SIGNALBOX_SERVICE_LOAD',
  'SIGNALBOX_SERVICE_FAILED',
  'SIGNALBOX_INPUT_INVALID',
  'SIGNALBOX_OUTPUT_INVALID',
  'SIGNALBOX_FORMAT_INVALID',
  'SIGNALBOX_FORMAT_LIMIT',
  'SIGNALBOX_FORMAT_UNSUPPORTED',
  'SIGNALBOX_NOT_ACCEPTABLE',
  'SIGNALBOX_METHOD_NOT_ALLOWED',
  'SIGNALBOX_REQUEST_TIMEOUT',
  'SIGNALBOX_TRANSPORT_UNKNOWN',
  'SIGNALBOX_CONNECT_FAILED',
  'SIGNALBOX_NOT_CONNECTED',
  'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS',
  'SIGNALBOX_TLS_UNVERIFIED',
  'SIGNALBOX_LISTEN_FAILED',
  'SIGNALBOX_CIRCUIT_OPEN',
  'SIGNALBOX_HTTP_STATUS',
  'SIGNALBOX_TARGET_FORBIDDEN',
  'SIGNALBOX_CONFIG_INVALID',
  'SIGNALBOX_USAGE',
  'SIGNALBOX_PEER_REFUSED',
]

interface OptionSchema {
  properties?: Record<string, OptionSchema>
  default?: unknown
}

/** Names of options, those inside of others as `retry.minMs`, with their defaults. */
function optionsOf(schema: OptionSchema, before = ''): [name: string, byDefault: unknown][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, option]) => {
    const inner = optionsOf(option, `${before}${name}.`)
    return inner.length > 0 ? inner : [[before + name, option.default] as [string, unknown]]
  })
}

test('docs/messages.md and docs/schedules.md name every option, and its default', () => {
  const pages: [page: string, schemas: TSchema[]][] = [
    ['messages', Object.values(DURABLE_OPTIONS)],
    ['schedules', [...SCHEDULE_TYPES.values()]],
  ]
  for (const [page, schemas] of pages) {
    const text = readFileSync(join(ROOT, `docs/${page}.md`), 'utf8')
    const rows = text.split('\n').filter(line => line.startsWith('|'))
    const options = schemas.flatMap(schema => optionsOf(schema as OptionSchema))
    assert.ok(options.length > 10)
    for (const [name, byDefault] of options) {
      const named = (what: string) =>
        rows.find(line => line.split('|').slice(1, -2).join().includes(`\`${what}\``))
      const row = named(name) ?? named(name.split('.').at(-1)!)
      assert.ok(row, `docs/${page}.md does not name ${name}`)
      if (typeof byDefault !== 'number' || byDefault >= 1024 ** 3) continue
      assert.ok(row.includes(` ${byDefault.toLocaleString('en')} `), `${name}: ${byDefault} is not in ${row}`)
    }
  }
})

test('docs/errors.md is up to date', () => {
  assert.equal(readFileSync(ERRORS_PAGE, 'utf8'), errorsPage(), 'run `npm run docs`')
})

test('every code is in the table once, well-formed, under a heading, and says what to do', () => {
  const source = readFileSync(join(ROOT, 'core/errors.ts'), 'utf8')
  const codes = [...source.matchAll(/^ {2}(SIGNALBOX_\w+): \{$/gm)].map(match => match[1])
  assert.deepEqual(codes, [...new Set(codes)])
  assert.deepEqual(codes, Object.keys(ERRORS))
  assert.match(errorsPage(), /# Errors\n[^#]+\n## Addresses and actors\n\n### SIGNALBOX_/)
  for (const [code, { status, what, fix }] of Object.entries(ERRORS)) {
    assert.match(code, /^SIGNALBOX(_[A-Z]+)+$/)
    assert.ok(status >= 400 && status <= 599, code)
    for (const sentence of [what, fix]) assert.match(sentence, /^\S.*[.]$/, code)
  }
})

test('every code is used in the sources, or is there for services', t => {
  const files = globSync('{core,actors,transports,cli}/**/*.ts', { cwd: ROOT })
  const sources = files.filter(file => !file.endsWith('.test.ts') && file !== 'core/errors.ts')
  const used = new Set(
    sources.flatMap(file => readFileSync(join(ROOT, file), 'utf8').match(/\bSIGNALBOX_[A-Z_]+\b/g) ?? []),
  )
  const unused = Object.keys(ERRORS).filter(code => !used.has(code) && !FOR_SERVICES.includes(code))
  assert.deepEqual(
    unused.filter(code => !AWAITED.includes(code)),
    [],
    'retire these codes or use them',
  )
  for (const code of [...FOR_SERVICES, ...AWAITED]) assert.ok(code in ERRORS, `${code} does not exist`)
  for (const code of AWAITED) if (used.has(code)) t.diagnostic(`${code} is used now: take it off AWAITED`)
})
