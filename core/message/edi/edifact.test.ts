import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { parseXml, type XmlElement } from '../xml.ts'
import type { EdiInterchange } from './dialect.ts'
import { body, hostileText, LIMITS, mutated, parse, records, refusal, survives } from './edi-test-kit.ts'
import { edifact } from './edifact.ts'
import type { EdiSegment } from './syntax.ts'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Bytes on the heap that are in use. */
function retained(): number {
  gc()
  return process.memoryUsage().heapUsed
}

const DOCUMENTS = new URL('../../../examples/invoice-hub/data/en16931/', import.meta.url)
const EXAMPLES = [1, 2, 3].map(n => readFileSync(new URL(`EDIFACT_EXAMPLE${n}.TXT`, DOCUMENTS)))
const LOOSE = { strict: false }

const UNB = [['UNOC', '3'], ['SENDER', '14'], ['RECEIVER', '14'], ['260101', '1200'], ['REF1']]
const HEAD = "UNB+UNOC:3+SENDER:14+RECEIVER:14+260101:1200+REF1'"
const ORDER = "UNH+1+ORDERS:D:96A:UN'BGM+220+4711'UNT+3+1'"
const WHOLE = `${HEAD}${ORDER}UNZ+1+REF1'`

function read(text: string | Buffer, options?: object): EdiInterchange {
  return parse(edifact as never, text, options)
}

function invalid(text: string | Buffer, options?: object) {
  return refusal('SIGNALBOX_FORMAT_INVALID', () => read(text, options))
}

function written(value: unknown, options?: object): string {
  return edifact.build(value, options).toString()
}

/** An interchange of one message with the given segments. */
function interchange(segments: EdiSegment[], una?: string, version = '4', charset = 'UNOW'): EdiInterchange {
  const header = [[charset, version], ...UNB.slice(1)]
  return {
    interchange: una === undefined ? { UNB: header } : { UNA: una, UNB: header },
    messages: [{ type: 'ORDERS', reference: '1', UNH: [['1'], ['ORDERS', 'D', '96A', 'UN']], segments }],
  }
}

