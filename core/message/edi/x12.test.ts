import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { EdiInterchange } from './dialect.ts'
import { body, hostileText, mutated, parse, records, refusal, survives } from './edi-test-kit.ts'
import type { EdiSegment } from './syntax.ts'
import { x12 } from './x12.ts'
import { x12Ack } from './x12-ack.ts'

const ISA =
  'ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *260101*1200*^*00501*000000007*0*P*:~'
const INVOICE = `ST*810*0001~BIG*20260101*INV-1**PO-9~REF*DP*038~N1*ST*Acme*92*123~N3*Street 1*Floor 2~N4*Town*NY*12345~N1*BT*Head office~ITD*01*3~IT1*1*2*EA*3.5**BP*A-7~TXI*ST*1.5~PID*F****Thing~IT1*2*1*EA*1**BP*B-8~SAC*A*C310***100~TDS*800~CAD*M****Carrier~CTT*2~SE*17*0001~`
const ORDER =
  'ST*850*0002~BEG*00*SA*PO-9**20260101~N1*ST*Acme~PO1*1*2*EA*3.5**BP*A-7~PID*F****Thing~PO1*2*1*EA*1~CTT*2~AMT*TT*8~SE*9*0002~'
const NOTICE =
  'ST*856*0003~BSN*00*S1*20260101*1200~HL*1**S~TD5**2*UPSN~N1*ST*Acme~HL*2*1*O~PRF*PO-9~HL*3*2*I~LIN**BP*A-7~SN1**2*EA~CTT*3~SE*12*0003~'
const WHOLE = `${ISA}GS*IN*S*R*20260101*1200*1*X*005010~${INVOICE}GE*1*1~GS*PO*S*R*20260101*1200*2*X*005010~${ORDER}${NOTICE}GE*2*2~IEA*2*000000007~`

function read(text: string | Buffer, options?: object): EdiInterchange {
  return parse(x12 as never, text, options)
}

function invalid(text: string | Buffer, options?: object) {
  return refusal('SIGNALBOX_FORMAT_INVALID', () => read(text, options))
}

function interchange(segments: EdiSegment[], separators?: object): EdiInterchange {
  const { interchange } = read(WHOLE)
  return {
    interchange: separators
      ? { separators, ISA: (interchange.ISA as unknown[]).with(15, [':']) }
      : interchange,
    groups: [
      {
        GS: [['IN'], ['S'], ['R'], ['20260101'], ['1200'], ['1'], ['X'], ['005010']],
        messages: [{ type: '810', reference: '0001', ST: [['810'], ['0001']], segments }],
      },
    ],
  }
}

