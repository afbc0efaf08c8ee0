/**
 * Texts of strangers that are made to become something else than text: another header, a line of the log, a formula, a
 * segment, an event, a path or an expression. Whatever they are, each stays one value, or is refused.
 */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { type RunningProject, startProject } from '../../cli/start.ts'
import { systemClock } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import { type BodyFormat, buildBody, parseBody } from '../../core/message/formats.ts'
import { compileJsonata } from '../../core/message/jsonata/compile.ts'
import { compileMapping } from '../../core/message/map/compile.ts'
import { inspectEntry, RESOURCE_KINDS } from '../../core/resource/resource.ts'
import { KINDS } from '../../core/resource/test-kit.ts'
import { parseOptions } from '../../core/schema.ts'
import { createLogger, silentLogger } from '../../core/telemetry/log.ts'
import { HttpConnection } from '../../transports/http/connection.ts'
import { connectionOptions } from '../../transports/http/connection-options.ts'
import { addHeaders, saneCid } from '../../transports/http/head.ts'
import { encodeEvent } from '../../transports/http/sse.ts'

const CASES = Number(process.env.SIGNALBOX_INJECTIONS ?? 5_000)
const RUNS = { numRuns: CASES, seed: 27 }
const LIMITS = { maxDepth: 256 }
const PROJECT = new URL('../projects/pubsub', import.meta.url).pathname

/** Pieces that mean something to somebody. */
const PIECE = fc.oneof(
  fc.constantFrom(
    ...[
      '\r',
      '\n',
      '\r\n',
      '\0',
      '\t',
      '\x0b',
      '\x0c',
      '\x1b[2J',
      '\x7f',
      '\x85',
      '\u2028',
      '\u2029',
      '\uff1d',
    ],
    ...['%0d%0a', '%0a', '%00', '%2e%2e%2f', '../', '/', '\\', '__proto__', 'constructor', 'toString'],
    ...[
      '=',
      '+',
      '-',
      '@',
      '=cmd|',
      "' /C calc'!A0",
      '=1+1',
      '"',
      "'",
      ',',
      ';',
      '|',
      '^',
      '~',
      '&',
      ':',
      '*',
      '>',
      '?',
    ],
    ...['MSH|', 'PID|', "UNT+1+1'", "'BGM+1", '~SE*1*1', 'ISA*', '\\E\\', '\\X0D\\', '?+', '\\r'],
    ...[
      'data: x\n\n',
      'event: x',
      'id: 1',
      'retry: 1',
      ':',
      'x-injected: 1',
      'HTTP/1.1 200 OK',
      '{"level":60}',
    ],
    ...['$eval("1")', '$', '$$', '$1', '{{x}}', '(', ')', '[', ']', '{', '}', '%', '/*', '*/', '<!--', '`'],
    ...['process.exit(1)', '$.a', 'a[0]', '^a', "a[b='c']"],
  ),
  fc.string({ maxLength: 6 }),
  fc.string({ unit: 'grapheme', maxLength: 4 }),
)
const TEXT = fc.array(PIECE, { minLength: 1, maxLength: 6 }).map(pieces => pieces.join(''))
const LINE_ENDS = /[\r\n\0]/

