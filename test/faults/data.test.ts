/**
 * Data that is made to exhaust what reads it, or to reach what all objects share: in formats, files of a project,
 * schemas, expressions, mappings and routes. (Through the doors of channels: http-payloads.test.ts.)
 */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { packContent, unpackContent } from '../../actors/messages/content.ts'
import { type ErrorCode, SignalboxError } from '../../core/errors.ts'
import { type BodyFormat, codecOf, parseBody } from '../../core/message/formats.ts'
import { compileJsonata } from '../../core/message/jsonata/compile.ts'
import { compileMapping } from '../../core/message/map/compile.ts'
import { parseMapping } from '../../core/message/map/load.ts'
import { jsonSchemaValidator } from '../../core/message/validate/json-schema.ts'
import { parseProjectFile } from '../../core/resource/project-file.ts'
import { KINDS } from '../../core/resource/test-kit.ts'
import type { StepList } from '../../core/route/options.ts'
import { projectSeams } from '../../core/route/seams.ts'
import { testRoute } from '../../core/route/test-kit.ts'
import { parseRoute } from '../../core/route/yaml.ts'
import { Type } from '../../core/schema.ts'
import { service } from '../../core/service/service.ts'
import { testService } from '../../core/service/test-kit.ts'

const LIMITS = { maxDepth: 256 }
/** 100 ms for the match, and as much again for all around it. */
const MAX_MATCH_CPU_MS = 200
const MAX_BOMB_CPU_MS = 1_000

const folder = mkdtempSync(join(tmpdir(), 'signalbox-data-'))
after(() => rmSync(folder, { recursive: true }))

/** What became of it, and the time of this thread that it cost. */
async function outcome(work: () => unknown): Promise<{ value?: unknown; error?: unknown; cpuMs: number }> {
  const start = process.threadCpuUsage()
  const spent = () => {
    const { user, system } = process.threadCpuUsage(start)
    return (user + system) / 1_000
  }
  try {
    return { value: await work(), cpuMs: spent() }
  } catch (error) {
    return { error, cpuMs: spent() }
  }
}

async function refuses(
  what: string,
  maxCpuMs: number,
  codes: readonly ErrorCode[],
  work: () => unknown,
): Promise<void> {
  const { error, cpuMs } = await outcome(work)
  assert.ok(error instanceof SignalboxError, `${what}: ${error === undefined ? 'accepted' : String(error)}`)
  assert.ok(codes.includes(error.code as ErrorCode), `${what}: ${error.code}: ${error.message.slice(0, 200)}`)
  assert.ok(cpuMs < maxCpuMs, `${what}: ${cpuMs} ms`)
}

const BUILT_IN = [Object, Array, Function, String, Number, Map, Promise].map(type => type.prototype)
const before = BUILT_IN.map(prototype => Reflect.ownKeys(prototype))

function assertPrototypes(what: string): void {
  assert.deepEqual(
    BUILT_IN.map(prototype => Reflect.ownKeys(prototype)),
    before,
    what,
  )
  assert.equal(({} as { polluted?: unknown }).polluted, undefined, what)
}

const FORMAT = ['SIGNALBOX_FORMAT_LIMIT', 'SIGNALBOX_FORMAT_INVALID'] as const