describe('what is read', () => {
  test('an interchange, its messages, segments, elements and components', () => {
    assert.deepEqual(read(WHOLE), {
      interchange: { UNB },
      messages: [
        {
          type: 'ORDERS',
          reference: '1',
          UNH: [['1'], ['ORDERS', 'D', '96A', 'UN']],
          segments: [{ tag: 'BGM', elements: [['220'], ['4711']] }],
        },
      ],
    })
  })

  test('UNA, released characters, line breaks between segments and in data, empty elements', () => {
    const value = read(
      `UNA:+,! '\r\nUNB+UNOA:2+A+B+1:2+R'\r\nUNH+1+X'\nFTX+a!+b!:c!!!'d'\n\nFTX++x\ny+:'UNT+4+1'UNZ+1+R'\n`,
    )
    assert.equal(value.interchange.UNA, ":+,! '")
    assert.deepEqual(value.messages![0]!.segments, [
      { tag: 'FTX', elements: [["a+b:c!'d"]] },
      { tag: 'FTX', elements: [[''], ['x\ny'], ['', '']] },
    ])
  })

  test('repetitions in version 4 only, with the character of UNA', () => {
    const text = (version: number) => `UNB+UNOC:${version}+A+B+1:2+R'UNH+1+X'FTX+a:b*c+d?*e'UNT+3+1'UNZ+1+R'`
    const elements = (value: EdiInterchange) => value.messages![0]!.segments![0]!.elements
    assert.deepEqual(elements(read(text(4))), [[['a', 'b'], ['c']], ['d*e']])
    assert.deepEqual(elements(read(text(3))), [['a', 'b*c'], ['d*e']])
    assert.deepEqual(elements(read(`UNA:+.?~'${text(4)}`)), [['a', 'b*c'], ['d*e']])
    assert.deepEqual(elements(read(`UNA:+.? '${text(4)}`)), [['a', 'b*c'], ['d*e']])
  })

  test('level B separators without UNA', () => {
    const text = "UNB+UNOB:1+A+B+1:2+R'UNH+1+X'FTX+it?'s'UNT+3+1'UNZ+1+R'".replaceAll("?'", '\0')
    const levelB = text
      .replaceAll('+', '\x1d')
      .replaceAll(':', '\x1f')
      .replaceAll("'", '\x1c')
      .replaceAll('\0', "'")
    assert.deepEqual(read(levelB).messages![0]!.segments, [{ tag: 'FTX', elements: [["it's"]] }])
  })

  test('functional groups', () => {
    const text = `${HEAD}UNG+ORDERS+A+B+1:2+G1+UN+D'${ORDER}UNE+1+G1'UNG+ORDERS+A+B+1:2+G2+UN+D'UNE+0+G2'UNZ+2+REF1'`
    const value = read(text)
    assert.deepEqual(
      value.groups!.map(group => group.messages.length),
      [1, 0],
    )
    assert.equal(value.messages, undefined)
    assert.equal(written(value), text)
    invalid(`${HEAD}${ORDER}UNG+ORDERS+A+B+1:2+G1'UNE+0+G1'UNZ+2+REF1'`)
    invalid(`${HEAD}UNG+ORDERS+A+B+1:2+G1'UNE+0+G1'${ORDER}UNZ+2+REF1'`)
  })

  test('character sets by syntax identifier, and chosen', () => {
    const text = (name: string, bytes: number[]) =>
      Buffer.concat([
        Buffer.from(`UNB+${name}:3+A+B+1:2+R'UNH+1+X'FTX+`),
        Buffer.from(bytes),
        Buffer.from("'UNT+3+1'UNZ+1+R'"),
      ])
    const cases: [string, number[], string][] = [
      ['UNOC', [0xe4, 0x80], 'ä\x80'],
      ['UNOD', [0xb1], 'ą'],
      ['UNOE', [0xb6], 'Ж'],
      ['UNOF', [0xe1], 'α'],
      ['UNOG', [0xa1], 'Ħ'],
      ['UNOH', [0xa2], 'ĸ'],
      ['UNOI', [0xc7], 'ا'],
      ['UNOJ', [0xe0], 'א'],
      ['UNOK', [0xf0], 'ğ'],
      ['UNOW', [0xc3, 0xa4], 'ä'],
    ]
    for (const [name, bytes, expected] of cases) {
      const original = text(name, bytes)
      const value = read(original)
      assert.deepEqual(value.messages![0]!.segments![0]!.elements, [[expected]], name)
      assert.deepEqual(Buffer.from(edifact.build(value) as string), original, name)
    }
    assert.deepEqual(
      invalid(text('UNOA', [0xe4])).details,
      { line: 1, column: 30, segment: 3 },
      'the segment that is not ASCII',
    )
    invalid(text('UNOW', [0xe4]))
    invalid(text('UNOG', [0xa5]))
    invalid(text('UNOX', [0xe4]))
    const chosen = read(text('UNOA', [0xe4]), { charset: 'windows-1252' })
    assert.deepEqual(chosen.messages![0]!.segments![0]!.elements, [['ä']])
  })
})