/** What a step gives, or undefined where it is refused as it should be. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    assert.ok(error instanceof SignalboxError, String(error))
    return undefined
  }
}

let server: Server
let bus: RunningProject
let state: string
let pubsub: URL
const got: { names: string[]; value: string | undefined }[] = []

before(async () => {
  server = createServer((asked, response) => {
    got.push({ names: Object.keys(asked.headers), value: asked.headers['x-value'] as string | undefined })
    response.end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  process.env.SIGNALBOX_TEST_HOOK = 'http://127.0.0.1:9'
  process.env.SIGNALBOX_TEST_SHOP_KEY = 'the-key-of-the-shop-that-nobody-guesses'
  process.env.SIGNALBOX_TEST_ERP_KEY = 'the-key-of-the-erp-that-nobody-guesses'
  state = await mkdtemp(join(tmpdir(), 'signalbox-injection-'))
  bus = await startProject(PROJECT, { stateFolder: state, workers: 1 })
  const { workers } = await bus.node.inspect()
  const actors = workers.flatMap(worker => worker.actors as { address: string; endpoint?: string }[])
  pubsub = new URL(actors.find(({ address }) => address === 'channel/http/public')!.endpoint!)
})
after(async () => {
  await bus?.stop()
  server?.closeAllConnections()
  server?.close()
  await rm(state, { recursive: true })
})

test('headers that go out in requests', async t => {
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const context = {
    name: 'test',
    log: silentLogger,
    clock: systemClock,
    signal: new AbortController().signal,
    lost: () => {},
  }
  const connection = new HttpConnection(parseOptions(connectionOptions, { url }, 'test'), context)
  t.after(() => connection.close())
  await connection.connect()
  let sent = 0
  const cases = fc.sample(fc.tuple(TEXT, TEXT, fc.boolean()), RUNS)
  for (const [name, value, inName] of cases) {
    const headers = inName ? { [name]: 'x' } : { 'x-value': value }
    got.length = 0
    try {
      await connection.request({ method: 'GET', path: '/', headers })
    } catch (error) {
      assert.ok(error instanceof SignalboxError, String(error))
      assert.equal(error.code, 'SIGNALBOX_USAGE')
      assert.equal(got.length, 0, 'refused before anything is sent')
      continue
    }
    sent++
    assert.equal(got.length, 1)
    const [{ names, value: received }] = got as [(typeof got)[number]]
    assert.ok(!names.includes('x-injected'))
    if (inName) assert.ok(names.includes(name.toLowerCase()))
    else assert.equal(received, value.trim(), JSON.stringify(value))
  }
  t.diagnostic(`${sent} of ${CASES} sent`)
  assert.ok(sent > 0 && sent < CASES)
})

test('headers that go out in answers, and correlation ids that come in', () => {
  fc.assert(
    fc.property(TEXT, TEXT, (name, value) => {
      const list: string[] = []
      attempt(() => addHeaders(list, { [name]: value }))
      assert.ok(!list.some(text => LINE_ENDS.test(text)), JSON.stringify(list))
      assert.ok(list.length === 0 || (list.length === 2 && list[1] === value))
      assert.match(saneCid(value) ?? '', /^[A-Za-z0-9._-]*$/)
    }),
    RUNS,
  )
})

test('names and paths of queues, topics and subscriptions over HTTP', async () => {
  const files = async () => (await readdir(state, { recursive: true })).sort()
  const addresses = async () => {
    const { workers } = await bus.node.inspect()
    const actors = workers.flatMap(worker => worker.actors as { address: string }[])
    return actors.map(({ address }) => address).sort()
  }
  const before = [await files(), await addresses()]
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  /** Status, or undefined where Node.js itself does not send such a path. */
  const ask = (method: string, path: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      if (/[^\x21-\x7e]/.test(path)) return resolve(undefined)
      const { hostname, port } = pubsub
      const asked = request({ hostname, port, path, method, agent }, response => {
        response.resume().once('end', () => resolve(response.statusCode))
      })
      asked.once('error', reject).end()
    })
  const paths = fc.sample(
    fc
      .tuple(
        TEXT.filter(text => /[^A-Za-z0-9_.-]/.test(text)),
        fc.constantFrom(
          ['POST', 'queues/NAME/messages'],
          ['POST', 'topics/NAME/messages'],
          ['PUT', 'topics/NAME/subscriptions/a'],
          ['PUT', 'topics/prices/subscriptions/NAME'],
          ['DELETE', 'topics/prices/subscriptions/NAME'],
          ['POST', 'queues/NAME/fetch'],
          ['GET', 'queues/NAME/events'],
          ['POST', 'queues/jobs/NAME'],
        ),
        fc.boolean(),
      )
      .map(([text, [method, template], isEncoded]) => {
        const name = isEncoded ? encodeURIComponent(text.toWellFormed()) : text
        return { method: method!, path: `/pubsub/${template!.replace('NAME', () => name)}` }
      }),
    RUNS,
  )
  let answered = 0
  try {
    const rest = paths.values()
    const line = async () => {
      for (const { method, path } of rest) {
        const status = await ask(method, path)
        if (status === undefined) continue
        answered++
        // A path with a query or dots in it may name what there is.
        assert.ok(status < 500, `${method} ${path}: ${status}`)
      }
    }
    await Promise.all(Array.from({ length: 16 }, line))
  } finally {
    agent.destroy()
  }
  assert.ok(answered > CASES / 4, `${answered} were sent`)
  const changed = (await files()).filter(file => !before[0]!.includes(file))
  assert.deepEqual(
    changed.filter(file => !/^[A-Za-z0-9_./-]+$/.test(file)),
    [],
  )
  const made = (await addresses()).filter(address => !before[1]!.includes(address))
  assert.deepEqual(
    made.filter(address => !/^[A-Za-z][A-Za-z0-9_./@-]*$/.test(address)),
    [],
  )
  assert.deepEqual((await readdir(PROJECT)).sort(), ['services', 'signalbox.yaml'])
})

