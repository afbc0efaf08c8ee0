import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { SignalboxError } from '../errors.ts'
import { type BodyFormat, buildBody, formatOf, mediaTypeOf, parseBody } from './formats.ts'
import { jsonErrorOffset } from './json-error.ts'

const LIMITS = { maxDepth: 64 }

function parse(format: BodyFormat, body: string | Buffer, limits = LIMITS): unknown {
  return parseBody(format, Buffer.from(body as string), limits)
}

/** The error of a refused body, whose code must be the expected one. */
function refusal(format: BodyFormat, body: string | Buffer, code: string, limits = LIMITS): SignalboxError {
  try {
    parse(format, body, limits)
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${error}`)
    assert.equal(error.code, code, error.message)
    return error
  } finally {
    assert.equal(({} as Record<string, unknown>).polluted, undefined)
  }
  return assert.fail(`accepted: ${String(body).slice(0, 80)}`)
}

describe('media types', () => {
  test('exact, by suffix, text, unknown', () => {
    assert.equal(formatOf('application/json'), 'json')
    assert.equal(formatOf('Application/Problem+JSON'), 'json')
    assert.equal(formatOf('application/soap+xml'), 'xml')
    assert.equal(formatOf('text/xml'), 'xml')
    assert.equal(formatOf('text/csv'), 'csv')
    assert.equal(formatOf('text/tab-separated-values'), 'tsv')
    assert.equal(formatOf('application/x-ndjson'), 'jsonl')
    assert.equal(formatOf('application/openapi+yaml'), 'yaml')
    assert.equal(formatOf('text/markdown'), 'text')
    assert.equal(formatOf('application/x-www-form-urlencoded'), 'form')
    assert.equal(formatOf('application/vnd.msgpack'), 'msgpack')
    assert.equal(formatOf('application/octet-stream'), undefined)
    assert.equal(formatOf(''), undefined)
    assert.equal(mediaTypeOf('xml'), 'application/xml')
  })
})

describe('json', () => {
  test('what is built is parsed back', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const text = JSON.stringify(value)
        fc.pre(!text.includes('__proto__'))
        assert.deepEqual(parse('json', buildBody('json', value) as string), JSON.parse(text))
      }),
    )
  })

  test('an error says line and column', () => {
    const error = refusal('json', '{\n  "a": 1,\n  "b": x\n}', 'SIGNALBOX_FORMAT_INVALID')
    assert.deepEqual(error.details, { line: 3, column: 8 })
    assert.ok(!error.message.includes('"a"'), 'quotes nothing of the message')
    assert.deepEqual(refusal('json', '', 'SIGNALBOX_FORMAT_INVALID').details, { line: 1, column: 1 })
  })

  test('the place of an error is where the first impossible character stands', () => {
    const cases: [string, number][] = [
      ['{"a":1,}', 7],
      ['[1,2', 4],
      ['{"a" 1}', 5],
      ['"a\nb"', 2],
      ['"\\x"', 1],
      ['[1] 2', 4],
      ['{"a":"b', 7],
      ['{a:1}', 1],
      ['[{"a":[1,{}]},nul]', 14],
    ]
    for (const [text, offset] of cases) assert.equal(jsonErrorOffset(text), offset, text)
  })

  test('nothing before the place of an error is wrong', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(), fc.string({ minLength: 1, maxLength: 2 }), (value, at, junk) => {
        const text = JSON.stringify(value)
        const cut = at % (text.length + 1)
        const damaged = text.slice(0, cut) + junk + text.slice(cut)
        let valid = true
        try {
          JSON.parse(damaged)
        } catch {
          valid = false
        }
        const offset = jsonErrorOffset(damaged)
        if (valid) assert.equal(offset, damaged.length)
        // Nothing before the place is wrong: that part alone only ends too early.
        else assert.equal(jsonErrorOffset(damaged.slice(0, offset)), offset)
      }),
    )
  })

  test('names that reach prototypes are refused, also when escaped', () => {
    for (const body of [
      '{"__proto__":{"polluted":1}}',
      '[{"a":{"\\u005f_proto__":{"polluted":1}}}]',
      '{"constructor":{"prototype":{"polluted":1}}}',
      '{"c\\u006fnstructor":{"prototype":{"polluted":1}}}',
    ]) {
      refusal('json', body, 'SIGNALBOX_FORMAT_INVALID')
    }
    assert.deepEqual(parse('json', '{"constructor":"Bob Ltd","text":"__proto__"}'), {
      constructor: 'Bob Ltd',
      text: '__proto__',
    })
  })

  test('limits: 100,000 levels, too many values; brackets in strings do not count', () => {
    refusal('json', '['.repeat(100_000) + ']'.repeat(100_000), 'SIGNALBOX_FORMAT_LIMIT')
    refusal('json', `${'{"a":'.repeat(65)}1${'}'.repeat(65)}`, 'SIGNALBOX_FORMAT_LIMIT')
    refusal('json', `[${'"]]",['.repeat(64)}${']'.repeat(65)}`, 'SIGNALBOX_FORMAT_LIMIT')
    assert.ok(parse('json', `${'['.repeat(64)}${']'.repeat(64)}`))
    assert.equal(parse('json', JSON.stringify('[{\\"['.repeat(100))), '[{\\"['.repeat(100))
    const error = refusal('json', '[1,2,3,4,5,6,7,8]', 'SIGNALBOX_FORMAT_LIMIT', {
      maxDepth: 8,
      maxElements: 4,
    } as never)
    assert.deepEqual(error.details, { limit: 'maxElements', max: 4 })
  })

  test('10 MB of digits, duplicate names and lone surrogates do no harm', () => {
    assert.equal(parse('json', '1'.repeat(10_000_000)), Number.POSITIVE_INFINITY)
    assert.deepEqual(parse('json', '{"a":1,"a":2}'), { a: 2 })
    assert.equal(parse('json', '"\\ud800"'), '\ud800')
  })

  test('bytes that are not UTF-8 are refused with their place', () => {
    const body = Buffer.concat([Buffer.from('{\n"ä\ufffd": "'), Buffer.from([0xff]), Buffer.from('"}')])
    assert.deepEqual(refusal('json', body, 'SIGNALBOX_FORMAT_INVALID').details, { line: 2, column: 8 })
    assert.deepEqual(parse('json', Buffer.from('\ufeff{"a":"ä"}')), { a: 'ä' })
  })

  test('what JSON cannot say', () => {
    assert.throws(() => buildBody('json', 1n), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
    assert.equal(buildBody('json', undefined), 'null')
  })
})

describe('form', () => {
  test('fields, repeated fields, empty ones, plus and percent', () => {
    assert.deepEqual(parse('form', 'a=1&b=x+y%20z&a=2&c&d=&=e&constructor=f&a=3'), {
      a: ['1', '2', '3'],
      b: 'x y z',
      c: '',
      d: '',
      '': 'e',
      constructor: 'f',
    })
    assert.deepEqual(parse('form', ''), {})
  })

  test('what is built is parsed back', () => {
    const field = fc.string({ unit: 'grapheme' })
    const value = fc.oneof(field, fc.array(field, { minLength: 2, maxLength: 4 }))
    fc.assert(
      fc.property(fc.dictionary(field, value, { noNullPrototype: true }), fields => {
        fc.pre(!Object.hasOwn(fields, '__proto__'))
        assert.deepEqual(parse('form', buildBody('form', fields) as string), fields)
      }),
    )
  })

  test('hostile forms', () => {
    refusal('form', '__proto__=1', 'SIGNALBOX_FORMAT_INVALID')
    refusal('form', '%5f_proto__=1', 'SIGNALBOX_FORMAT_INVALID')
    refusal('form', 'a=%ff', 'SIGNALBOX_FORMAT_INVALID')
    refusal('form', 'a=%', 'SIGNALBOX_FORMAT_INVALID')
    refusal('form', 'a&'.repeat(20_000), 'SIGNALBOX_FORMAT_LIMIT')
    assert.throws(() => buildBody('form', { a: { b: 1 } }), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
    assert.throws(() => buildBody('form', 'a'), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
  })
})

describe('text', () => {
  test('strict UTF-8 in, text out', () => {
    assert.equal(parse('text', 'grüße'), 'grüße')
    refusal('text', Buffer.from([0x61, 0xe4]), 'SIGNALBOX_FORMAT_INVALID')
    assert.equal(buildBody('text', 7), '7')
    assert.throws(() => buildBody('text', {}), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
  })
})

describe('msgpack', () => {
  test('what is built is parsed back', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        const plain = JSON.parse(JSON.stringify(value))
        fc.pre(!JSON.stringify(plain).includes('__proto_'))
        assert.deepEqual(parse('msgpack', buildBody('msgpack', plain) as Buffer), plain)
      }),
    )
  })

  test('64-bit numbers and times', () => {
    assert.equal(parse('msgpack', Buffer.from('cf0000000100000000', 'hex')), 2 ** 32)
    assert.equal(parse('msgpack', Buffer.from('cfffffffffffffffff', 'hex')), 2n ** 64n - 1n)
    const time = new Date('2026-11-25T10:00:00Z')
    assert.deepEqual(parse('msgpack', buildBody('msgpack', { time }) as Buffer), { time })
    const bytes = Buffer.from([1, 2, 255])
    assert.deepEqual(parse('msgpack', buildBody('msgpack', { bytes }) as Buffer), { bytes })
  })

  test('every byte as a first byte and every truncation end in a value or a typed error', () => {
    for (let type = 0; type < 256; type++) {
      for (const rest of ['', '00', '01a161', 'ffffffffffffffff', '00000000000000000000000000000000000000']) {
        const body = Buffer.concat([Buffer.from([type]), Buffer.from(rest, 'hex')])
        try {
          parse('msgpack', body)
        } catch (error) {
          assert.ok(error instanceof SignalboxError, `${body.toString('hex')}: ${error}`)
        }
      }
    }
    const whole = buildBody('msgpack', {
      a: [1, 'zwei', { b: new Uint8Array(300) }],
      c: 2 ** 40,
      d: 'x'.repeat(70_000),
    })
    for (let end = 0; end < 400; end++) {
      refusal('msgpack', (whole as Buffer).subarray(0, end), 'SIGNALBOX_FORMAT_INVALID')
    }
  })

  test('hostile bodies', () => {
    refusal('msgpack', Buffer.alloc(100_000, 0x91), 'SIGNALBOX_FORMAT_LIMIT')
    refusal('msgpack', Buffer.from('ddffffffff', 'hex'), 'SIGNALBOX_FORMAT_INVALID')
    refusal(
      'msgpack',
      Buffer.from('81a95f5f70726f746f5f5f81a8706f6c6c7574656401', 'hex'),
      'SIGNALBOX_FORMAT_INVALID',
    )
    const plain = new Packr({ useRecords: false })
    refusal(
      'msgpack',
      plain.pack({ constructor: { prototype: { polluted: 1 } } }),
      'SIGNALBOX_FORMAT_INVALID',
    )
    for (const value of [/a/, new Set([1]), new Error('no')]) {
      const packed = new Packr({ useRecords: false, moreTypes: true }).pack(value)
      refusal('msgpack', packed, 'SIGNALBOX_FORMAT_INVALID')
    }
    refusal('msgpack', Buffer.from('0101', 'hex'), 'SIGNALBOX_FORMAT_INVALID')
    // The name of an entry is a list, and a map.
    for (const body of ['819001', '818001'])
      refusal('msgpack', Buffer.from(body, 'hex'), 'SIGNALBOX_FORMAT_INVALID')
  })
})

describe('xml', () => {
  test('as plain data and back', () => {
    const body =
      '<?xml version="1.0" encoding="UTF-8"?>\n<o:a xmlns:o="urn:o" id="7"><b>1</b><c/><b x="y">2</b></o:a>'
    const data = { 'o:a': { '@xmlns:o': 'urn:o', '@id': '7', b: ['1', { '@x': 'y', '#text': '2' }], c: '' } }
    assert.deepEqual(parse('xml', body), data)
    assert.deepEqual(parse('xml', buildBody('xml', data) as string), data)
  })
})