describe('what is refused', () => {
  test('an error says line, column, number and name of the segment', () => {
    const text = `${HEAD}\nUNH+1+X'\n BGM+1'\nUNT+2+1'\nUNZ+1+REF1'`
    const error = invalid(text)
    assert.deepEqual(error.details, { line: 4, column: 1, segment: 4, tag: 'UNT' })
    assert.match(error.message, /the count is "2", but there are 3; segment 4 \(UNT\) at line 4, column 1/)
  })

  test('counts and references that do not match; without strict they are listed', () => {
    for (const [from, to] of [
      ["UNT+3+1'", "UNT+4+1'"],
      ["UNT+3+1'", "UNT+3+2'"],
      ["UNT+3+1'", "UNT+three+1'"],
      ["UNZ+1+REF1'", "UNZ+2+REF1'"],
      ["UNZ+1+REF1'", "UNZ+1+REF2'"],
      ["UNZ+1+REF1'", "UNZ'"],
    ] as const) {
      const text = WHOLE.replace(from, to)
      invalid(text)
      const value = read(text, LOOSE)
      assert.ok(value.problems!.length >= 1)
      assert.equal(written(value), WHOLE, 'what is written is right')
    }
    assert.equal(read(WHOLE, LOOSE).problems, undefined)
  })

  test('bodies that are none', () => {
    for (const text of [
      '',
      ' \n',
      'UNH',
      "UNH+1+X'",
      'UNA',
      "UNA:+.? '",
      'UNB',
      HEAD,
      `${HEAD}${ORDER}`,
      `${HEAD}UNH+1+X'`,
      WHOLE.slice(0, -1),
      WHOLE + WHOLE,
      `${WHOLE}x`,
      WHOLE.replace('UNOC:3', 'UNOC:5'),
      WHOLE.replace('UNOC:3', 'UNOC'),
      WHOLE.replace('BGM', 'bgm'),
      WHOLE.replace('BGM', '__proto__'),
      WHOLE.replace('BGM', ''),
      WHOLE.replace('BGM', 'UNB'),
      WHOLE.replace('BGM', 'UNA'),
      WHOLE.replace("BGM+220+4711'", "UNH+2+X'"),
      WHOLE.replace('UNH', 'BGM'),
      "UNA::.? 'UNB",
      "UNAA+.? 'UNB",
      "UNA:+x? 'UNB",
    ]) {
      invalid(text)
    }
  })

  test('limits: long segments, many values, nesting, long objects', () => {
    const limit = (run: () => unknown) => refusal('SIGNALBOX_FORMAT_LIMIT', run).details!.limit
    const long = WHOLE.replace('4711', 'x'.repeat(2_000_000))
    assert.equal(
      limit(() => read(long)),
      'maxSegmentBytes',
    )
    assert.equal(
      limit(() => read(long.slice(0, 1_500_000))),
      'maxSegmentBytes',
    )
    const wide = WHOLE.replace('4711', '+'.repeat(100_000))
    const few = { maxDepth: 64, maxElements: 1000 }
    assert.equal(
      limit(() => parse(edifact as never, wide, {}, few)),
      'maxElements',
    )
    assert.equal(
      limit(() => parse(edifact as never, wide.replaceAll('++', '::'), {}, few)),
      'maxElements',
    )
    const many = WHOLE.replace("BGM+220+4711'", "BGM'".repeat(2000))
    assert.equal(
      limit(() => parse(edifact as never, many, {}, few)),
      'maxElements',
    )
    assert.equal(
      limit(() => read(WHOLE, { ...LIMITS }) && parse(edifact as never, WHOLE, {}, { maxDepth: 3 })),
      'maxDepth',
    )
    assert.equal(
      limit(() => parse(edifact as never, WHOLE, { group: true }, { maxDepth: 9 })),
      'maxDepth',
    )
    const object = `UNB+UNOC:4+A+B+1:2+R'UNO+1+1+x+99999999'`
    assert.equal(
      limit(() => read(object)),
      'maxPackageBytes',
    )
  })

  test('ten megabytes of released terminators, of release characters and of separators end soon', () => {
    const started = performance.now()
    for (const junk of ["?'", '?', '+', "'", ':', '*']) {
      const bytes = Buffer.from(
        `${HEAD.replace(':3', ':4')}UNH+1+X'FTX+${junk.repeat(10_000_000 / junk.length)}`,
      )
      assert.throws(() => read(bytes, { maxSegmentBytes: 20_000_000 }), { name: 'SignalboxError' })
    }
    assert.ok(performance.now() - started < 20_000)
  })
})