describe('x12', () => {
  test('an interchange with its separators, groups and messages, and back', () => {
    const value = read(WHOLE)
    assert.deepEqual(value.interchange.separators, {
      element: '*',
      component: ':',
      segment: '~',
      repetition: '^',
    })
    assert.deepEqual((value.interchange.ISA as string[][])[5], ['SENDER'])
    assert.deepEqual(
      value.groups!.map(group => group.messages.map(message => message.type)),
      [['810'], ['850', '856']],
    )
    assert.equal(x12.build(value), WHOLE)
    const lines = WHOLE.replaceAll('~', '~\n')
    assert.deepEqual(read(lines), value)
    assert.equal(x12.build(value, { lineBreaks: true }), lines)
  })

  test('loops by name', () => {
    const value = read(WHOLE, { group: true })
    const [invoice, order, notice] = value.groups!.flatMap(group => group.messages).map(each => each.content!)
    assert.deepEqual(invoice!.parties, [
      {
        N1: [['ST'], ['Acme'], ['92'], ['123']],
        N3: [[['Street 1'], ['Floor 2']]],
        N4: [[['Town'], ['NY'], ['12345']]],
      },
      { N1: [['BT'], ['Head office']] },
    ])
    const lines = invoice!.lines as Record<string, unknown>[]
    assert.deepEqual(lines[0]!.descriptions, [{ PID: [['F'], [''], [''], [''], ['Thing']] }])
    assert.deepEqual(lines[1]!.allowances, [{ SAC: [['A'], ['C310'], [''], [''], ['100']] }])
    assert.deepEqual(invoice!.TDS, [['800']])
    assert.equal((order!.lines as unknown[]).length, 2)
    assert.deepEqual(order!.summary, [{ CTT: [['2']], AMT: [[['TT'], ['8']]] }])
    const levels = notice!.levels as Record<string, string[][]>[]
    assert.deepEqual(
      levels.map(level => level.HL![2]![0]),
      ['S', 'O', 'I'],
    )
    assert.equal(x12.build(value), WHOLE)
  })

  test('a segment out of order stays in its loop', () => {
    const moved = WHOLE.replace('TXI*ST*1.5~PID*F****Thing~', 'PID*F****Thing~TXI*ST*1.5~')
    assert.deepEqual(read(moved, { group: true }), read(WHOLE, { group: true }))
  })

  test('separators are those of ISA, repetitions from 5010 on', () => {
    const other = WHOLE.replaceAll('*', '|')
      .replaceAll('~', '\n')
      .replace('|:\n', '|>\n')
      .replace('INV-1', 'a>b^c*~')
    const [BIG] = read(other).groups![0]!.messages[0]!.segments!
    assert.deepEqual(BIG!.elements[1], [['a', 'b'], ['c*~']])
    assert.equal(x12.build(read(other)), other)
    const old = WHOLE.replace('^*00501', 'U*00401').replace('INV-1', 'a^b')
    assert.deepEqual(read(old).groups![0]!.messages[0]!.segments![0]!.elements[1], ['a^b'])
    assert.equal(x12.build(read(old)), old)
  })

  test('counts and control numbers', () => {
    for (const [from, to] of [
      ['SE*17*0001', 'SE*16*0001'],
      ['SE*17*0001', 'SE*17*0002'],
      ['GE*1*1', 'GE*2*1'],
      ['GE*1*1', 'GE*1*7'],
      ['IEA*2*000000007', 'IEA*3*000000007'],
      ['IEA*2*000000007', 'IEA*2*000000008'],
    ] as const) {
      const text = WHOLE.replace(from, to)
      assert.equal(invalid(text).details!.tag, from.split('*')[0])
      assert.equal(read(text, { strict: false }).problems!.length, 1)
      assert.equal(x12.build(read(text, { strict: false })), WHOLE)
    }
    assert.ok(read(WHOLE.replace('IEA*2*000000007', 'IEA*2*7')), 'leading zeros mean nothing')
  })

  test('bodies that are none', () => {
    for (const text of [
      '',
      'ISA',
      ISA.slice(0, 100),
      ISA,
      WHOLE.slice(1),
      WHOLE.replace('SENDER         ', 'SENDER'),
      WHOLE.replace('*:~', '***'),
      WHOLE.replace('*:~', '*A~'),
      WHOLE.replace('GS*', 'GX*'),
      WHOLE.replace('GE*1*1~', ''),
      WHOLE.replace('BIG*', 'big*'),
      WHOLE.replace('BIG*', '__proto__*'),
      WHOLE.replace('BIG*', 'ISA*'),
      WHOLE + WHOLE,
      `${ISA}${INVOICE}IEA*0*7~`,
      WHOLE.replace('REF*DP', 'TA1*DP'),
      Buffer.from(WHOLE.replace('Acme', 'Acm\xe9'), 'latin1'),
    ]) {
      invalid(text)
    }
    assert.ok(read(Buffer.from(WHOLE.replace('Acme', 'Acm\xe9'), 'latin1'), { charset: 'iso-8859-1' }))
    invalid(WHOLE.replace('BIG*', 'ZZZ*'), { group: true })
  })

  test('what is built is parsed back; separators in data are refused', () => {
    const all = ':*^~|>!'
    const text = hostileText(all)
    const components = fc.array(text, { minLength: 1, maxLength: 3 })
    const element = fc.oneof(components, fc.array(components, { minLength: 2, maxLength: 3 }))
    const tag = fc.constantFrom('BIG', 'N1', 'Z0')
    const segment = fc.record(
      { tag, elements: fc.array(element, { maxLength: 4 }) },
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 4 }), list => {
        const value = interchange(list)
        if (/[*:^~]/.test(JSON.stringify(list.map(each => each.elements)))) {
          refusal('SIGNALBOX_CODEC_UNENCODABLE', () => x12.build(value))
        }
        const separators = { element: '\x1d', component: '\x1f', repetition: '\x1e', segment: '\x1c' }
        const free = interchange(list, separators)
        const back = read(x12.build(free) as string)
        assert.deepEqual(back.groups, free.groups)
        assert.deepEqual({ ...(back.interchange.separators as object) }, separators)
      }),
    )
  })

  test('what cannot be written says where', () => {
    const path = (value: unknown) =>
      refusal('SIGNALBOX_CODEC_UNENCODABLE', () => x12.build(value)).details!.path
    const bad = (elements: unknown) => interchange([{ tag: 'BIG', elements } as never])
    assert.equal(path(bad(['a', ['b', 'c~SE*1']])), 'groups[0].messages[0].segments[0].elements[1][1]')
    const value = interchange([])
    const header = value.interchange.ISA as string[][]
    assert.equal(
      path({ ...value, interchange: { ISA: header.with(5, ['x'.repeat(16)]) } }),
      'interchange.ISA[5]',
    )
    assert.equal(path({ ...value, interchange: { ISA: header.with(5, ['a*b']) } }), 'interchange.ISA[5]')
    assert.equal(path({ ...value, interchange: { ISA: header.with(12, ['x']) } }), 'interchange.ISA[12]')
    assert.equal(
      path({ ...value, interchange: { ISA: header, separators: { element: 'A' } } }),
      'interchange.separators',
    )
    assert.equal(path({ interchange: value.interchange, messages: [{}] }), 'messages')
    const grouped = read(WHOLE, { group: true })
    const content = grouped.groups![0]!.messages[0]!.content!
    const lines = content.lines as Record<string, unknown>[]
    delete lines[0]!.IT1
    assert.equal(path(grouped), 'groups[0].messages[0].content.lines[0]')
    content.lines = []
    content.FOO = [['x']]
    assert.equal(path(grouped), 'groups[0].messages[0].content.FOO')
  })

  test('streams give the messages of the whole and join to the same bytes', async () => {
    const two =
      WHOLE +
      WHOLE.replaceAll('000000007', '000000008').replace('GS*IN', 'TA1*000000001*260101*1200*A*000~GS*IN')
    const bytes = Buffer.from(two)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 10 }), fc.boolean(), async (cuts, group) => {
        const list = (await records(x12 as never, bytes, cuts, { group })) as EdiInterchange[]
        assert.equal(list.length, 6)
        assert.deepEqual(
          list.slice(0, 3).flatMap(each => each.groups!.flatMap(one => one.messages)),
          read(WHOLE, { group }).groups!.flatMap(one => one.messages),
        )
        assert.equal((await body(x12 as never, list)).toString(), two)
        const segments = await records(x12 as never, bytes, cuts, { by: 'segment' })
        assert.equal((await body(x12 as never, segments, { by: 'segment' })).toString(), two)
      }),
      { numRuns: 20 },
    )
  })

  test('mutated and random bytes end in a value or a typed error', async () => {
    const options = fc.record({
      strict: fc.boolean(),
      group: fc.boolean(),
      by: fc.constantFrom('message', 'segment'),
      charset: fc.constantFrom('auto', 'iso-8859-1'),
    })
    const bytes = fc.oneof(
      mutated([Buffer.from(WHOLE)]),
      fc.uint8Array().map(list => Buffer.from(list)),
    )
    await fc.assert(
      fc.asyncProperty(bytes, options, (each, how) => survives(x12 as never, each, how)),
      { numRuns: 300 },
    )
  })
})

