import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { body, hostileText, mutated, parse, records, refusal, survives } from './edi-test-kit.ts'
import { hl7 } from './hl7.ts'
import { hl7Ack } from './hl7-ack.ts'
import { hl7Get } from './hl7-get.ts'
import type { Hl7Body } from './hl7-reader.ts'

const MSH = 'MSH|^~\\&|ADT1|GOOD HEALTH|LAB|HOSPITAL|198808181126||ADT^A01^ADT_A01|MSG1|P|2.5.1'
const ADMIT = [
  MSH,
  'EVN||200708181123',
  'PID|1||PATID1234^5^M11^ADT1^MR~123456789^^^USSSA&1.2.3&ISO^SS||EVERYMAN^ADAM^A^III||19610615|M|""|2106-3|2222 HOME \\T\\ STREET^^TOWN',
  'NK1|1|JONES^BARBARA^K|WIFE',
  'NK1|2|JONES^BOB^K|BROTHER',
  'PV1|1|I|2000^2012^01||||004777^LEBAUER^SIDNEY^J.|||SUR||||7|A0',
].join('\r')
const RESULT = [
  MSH.replace('ADT^A01^ADT_A01|MSG1', 'ORU^R01^ORU_R01|MSG2'),
  'PID|1||7^^^H',
  'ORC|RE',
  'OBR|1||L1|CBC^Blood count',
  'OBX|1|NM|HGB||13.5|g/dl',
  'NTE|1||line one\\.br\\line two\\X0D\\\\X41\\\\H\\bold\\N\\',
  'OBX|2|NM|WBC||7|10\\S\\9/l',
  'OBR|2||L2|GLU',
  'OBX|1|NM|GLU||5',
].join('\r')
const BATCH = `FHS|^~\\&|F\rBHS|^~\\&|B1\r${ADMIT}\r${RESULT}\rBTS|2|all\rBHS|^~\\&|B2\r${ADMIT}\rBTS|1\rFTS|2\r`

function read(text: string | Buffer, options?: object): Hl7Body {
  return parse(hl7 as never, text, options)
}

function invalid(text: string | Buffer, options?: object) {
  return refusal('SIGNALBOX_FORMAT_INVALID', () => read(text, options))
}