describe('what is written', () => {
  const una = fc.constantFrom(undefined, ":+.?*'", ":+,? '", '|^.!~\n')
  const text = hostileText(":+?*'|^!~")
  const components = fc.array(text, { minLength: 1, maxLength: 3 })
  const element = fc.oneof(components, fc.array(components, { minLength: 2, maxLength: 3 }))
  const single = fc.array(components, { maxLength: 4 })
  const tags = fc.constantFrom('BGM', 'LIN', 'A00', 'UNS', 'DTM')
  const segments = (elements: fc.Arbitrary<(string[] | string[][])[]>) =>
    fc.array(fc.record({ tag: tags, elements }, { noNullPrototype: true }), { maxLength: 5 })

  test('what is built is parsed back, with every separator in the data', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(":+.?*'", '|^.!~\n', undefined),
        segments(fc.array(element, { maxLength: 4 })),
        (advice, list) => {
          const value = interchange(list, advice)
          assert.deepEqual(read(written(value)), value)
        },
      ),
    )
    fc.assert(
      fc.property(una, fc.constantFrom('1', '2', '3', '4'), segments(single), (advice, version, list) => {
        const value = interchange(list, advice, version)
        assert.deepEqual(read(written(value)), value)
      }),
    )
  })

  test('data cannot become a segment, an element or a component', () => {
    const value = interchange([{ tag: 'FTX', elements: [["x'UNT+2+1'UNH+2+X'", '+:?']] }])
    const built = written(value)
    assert.ok(built.includes("FTX+x?'UNT?+2?+1?'UNH?+2?+X?':?+?:??'"))
    assert.equal(read(built).messages!.length, 1)
  })

  test('numbers with the decimal mark of UNA, nothing, and simple elements without lists', () => {
    const list = [{ tag: 'QTY', elements: ['21', 1.5, null, undefined, [1n, '2']] }] as never
    assert.ok(written(interchange(list)).includes("QTY+21+1.5+++1:2'"))
    assert.ok(written(interchange(list, ":+,? '")).includes("QTY+21+1,5+++1:2'"))
  })

  test('what cannot be written says where', () => {
    const path = (value: unknown, options?: object) =>
      refusal('SIGNALBOX_CODEC_UNENCODABLE', () => edifact.build(value, options)).details!.path
    const bad = (elements: unknown, more: object = {}) =>
      interchange([{ tag: 'FTX', elements, ...more } as never])
    assert.equal(path(bad([['a', { b: 1 }]])), 'messages[0].segments[0].elements[0][1]')
    assert.equal(path(bad([[['a'], 'b']])), 'messages[0].segments[0].elements[0][1]')
    assert.equal(path(bad([true])), 'messages[0].segments[0].elements[0]')
    assert.equal(path(bad([Number.NaN])), 'messages[0].segments[0].elements[0]')
    assert.equal(path(bad([1e300])), 'messages[0].segments[0].elements[0]')
    assert.equal(path(bad(['\ud800'])), 'messages[0].segments[0].elements[0]')
    assert.equal(path(bad('text')), 'messages[0].segments[0].elements')
    for (const tag of ["X'Y", 'UNT', 'UNB', 'unt', '', 7, '__proto__']) {
      assert.equal(path(bad([], { tag })), 'messages[0].segments[0].elements', String(tag))
    }
    const latin = interchange([{ tag: 'FTX', elements: [['Ж']] }], undefined, '3', 'UNOC')
    assert.equal(path(latin), 'messages[0].segments[0].elements[0][0]')
    const repeated = interchange([{ tag: 'FTX', elements: [[['a'], ['b']]] }], undefined, '3')
    assert.equal(path(repeated), 'messages[0].segments[0].elements[0]')
    const noRelease = interchange([{ tag: 'FTX', elements: [['+']] }], ":+.  '")
    assert.equal(path(noRelease), 'messages[0].segments[0].elements[0][0]')
    assert.equal(path({ interchange: { UNB: [['UNOX', '3'], '', '', '', 'R'] } }), 'interchange.UNB')
    assert.equal(path({ interchange: { UNB: [['UNOC', '3']] } }), 'interchange.UNB')
    assert.equal(path({ interchange: { UNA: ':+', UNB } }), 'interchange.UNA')
    assert.equal(path(7), '')
    assert.equal(path({ ...interchange([]), messages: 'x' }), 'messages')
    const other = interchange([])
    other.messages![0]!.reference = '2'
    assert.equal(path(other), 'messages[0].reference')
    assert.equal(path({ ...interchange([]), packages: [{ UNO: [['1']], data: 'x' }] }), 'packages[0].data')
  })
})