test('100,000 levels of nesting are refused soon in each format that has levels', async () => {
  const bodies: [BodyFormat, string][] = [
    ['json', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['json', '{"a":'.repeat(100_000)],
    ['jsonl', `${'['.repeat(100_000)}${']'.repeat(100_000)}\n`],
    ['yaml', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['yaml', '{a: '.repeat(100_000)],
    ['yaml', '- '.repeat(100_000)],
    ['yaml', '? '.repeat(100_000)],
    ['yaml', Array.from({ length: 2_000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['xml', '<a>'.repeat(100_000)],
    ['msgpack', '\u0091'.repeat(100_000)],
  ]
  for (const [format, text] of bodies) {
    const bytes = Buffer.from(text, 'latin1')
    const what = `${format} ${text.slice(0, 6)}`
    await refuses(what, MAX_BOMB_CPU_MS, FORMAT, () => parseBody(format, bytes, LIMITS))
    const { split } = codecOf(format)
    if (split === undefined) continue
    await refuses(`${what}, split`, MAX_BOMB_CPU_MS, FORMAT, async () => {
      for await (const _ of split([bytes], LIMITS));
    })
  }
})

test('10 MB of digits are a value or refused, in each format, and cost little', async () => {
  const digits = '9'.repeat(10_000_000)
  const bodies: [BodyFormat, string][] = [
    ['json', digits],
    ['json', `{"a":${digits}}`],
    ['jsonl', `${digits}\n`],
    ['yaml', digits],
    ['yaml', `a: ${digits}`],
    ['csv', `a\n${digits}\n`],
    ['form', `a=${digits}`],
    ['xml', `<a>${digits}</a>`],
    ['text', digits],
  ]
  for (const [format, text] of bodies) {
    const { error, cpuMs } = await outcome(() => parseBody(format, Buffer.from(text), LIMITS))
    assert.ok(error === undefined || error instanceof SignalboxError, `${format}: ${error}`)
    assert.ok(cpuMs < 2_000, `${format}: ${cpuMs} ms`)
  }
})

test('duplicate keys: the last counts in JSON and forms keep all; YAML and CSV refuse them', () => {
  const parse = (format: BodyFormat, text: string) => parseBody(format, Buffer.from(text), LIMITS)
  assert.deepEqual(parse('json', '{"a":1,"a":2}'), { a: 2 })
  assert.deepEqual(parse('form', 'a=1&a=2'), { a: ['1', '2'] })
  assert.throws(() => parse('yaml', 'a: 1\na: 2'), { code: 'SIGNALBOX_FORMAT_INVALID' })
  assert.throws(() => parse('csv', 'a,a\n1,2\n'), { code: 'SIGNALBOX_FORMAT_INVALID' })
})

test('lone surrogates are refused as bytes, and become no other text as escapes', () => {
  for (const format of ['json', 'jsonl', 'yaml', 'csv', 'form', 'xml', 'text'] as const) {
    const bytes = Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])
    assert.throws(() => parseBody(format, bytes, LIMITS), { code: 'SIGNALBOX_FORMAT_INVALID' }, format)
  }
  assert.equal(parseBody('json', Buffer.from('"\\ud800"'), LIMITS), '\ud800')
  assert.throws(() => parseBody('form', Buffer.from('a=%ED%A0%80'), LIMITS), {
    code: 'SIGNALBOX_FORMAT_INVALID',
  })
  assert.throws(() => parseBody('xml', Buffer.from('<a>&#xD800;</a>'), LIMITS), {
    code: 'SIGNALBOX_FORMAT_INVALID',
  })
})

test('names that reach prototypes are refused or stay names, in formats', async () => {
  const bodies: [BodyFormat, string][] = [
    ['json', '{"__proto__":{"polluted":1}}'],
    ['json', '{"a":{"\\u005f_proto__":{"polluted":1}}}'],
    ['json', '{"constructor":{"prototype":{"polluted":1}}}'],
    ['jsonl', '{"__proto__":{"polluted":1}}\n'],
    ['yaml', '__proto__: { polluted: 1 }'],
    ['yaml', '"\\x5f_proto__": { polluted: 1 }'],
    ['yaml', 'constructor: { prototype: { polluted: 1 } }'],
    ['yaml', 'a: &a { polluted: 1 }\n__proto__: *a'],
    ['yaml', '? __proto__\n: { polluted: 1 }'],
    ['csv', '__proto__,a\npolluted,1\n'],
    ['csv', '"__proto__"\npolluted\n'],
    ['csv', 'constructor.prototype.polluted\n1\n'],
    ['tsv', '__proto__\tpolluted\n1\t1\n'],
    ['form', '__proto__=1'],
    ['form', '__proto__[polluted]=1'],
    ['form', 'constructor.prototype.polluted=1'],
    ['xml', '<__proto__><polluted>1</polluted></__proto__>'],
    ['xml', '<a><constructor><prototype><polluted>1</polluted></prototype></constructor></a>'],
    ['xml', '<a __proto__="1"/>'],
  ]
  for (const [format, text] of bodies) {
    const { value, error } = await outcome(() => parseBody(format, Buffer.from(text), LIMITS))
    assert.ok(error === undefined || error instanceof SignalboxError, `${text}: ${error}`)
    for (const object of [value, ...(Array.isArray(value) ? value : [])]) {
      if (typeof object !== 'object' || object === null) continue
      const { polluted } = object as { polluted?: unknown }
      assert.equal(polluted, undefined, text)
      assert.ok([Object.prototype, Array.prototype, null].includes(Object.getPrototypeOf(object)), text)
    }
    assertPrototypes(text)
  }
  const merged = parseBody('yaml', Buffer.from('a: 1\nb:\n  <<: { c: 1 }'), LIMITS, { merge: true })
  assert.deepEqual(merged, { a: 1, b: { c: 1 } })
  await outcome(() =>
    parseBody('yaml', Buffer.from('a:\n  <<: { __proto__: { polluted: 1 } }'), LIMITS, { merge: true }),
  )
  assertPrototypes('merge')
})

/** Objects that a parser outside of the bus has made. */
const HOSTILE_OBJECTS: readonly unknown[] = [
  '{"__proto__":{"polluted":1},"k":"__proto__","v":{"polluted":1}}',
  '{"constructor":{"prototype":{"polluted":1}},"k":"constructor","v":{"prototype":{"polluted":1}}}',
  '{"list":[{"k":"__proto__","v":{"polluted":1}}],"k":"prototype","v":{"polluted":1}}',
].map(text => JSON.parse(text))

test('they reach nothing in JSONata and mappings', async () => {
  const expressions = [
    '{ k: v }',
    '$merge([$, { k: v }, v])',
    '$ ~> |$|{ "__proto__": v }|',
    '$ ~> |$|{ "constructor": v }|',
    '$spread($) ~> $merge()',
    '$each($, function($v, $k) { { $k: $v } }) ~> $merge()',
    '$lookup($, "__proto__")',
    '$lookup($lookup($, "constructor"), "prototype")',
    '`__proto__`.polluted',
    'list{ k: v }',
    'list.{ k: v } ~> $merge()',
    '$eval("{ k: v }")',
    '($f := $constructor; $f)',
  ]
  for (const expression of expressions) {
    const { run } = await compileJsonata(expression)
    for (const input of HOSTILE_OBJECTS) {
      await outcome(() => run(input))
      assertPrototypes(expression)
    }
  }
  const definitions: unknown[] = [
    { map: { a: '__proto__', b: 'constructor.prototype', c: "'__proto__'.polluted", d: '$' } },
    { map: { ['__proto__']: 'v' } },
    JSON.parse('{"map":{"__proto__":{"polluted":"v"}}}'),
    JSON.parse('{"map":{"constructor":{"prototype":{"polluted":"v"}}}}'),
  ]
  for (const definition of definitions) {
    for (const input of HOSTILE_OBJECTS) {
      await outcome(() => compileMapping(definition as never).run(input))
      assertPrototypes(JSON.stringify(definition))
    }
  }
  for (const text of [
    'map:\n  __proto__: v',
    'map:\n  constructor:\n    prototype: v',
    'map:\n  list: { <<: { __proto__: v } }',
  ]) {
    await outcome(async () => {
      const [definition, options] = await parseMapping(text, 'm.yaml')
      compileMapping(definition, options).run(HOSTILE_OBJECTS[0])
    })
    assertPrototypes(text)
  }
})

test('they reach nothing in routes, services and what queues keep', async () => {
  const lists: StepList[] = [
    [{ set: { vars: { ['__proto__']: 'v' } } }],
    [{ set: { vars: { constructor: 'v' } } }, { transform: '$vars.constructor' }],
    [{ set: { headers: { ['__proto__']: '"x"' } } }],
    [{ set: { headers: { constructor: '"x"' } } }, { transform: '$headers' }],
    [{ enrich: { steps: [{ transform: 'v' }], into: '__proto__' } }],
    [{ enrich: { steps: [{ transform: 'v' }], into: 'constructor' } }],
    [{ transform: '{ k: v }' }],
    [{ call: 'echo' }],
    [{ enqueue: 'jobs' }],
  ]
  for (const steps of lists) {
    for (const payload of HOSTILE_OBJECTS) {
      await outcome(async () => {
        const route = await testRoute({ steps }, { services: { echo: input => input } })
        try {
          const headers = JSON.parse('{"__proto__":"x","constructor":"y","prototype":"z"}')
          await route.send(payload, { headers })
        } finally {
          await route.close()
        }
      })
      assertPrototypes(JSON.stringify(steps))
    }
  }
  const open = service({
    input: Type.Object({ k: Type.Optional(Type.String({ default: 'x' })) }),
    handle: input => ({ ...input }),
  })
  for (const payload of HOSTILE_OBJECTS) {
    await outcome(() => testService(open).invoke(payload))
    const { value } = await outcome(() => unpackContent(packContent(payload, {})))
    const kept = (value as { payload?: { polluted?: unknown } } | undefined)?.payload
    assert.equal(kept?.polluted, undefined)
    assertPrototypes('kept')
  }
})

const SLOW_PATTERNS = [
  '^(a+)+$',
  '^(a|aa)+$',
  '^(a|a?)+$',
  '(.*a){20}$',
  '^([a-z]+)*$',
  '(a*)*b',
  'a+a+a+$',
  '(?=(a+)+$)b',
]
const SLOW_TEXT = `${'a'.repeat(5_000)}!`

test('patterns that backtrack without end are stopped, in schemas of services, routes and files', async () => {
  const codes = ['SIGNALBOX_FORMAT_LIMIT'] as const
  for (const pattern of SLOW_PATTERNS) {
    const schema = Type.Object({ a: Type.String({ pattern }) })
    const slow = testService(service({ input: schema, handle: () => 'accepted' }))
    const refused = [...codes, 'SIGNALBOX_INPUT_INVALID'] as const
    await refuses(`service ${pattern}`, MAX_MATCH_CPU_MS, refused, () => slow.invoke({ a: SLOW_TEXT }))
    const route = await testRoute({ steps: [{ validate: { schema: schema as never } }] })
    await refuses(`route ${pattern}`, MAX_MATCH_CPU_MS, refused, () => route.send({ a: SLOW_TEXT }))
    await route.close()
    const declared = jsonSchemaValidator({ schema })
    const { error, cpuMs } = await outcome(() => declared.validate({ a: SLOW_TEXT }))
    assert.ok(error === undefined || (error as SignalboxError).code === codes[0], `file ${pattern}: ${error}`)
    assert.ok(cpuMs < MAX_MATCH_CPU_MS, `file ${pattern}: ${cpuMs} ms`)
  }
})

test('patterns that backtrack without end are stopped, in expressions of any kind', async () => {
  const functions = ['$match(a, /P/)', '$contains(a, /P/)', '$split(a, /P/)', '$replace(a, /P/, "x")']
  const failed = ['SIGNALBOX_MAPPING_FAILED'] as const
  let stopped = 0
  for (const pattern of SLOW_PATTERNS) {
    for (const template of functions) {
      const compiled = template.replace('P', pattern)
      // The second is left to the package.
      for (const expression of [
        compiled,
        `[a]#$i{ "x": ${compiled} }`,
        `$eval(${JSON.stringify(compiled)})`,
      ]) {
        const { run } = await compileJsonata(expression)
        const { error, cpuMs } = await outcome(() => run({ a: SLOW_TEXT }))
        assert.ok(
          error === undefined || failed.includes((error as SignalboxError).code as never),
          String(error),
        )
        assert.ok(cpuMs < MAX_MATCH_CPU_MS, `${expression}: ${cpuMs} ms`)
        if (error !== undefined) stopped++
      }
    }
  }
  assert.ok(stopped > SLOW_PATTERNS.length * 3, `only ${stopped} were stopped`)
  // Time that grows with the square of the length.
  const { run } = await compileJsonata('$contains(a, /a+b/)')
  await refuses('a long text', MAX_MATCH_CPU_MS, failed, () => run({ a: 'a'.repeat(1_000_000) }))
  const route = await testRoute({ steps: [{ filter: '$contains(a, /^(a+)+$/)' }] })
  const late = ['SIGNALBOX_EXPRESSION_FAILED'] as const
  await refuses('a route', MAX_MATCH_CPU_MS, late, () => route.send({ a: SLOW_TEXT }))
  await route.close()
})

test('aliases that stand for very much are refused, in bodies and in files of a project', async () => {
  const laughs = Array.from({ length: 12 }, (_, i) => {
    const inside = i === 0 ? '"lol"' : Array.from({ length: 9 }, () => `*a${i - 1}`).join(', ')
    return `a${i}: &a${i} [${inside}]`
  }).join('\n')
  const itself = 'a: &a [*a]'
  const nothing = 'a: *b'
  const deep = `a: ${'['.repeat(100_000)}${']'.repeat(100_000)}`
  mkdirSync(join(folder, 'schemas'))
  const seams = projectSeams(folder)
  for (const [what, text] of Object.entries({ laughs, itself, nothing, deep })) {
    const check = (reader: string, codes: readonly ErrorCode[], work: () => unknown) =>
      refuses(`${what} in ${reader}`, MAX_BOMB_CPU_MS, codes, work)
    await check('a body', FORMAT, () => parseBody('yaml', Buffer.from(text), LIMITS))
    await check('a route', ['SIGNALBOX_ROUTE_INVALID'], () => parseRoute(text, 'r.yaml'))
    await check('a mapping', ['SIGNALBOX_MAPPING_INVALID'], async () => {
      const [definition, options] = await parseMapping(text, 'm.yaml')
      return compileMapping(definition, options)
    })
    writeFileSync(join(folder, 'schemas', `${what}.rules.yaml`), text)
    await check('rules', ['SIGNALBOX_ROUTE_INVALID', 'SIGNALBOX_SCHEMA_INVALID'], () => seams.validator(what))
    await check('signalbox.yaml', ['SIGNALBOX_CONFIG_INVALID'], () => parseProjectFile(text, 's.yaml', KINDS))
  }
})