describe('hl7', () => {
  test('a message and back, whatever ends its segments', () => {
    for (const text of [ADMIT, RESULT]) {
      const value = read(text)
      for (const [name, end] of [
        ['cr', '\r'],
        ['lf', '\n'],
        ['crlf', '\r\n'],
      ] as const) {
        const ended = `${text.replaceAll('\r', end)}${end}`
        assert.deepEqual(read(ended), value)
        if (text === ADMIT) assert.equal(hl7.build(value, { segmentEnd: name }), ended)
      }
      assert.deepEqual(read(hl7.build(value) as string), value)
    }
    const [message] = read(ADMIT).messages!
    assert.equal(message!.type, 'ADT^A01')
    assert.equal(message!.reference, 'MSG1')
    assert.equal(message!.MSH[2], '^~\\&')
    assert.deepEqual(message!.segments![1]!.fields[3], [
      { 1: 'PATID1234', 2: '5', 3: 'M11', 4: 'ADT1', 5: 'MR' },
      { 1: '123456789', 4: { 1: 'USSSA', 2: '1.2.3', 3: 'ISO' }, 5: 'SS' },
    ])
  })

  test('values by path', () => {
    const [message] = read(ADMIT).messages!
    const [result] = read(RESULT).messages!
    const get = (path: string) => hl7Get(message!, path)
    assert.equal(get('PID-3.1'), 'PATID1234')
    assert.equal(get('PID-3[2].4'), 'USSSA')
    assert.equal(get('PID-3[2].4.2'), '1.2.3')
    assert.equal(get('PID-3[1].1.1'), 'PATID1234')
    assert.equal(get('PID-3[1].1.2'), undefined)
    assert.equal(get('PID-9'), null)
    assert.equal(get('PID-11'), '2222 HOME & STREET')
    assert.equal(get('PID-4'), undefined)
    assert.equal(get('NK1[2]-2.2'), 'BOB')
    assert.equal(get('NK1[3]-2'), undefined)
    assert.equal(get('MSH-1'), '|')
    assert.equal(hl7Get(result!, 'NTE-3'), 'line one\nline two\rA\\H\\bold\\N\\')
    assert.equal(hl7Get(result!, 'OBX[2]-6'), '10^9/l')
    assert.equal(hl7Get(read(ADMIT, { group: true }).messages![0]!, 'NK1[2]-2.2'), 'BOB')
    for (const path of ['PID', 'PID-0', '__proto__-1', 'PID-3.1.1.1', 'constructor']) {
      refusal('SIGNALBOX_FORMAT_UNSUPPORTED', () => get(path))
    }
  })

  test('groups by the built-in structures', () => {
    const value = read(RESULT, { group: true })
    const [patient] = value.messages![0]!.content!.patients as Record<string, Record<string, unknown>[]>[]
    assert.equal(patient!.orders!.length, 2)
    assert.deepEqual(Object.keys(patient!.orders![1]!), ['OBR', 'observations'])
    assert.equal((patient!.orders![0]!.observations as unknown[]).length, 2)
    assert.deepEqual(read(hl7.build(value) as string), read(RESULT))
    invalid(`${RESULT}\rZZZ|1`, { group: true })
    const own = { ORU_R01: 'PID ORC? results(ORC? OBR all(OBX NTE*)) ZZZ*' }
    assert.ok(read(`${RESULT}\rZZZ|1`, { group: own }).messages![0]!.content!.ZZZ)
    refusal('SIGNALBOX_OPTIONS_INVALID', () => read(RESULT, { group: { ORU_R01: 'a(PID' } }))
  })

  test('batches, with their counts', () => {
    const value = read(BATCH)
    assert.deepEqual(
      value.batches!.map(batch => batch.messages.length),
      [2, 1],
    )
    assert.deepEqual(value.batches![0]!.BTS, { 1: [{ 1: '2' }], 2: [{ 1: 'all' }] })
    const normal = BATCH.replace('\\X41\\\\H\\bold\\N\\', 'A\\E\\H\\E\\bold\\E\\N\\E\\')
    assert.equal(hl7.build(value), normal)
    for (const [from, to] of [
      ['BTS|2', 'BTS|3'],
      ['FTS|2', 'FTS|x'],
    ] as const) {
      const wrong = BATCH.replace(from, to)
      invalid(wrong)
      assert.equal(read(wrong, { strict: false }).problems!.length, 1)
      assert.equal(hl7.build(read(wrong, { strict: false })), normal)
    }
  })

  test('character sets of MSH-18', () => {
    const text = (name: string) => `${MSH}||||||${name}\rPID|1||||M\xfcller`
    const latin1 = Buffer.from(text('8859/1'), 'latin1')
    assert.equal(hl7Get(read(latin1).messages![0]!, 'PID-5'), 'Müller')
    assert.deepEqual(hl7.build(read(latin1)), Buffer.concat([latin1, Buffer.from('\r')]))
    assert.equal(hl7Get(read(Buffer.from(text('UNICODE UTF-8'))).messages![0]!, 'PID-5'), 'Müller')
    assert.equal(hl7Get(read(Buffer.from(text(''))).messages![0]!, 'PID-5'), 'Müller')
    invalid(Buffer.from(text('ASCII')))
    invalid(Buffer.from(text(''), 'latin1'))
    invalid(text('ISO IR87'))
    assert.ok(read(text('ISO IR87'), { charset: 'utf-8' }))
  })

  test('bodies that are none', () => {
    for (const text of [
      '',
      'PID|1',
      'MSH',
      'MSH|',
      'MSH|^~\\',
      'MSH|^^\\&|',
      'MSHA^~\\&A',
      `${MSH}\rpid|1`,
      `${MSH}\r__proto__|1`,
      `${MSH}\rPID^1`,
      `${MSH}\rBTS|1`,
      `BHS|^~\\&\r${MSH}`,
      `FHS|^~\\&\r${MSH}`,
      `${MSH}\rBHS|^~\\&\rBTS|0`,
      `BHS|^~\\&\rPID|1\rBTS|0`,
      BATCH + BATCH,
    ]) {
      invalid(text)
    }
    const error = invalid(`${MSH}\r\nPID|1\r\npid|1`)
    assert.deepEqual(error.details, { line: 3, column: 1, segment: 3 })
    const few = { maxDepth: 64, maxElements: 100 }
    for (const junk of '|^~&') {
      const limit = refusal('SIGNALBOX_FORMAT_LIMIT', () =>
        parse(hl7 as never, `${MSH}\rPID|${junk.repeat(1_000_000)}`, {}, few),
      )
      assert.equal(limit.details!.limit, 'maxElements')
    }
    refusal('SIGNALBOX_FORMAT_LIMIT', () =>
      read(`${MSH}\rPID|${'x'.repeat(2000)}`, { maxSegmentBytes: 1000 }),
    )
  })

  test('what is built is parsed back, with every delimiter in the data', () => {
    const text = hostileText('|^~\\&#', 1).filter(each => each !== '')
    const leaf = fc.oneof({ weight: 5, arbitrary: text }, { weight: 1, arbitrary: fc.constant(null) })
    const numbers = (arbitrary: fc.Arbitrary<unknown>, min: number) =>
      fc
        .uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: min, maxLength: 3 })
        .chain(keys => fc.tuple(...keys.map(key => arbitrary.map(value => [key, value] as const))))
        .map(entries => Object.fromEntries(entries))
    const subcomponents = numbers(leaf, 1).filter(value => Object.keys(value).some(key => key !== '1'))
    const repetition = numbers(fc.oneof(leaf, subcomponents), 1)
    const field = fc.array(repetition, { minLength: 1, maxLength: 3 })
    const segment = fc.record(
      { tag: fc.constantFrom('PID', 'OBX', 'Z01'), fields: numbers(field, 0) },
      { noNullPrototype: true },
    )
    fc.assert(
      fc.property(
        fc.array(segment, { maxLength: 4 }),
        fc.constantFrom('^~\\&', '^~\\&#'),
        (segments, encoding) => {
          const [first] = read(ADMIT).messages!
          const value = { messages: [{ ...first!, MSH: { ...first!.MSH, 2: encoding }, segments }] }
          const built = hl7.build(value) as string
          assert.equal(built.split('\r').length, segments.length + 2, 'no segment comes from data')
          assert.deepEqual(read(built), value)
        },
      ),
    )
    const value = read(ADMIT)
    value.messages![0]!.segments = [{ tag: 'PID', fields: { 5: [{ 1: '""' }] } }]
    assert.deepEqual(read(hl7.build(value) as string), value, 'the text "" is not null')
  })

  test('what cannot be written says where', () => {
    const [message] = read(ADMIT).messages!
    const path = (fields: unknown, tag = 'PID') =>
      refusal('SIGNALBOX_CODEC_UNENCODABLE', () =>
        hl7.build({ messages: [{ ...message, segments: [{ tag, fields }] }] }),
      ).details!.path
    const at = 'messages[0].segments[0].fields'
    assert.equal(path({ 3: [{ 1: true }] }), `${at}.3[0].1`)
    assert.equal(path({ 3: [{ 4: { 2: {} } }] }), `${at}.3[0].4.2`)
    assert.equal(path({ 3: '\ud800' }), `${at}.3`)
    assert.equal(path({ 0: 'x' }), `${at}.0`)
    assert.equal(path({ 99999: 'x' }), `${at}.99999`)
    assert.equal(path(JSON.parse('{"__proto__":"x"}')), `${at}.__proto__`)
    for (const tag of ['MSH', 'BTS', 'P|D', 'pid', '']) assert.equal(path({}, tag), at)
    assert.equal(
      refusal('SIGNALBOX_CODEC_UNENCODABLE', () => hl7.build({ messages: [{ ...message, type: 'X' }] }))
        .details!.path,
      'messages[0].type',
    )
  })

  test('streams give the messages of the whole and join to the same bytes', async () => {
    const normal = hl7.build(read(BATCH)).toString().replace('|all', '')
    for (const text of [normal, `${ADMIT}\r${ADMIT}\r`]) {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.nat(), { maxLength: 10 }), fc.boolean(), async (cuts, group) => {
          const list = (await records(hl7 as never, Buffer.from(text), cuts, { group })) as Hl7Body[]
          const all = (value: Hl7Body) => value.messages ?? value.batches!.flatMap(batch => batch.messages)
          assert.deepEqual(list.flatMap(all), all(read(text, { group })))
          assert.equal((await body(hl7 as never, list)).toString(), text)
          const segments = await records(hl7 as never, Buffer.from(text), cuts, { by: 'segment' })
          assert.equal((await body(hl7 as never, segments, { by: 'segment' })).toString(), text)
        }),
        { numRuns: 15 },
      )
    }
  })

  test('mutated and random bytes end in a value or a typed error', async () => {
    const options = fc.record({
      strict: fc.boolean(),
      group: fc.boolean(),
      by: fc.constantFrom('message', 'segment'),
      charset: fc.constantFrom('auto', 'iso-8859-1'),
    })
    const bytes = fc.oneof(
      mutated([ADMIT, RESULT, BATCH].map(text => Buffer.from(text))),
      fc.uint8Array().map(list => Buffer.from(list)),
    )
    await fc.assert(
      fc.asyncProperty(bytes, options, (each, how) => survives(hl7 as never, each, how)),
      { numRuns: 300 },
    )
  })

  test('acknowledgements go back to the sender', () => {
    const [message] = read(`${MSH}||||||8859/1`).messages!
    const at = new Date('2026-01-02T03:04:05Z')
    const ack = hl7Ack(message!, 'AE', 'no such | patient', { controlId: 'A1', at })
    assert.equal(
      hl7.build({ messages: [ack] }),
      'MSH|^~\\&|LAB|HOSPITAL|ADT1|GOOD HEALTH|20260102030405+0000||ACK^A01^ACK|A1|P|2.5.1||||||8859/1\rMSA|AE|MSG1|no such \\F\\ patient\r',
    )
    assert.ok(
      hl7
        .build({
          messages: [
            hl7Ack(read(MSH.replace('^A01^ADT_A01', '')).messages![0]!, 'AA', undefined, {
              controlId: 'A1',
              at,
            }),
          ],
        })
        .includes('|ACK|A1|'),
    )
  })
})