describe('real invoices', () => {
  const trailer = /UNZ\+\d+\+\w+/

  test('are refused for their UNZ, which has another reference than UNB, unless told not to be strict', () => {
    for (const bytes of EXAMPLES) assert.equal(invalid(bytes).details!.tag, 'UNZ')
  })

  test('are written as they were, but for UNZ', () => {
    for (const bytes of EXAMPLES) {
      for (const group of [false, true]) {
        const value = read(bytes, { ...LOOSE, group })
        const built = written(value, { lineBreaks: true })
        const expected = bytes.toString().replace("UNP+104+P1'\n", "UNP+104+P1'\n")
        assert.equal(built.replace(trailer, 'UNZ'), expected.replace(trailer, 'UNZ'))
        assert.equal(read(built).problems, undefined)
      }
    }
  })

  test('have the groups that the same messages have in ISO 20625 XML', () => {
    for (const n of [1, 2, 3]) {
      const xml = parseXml(readFileSync(new URL(`EDIFACT_EXAMPLE${n}.xml`, DOCUMENTS)))
      const { content } = read(EXAMPLES[n - 1]!, { ...LOOSE, group: true }).messages![0]!
      const expected = fromXml(xml).filter(each => each !== 'UNH' && each !== 'UNT')
      assert.deepEqual(fromContent(content!), expected)
    }
  })

  test('have an object beside the message', () => {
    const { packages } = read(EXAMPLES[1]!, LOOSE)
    assert.equal(packages!.length, 1)
    assert.equal(packages![0]!.data.length, 104)
    assert.ok(Buffer.from(packages![0]!.data).toString().startsWith('SlZCRVJp'))
  })

  /** Nested lists of segment names, each group a list. */
  type Shape = (string | Shape)[]

  function fromXml(element: XmlElement): Shape {
    return element.children().map(each => (each.name.startsWith('G_') ? fromXml(each) : each.name.slice(2)))
  }

  function fromContent(content: Record<string, unknown>): Shape {
    return Object.entries(content).flatMap(([name, value]): Shape => {
      const list = value as unknown[]
      if (/^[a-z]/.test(name)) return list.map(each => fromContent(each as Record<string, unknown>))
      return isSegmentList(list) ? list.map(() => name) : [name]
    })
  }

  /** A list of segments is one level deeper than the elements of a segment; none of these repeats an element. */
  function isSegmentList(value: unknown): boolean {
    let depth = 0
    for (let inner = value; Array.isArray(inner); inner = inner[0]) depth++
    return depth === 3
  }
})