describe('acknowledgements', () => {
  const options = { controlNumber: '9', at: new Date('2026-01-02T03:04:00Z') }
  const segments = (value: EdiInterchange) =>
    (x12.build(value) as string).split('~').filter(each => /^(AK|IK|ST|SE)/.test(each))

  test('997: accepted, rejected with what is wrong, and partly', () => {
    const received = read(WHOLE)
    assert.deepEqual(segments(x12Ack(received, options)).slice(0, 6), [
      'ST*997*0001',
      'AK1*IN*1',
      'AK2*810*0001',
      'AK5*A',
      'AK9*A*1*1*1',
      'SE*6*0001',
    ])
    const elements = [{ position: 1, code: '8', value: 'x' }]
    const rejected = [
      { reference: '0003', codes: ['5'], segments: [{ tag: 'BSN', position: 2, elements }] },
      { reference: '0001', codes: ['5'], accepted: true },
    ]
    const ack = x12Ack(received, { ...options, rejected })
    assert.deepEqual(
      segments(ack).filter(each => /^AK[3459]/.test(each)),
      ['AK5*E*5', 'AK9*E*1*1*1', 'AK5*A', 'AK3*BSN*2**8', 'AK4*1**8*x', 'AK5*R*5', 'AK9*P*2*2*1'],
    )
    assert.equal(read(x12.build(ack) as string).groups!.length, 2)
    assert.deepEqual(
      (ack.interchange.ISA as string[][]).slice(5, 8).map(([id]) => id),
      ['RECEIVER', 'ZZ', 'SENDER'],
    )
    assert.equal(x12Ack(ack, options).groups!.length, 0, 'acknowledgements are not acknowledged')
    refusal('SIGNALBOX_CODEC_UNENCODABLE', () =>
      x12Ack(received, { ...options, rejected: [{ reference: '9', codes: [] }] }),
    )
  })

  test('999', () => {
    const ack = x12Ack(read(WHOLE), {
      ...options,
      kind: '999',
      rejected: [{ reference: '0001', codes: ['5'] }],
    })
    assert.deepEqual(segments(ack).slice(0, 5), [
      'ST*999*0001*005010X231A1',
      'AK1*IN*1*005010',
      'AK2*810*0001',
      'IK5*R*5',
      'AK9*R*1*1*0',
    ])
  })
})