test('names of resources of each kind, schedules among them', () => {
  fc.assert(
    fc.property(TEXT, fc.constantFrom(...RESOURCE_KINDS), (name, kind) => {
      const { violations } = inspectEntry(kind, { name, type: 'test', options: {} }, KINDS)
      const isName = /^[A-Za-z][A-Za-z0-9_.-]*$/.test(name) && !name.includes('\n')
      assert.equal(
        violations.some(({ pointer }) => pointer === '/name'),
        !isName,
        JSON.stringify(name),
      )
    }),
    RUNS,
  )
})

test('lines of the log', () => {
  const lines: string[] = []
  const log = createLogger(
    { node: 'n' },
    { level: 'info', pretty: false, destination: { write: line => lines.push(line) } },
  )
  fc.assert(
    fc.property(TEXT, TEXT, (message, value) => {
      lines.length = 0
      log.child({ bound: value }).warn({ value, [`k${value}`]: 1, err: new Error(message) }, message)
      assert.equal(lines.length, 1)
      const [line] = lines as [string]
      assert.equal(line.indexOf('\n'), line.length - 1, 'one line for each record')
      assert.ok(!['\r', '\0', '\x1b'].some(control => line.includes(control)))
      const record = JSON.parse(line) as Record<string, unknown>
      assert.deepEqual(
        [record.msg, record.value, record.level],
        [message.toWellFormed(), value.toWellFormed(), 40],
      )
    }),
    RUNS,
  )
})