describe('streams', () => {
  const cuts = fc.array(fc.nat(), { maxLength: 20 })

  test('give the messages of the whole, however the bytes come', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...EXAMPLES), cuts, fc.boolean(), async (bytes, places, group) => {
        const options = { ...LOOSE, group }
        const list = (await records(edifact as never, bytes, places, options)) as EdiInterchange[]
        const whole = read(bytes, options)
        assert.deepEqual(
          list.flatMap(each => each.messages),
          whole.messages,
        )
        assert.deepEqual(
          list.flatMap(each => each.packages ?? []),
          whole.packages ?? [],
        )
        for (const each of list) assert.deepEqual(each.interchange, whole.interchange)
      }),
      { numRuns: 40 },
    )
  })

  test('give segments, the service segments among them, which join to the same bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...EXAMPLES), cuts, async (bytes, places) => {
        const list = (await records(edifact as never, bytes, places, {
          ...LOOSE,
          by: 'segment',
        })) as EdiSegment[]
        assert.equal(list[0]!.tag, 'UNA')
        const whole = read(bytes, LOOSE)
        assert.deepEqual(
          list.slice(3, 3 + whole.messages![0]!.segments!.length),
          whole.messages![0]!.segments,
        )
        const joined = await body(edifact as never, list, { by: 'segment' })
        assert.equal(joined.toString(), written(whole))
      }),
      { numRuns: 20 },
    )
  })

  test('join interchanges, groups and messages as they were', async () => {
    const group = (n: number, count: number) =>
      `UNG+ORDERS+A+B+1:2+G${n}'${ORDER.repeat(count)}UNE+${count}+G${n}'`
    const two = HEAD.replace('REF1', 'REF2')
    const text = `${WHOLE.replace(ORDER, ORDER.repeat(3)).replace('UNZ+1', 'UNZ+3')}${two}${group(1, 2)}${group(2, 1)}UNZ+2+REF2'`
    const list = await records(edifact as never, Buffer.from(text), [17, 99])
    assert.equal(list.length, 6)
    assert.equal((await body(edifact as never, list)).toString(), text)
  })

  test('hold one message at a time', async () => {
    const message = `UNH+1+X'FTX+${'x'.repeat(900)}'UNT+3+1'`
    let taken = 0
    function* source() {
      yield Buffer.from(HEAD)
      for (; taken < 100_000; taken++) yield Buffer.from(message)
      yield Buffer.from(`UNZ+${taken}+REF1'`)
    }
    let seen = 0
    let most = 0
    const start = retained()
    for await (const _ of edifact.split(source(), { maxDepth: 64, maxElements: 100 })) {
      assert.ok(_)
      assert.ok(taken - seen++ < 20, 'messages come as their bytes do')
      if (seen % 20_000 === 0) most = Math.max(most, retained() - start)
    }
    assert.equal(seen, 100_000)
    assert.ok(most < 5e6, `${most} bytes more on the heap for 90 MB`)
  })

  test('a long segment in single bytes costs no more than its length', async () => {
    const text = WHOLE.replace('4711', "x?'".repeat(200_000))
    const bytes = Buffer.from(text)
    const single = Array.from({ length: bytes.length }, (_, i) => i)
    const started = performance.now()
    assert.equal((await records(edifact as never, bytes, single)).length, 1)
    assert.ok(performance.now() - started < 15_000)
  })

  test('records before an error are given; ending early ends the source', async () => {
    const text = `${HEAD}${ORDER}${ORDER.replace('UNT+3', 'UNT+9')}UNZ+2+REF1'`
    const seen: unknown[] = []
    await assert.rejects(
      async () => {
        for await (const each of edifact.split([Buffer.from(text)], LIMITS)) seen.push(each)
      },
      { code: 'SIGNALBOX_FORMAT_INVALID' },
    )
    assert.equal(seen.length, 1)
    let ended = false
    async function* source() {
      try {
        for (;;) yield Buffer.from(HEAD + ORDER.repeat(200))
      } finally {
        ended = true
      }
    }
    for await (const each of edifact.split(source(), LIMITS)) {
      assert.ok(each)
      break
    }
    assert.ok(ended)
  })

  test('segments out of place cannot be joined', async () => {
    const segment = (tag: string, elements: unknown = []) => ({ tag, elements })
    for (const list of [
      [segment('BGM')],
      [segment('UNB', UNB), segment('UNT')],
      [segment('UNB', UNB), segment('UNB', UNB)],
      [segment('UNB', UNB), segment('BGM')],
      [segment('UNA', [[":+.? '"]])],
      [segment('UNB', UNB), segment('UNH', [['1'], ['X']]), segment('UNZ')],
      [segment('UNB', UNB), { tag: 'UNO', elements: [['1']], data: Buffer.from('x') }],
    ]) {
      await assert.rejects(body(edifact as never, list, { by: 'segment' }), {
        code: 'SIGNALBOX_CODEC_UNENCODABLE',
      })
    }
  })
})

test('mutated and random bytes end in a value or a typed error', async () => {
  const grouped = Buffer.from(`${HEAD}UNG+ORDERS+A+B+1:2+G1'${ORDER}UNE+1+G1'UNZ+1+REF1'`)
  const options = fc.record({
    strict: fc.boolean(),
    group: fc.boolean(),
    by: fc.constantFrom('message', 'segment'),
    charset: fc.constantFrom('auto', 'iso-8859-1', 'utf-8'),
  })
  const bytes = fc.oneof(
    mutated([...EXAMPLES, grouped]),
    fc.uint8Array().map(list => Buffer.from(list)),
  )
  await fc.assert(
    fc.asyncProperty(bytes, options, (each, how) => survives(edifact as never, each, how)),
    {
      numRuns: 500,
    },
  )
})