test('formulas in CSV and TSV', () => {
  fc.assert(
    fc.property(
      fc.array(TEXT, { minLength: 1, maxLength: 3 }),
      fc.constantFrom('csv', 'tsv'),
      (texts, format) => {
        const written = attempt(() =>
          buildBody(format as BodyFormat, [Object.fromEntries(texts.map((text, i) => [`c${i}`, text]))], {
            formulas: 'escape',
          }),
        )
        if (written === undefined) return
        const rows = parseBody(format as BodyFormat, Buffer.from(written), LIMITS) as Record<string, string>[]
        assert.equal(rows.length, 1)
        const cells = Object.values(rows[0]!)
        assert.equal(cells.length, texts.length)
        for (const [i, cell] of cells.entries()) {
          const isNumber = /^[+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?$/.test(cell)
          assert.ok(isNumber || !/^\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/.test(cell), JSON.stringify(cell))
          assert.ok(cell === texts[i] || cell === `'${texts[i]}`, JSON.stringify(cell))
        }
      },
    ),
    RUNS,
  )
})

const EDIFACT = "UNB+UNOC:3+S:14+R:14+200101:1200+1'UNH+1+ORDERS:D:96A:UN'BGM+220+X+9'UNT+3+1'UNZ+1+1'"
const HL7 = 'MSH|^~\\&|A|B|C|D|20200101||ADT^A01|1|P|2.5\rPID|1||123||X^Y\r'
const X12 =
  'ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *200101*1200*U*00401*000000001*0*P*>~' +
  'GS*PO*S*R*20200101*1200*1*X*004010~ST*850*0001~BEG*00*SA*X**20200101~SE*3*0001~GE*1*1~IEA*1*000000001~'

test('delimiters of EDIFACT, X12 and HL7', t => {
  const read = (format: BodyFormat, text: string | Buffer) => parseBody(format, Buffer.from(text), LIMITS)
  const places: [BodyFormat, string, (message: never, text: string) => void][] = [
    [
      'edifact',
      EDIFACT,
      (m: { messages: { segments: { elements: string[][] }[] }[] }, text) => {
        m.messages[0]!.segments[0]!.elements[1] = [text]
      },
    ],
    [
      'x12',
      X12,
      (m: { groups: { messages: { segments: { elements: string[][] }[] }[] }[] }, text) => {
        m.groups[0]!.messages[0]!.segments[0]!.elements[2] = [text]
      },
    ],
    [
      'hl7',
      HL7,
      (m: { messages: { segments: { fields: Record<string, { 1: string }[]> }[] }[] }, text) => {
        m.messages[0]!.segments[0]!.fields[3] = [{ 1: text }]
      },
    ],
  ]
  const kept: Record<string, number> = {}
  for (const [format, sample, put] of places) {
    fc.assert(
      fc.property(TEXT, text => {
        const message = read(format, sample)
        put(message as never, text)
        const written = attempt(() => buildBody(format, message))
        if (written === undefined) return
        const again = read(format, written)
        const shape = (value: unknown) => (JSON.stringify(value).match(/"tag":"[^"]*"/g) ?? []).join()
        assert.equal(shape(again), shape(read(format, sample)), JSON.stringify(text))
        kept[format] = (kept[format] ?? 0) + 1
      }),
      RUNS,
    )
  }
  t.diagnostic(`written: ${JSON.stringify(kept)}`)
  for (const [format] of places) assert.ok(kept[format]! > CASES / 20, format)
})

test('data in expressions stays data', async () => {
  const expressions = [
    'a',
    '{ "a": a }.a',
    '$string(a)',
    '$join([a])',
    '$trim("") & a',
    '$lookup($, "a")',
    '$eval("a")',
  ]
  const compiled = await Promise.all(expressions.map(text => compileJsonata(text)))
  await fc.assert(
    fc.asyncProperty(TEXT, async text => {
      for (const { run } of compiled) assert.equal(await run({ a: text }), text)
    }),
    RUNS,
  )
})

test('an expression cannot make code of data', async () => {
  for (const text of [
    '$eval(a)',
    '$eval($string(a))',
    '$eval("1" & a)',
    '$eval("$eval(a)")',
    '$eval($eval("a"))',
    '($e := $eval; $e(a))',
    '[a].$eval($)',
    'a ~> $eval',
    'a ~> $eval()',
    'a ~> $eval("1")',
    '$map([a], $eval)',
    '$eval(?)(a)',
    '{ "x": function($f) { $f(a) }($eval) }',
    '(a ~> $trim ~> $eval)',
  ]) {
    await assert.rejects(compileJsonata(text), { code: 'SIGNALBOX_MAPPING_INVALID' }, text)
  }
  const { run } = await compileJsonata('$eval("1 + 2")')
  assert.equal(await run({}), 3)
})

test('data in mappings stays data', () => {
  const mapping = compileMapping({ map: { a: 'x', b: '$.x', 'c.d': 'list[0].x' } } as never)
  fc.assert(
    fc.property(TEXT, text => {
      const output = attempt(() => mapping.run({ x: text, list: [{ x: text }] }))
      assert.deepEqual(output, { a: text, b: text, c: { d: text } })
    }),
    RUNS,
  )
})

/** The events that a client sees (HTML standard, 9.2.6). */
function eventsOf(stream: string): { type: string; id: string; data: string }[] {
  const events: { type: string; id: string; data: string }[] = []
  let [type, id, data] = ['', '', [] as string[]]
  for (const line of stream.split(/\r\n|\r|\n/)) {
    if (line === '') {
      if (data.length > 0) events.push({ type, id, data: data.join('\n') })
      type = ''
      data = []
      continue
    }
    const colon = line.indexOf(':')
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === 'event') type = value
    else if (name === 'id') id = value
    else if (name === 'data') data.push(value)
  }
  return events
}

test('fields of events', () => {
  let written = 0
  fc.assert(
    fc.property(TEXT, TEXT, TEXT, (event, id, data) => {
      const stream = attempt(() => encodeEvent({ event, id, data }))
      assert.deepEqual(eventsOf(encodeEvent(data)), [
        { type: '', id: '', data: data.replaceAll(/\r\n|\r/g, '\n') },
      ])
      if (stream === undefined) return
      written++
      assert.deepEqual(eventsOf(stream), [{ type: event, id, data: data.replaceAll(/\r\n|\r/g, '\n') }])
    }),
    RUNS,
  )
  assert.ok(written > CASES / 20)
})
