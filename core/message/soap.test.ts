import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../errors.ts'
import { buildBody, parseBody } from './formats.ts'
import { readSoapHeaders, soapHeaders } from './soap-media.ts'
import { SOAP_NAMESPACES, type SoapFault, type SoapMessage, type SoapVersion } from './soap-message.ts'
import { buildXml, element, parseXml, XmlElement } from './xml.ts'

const LIMITS = { maxDepth: 64 }

function parse(text: string, options?: object): SoapMessage {
  return parseBody('soap', Buffer.from(text), LIMITS, options) as SoapMessage
}

function build(message: object): string {
  return buildBody('soap', message) as string
}

function envelope(content: string, version: SoapVersion = '1.2'): string {
  return `<e:Envelope xmlns:e="${SOAP_NAMESPACES[version]}">${content}</e:Envelope>`
}

describe('SOAP envelopes', () => {
  test('1.1: headers with actor and mustUnderstand, several body elements', () => {
    const message = parse(
      envelope(
        `<e:Header><t:Tx xmlns:t="urn:t" e:mustUnderstand="1" e:actor=" urn:next " t:a="x">5</t:Tx><u xmlns="urn:u"/></e:Header>
         <e:Body xmlns:m="urn:m"><m:One><id>7</id></m:One><Two/></e:Body>`,
        '1.1',
      ),
    )
    const e = { '@xmlns:e': SOAP_NAMESPACES['1.1'] }
    const m = { '@xmlns:m': 'urn:m' }
    assert.deepEqual(message, {
      version: '1.1',
      headers: [
        {
          name: 'Tx',
          namespace: 'urn:t',
          mustUnderstand: true,
          role: 'urn:next',
          data: { 't:Tx': { ...e, '@xmlns:t': 'urn:t', '@t:a': 'x', '#text': '5' } },
        },
        { name: 'u', namespace: 'urn:u', mustUnderstand: false, data: { u: { ...e, '@xmlns': 'urn:u' } } },
      ],
      body: [
        { name: 'One', namespace: 'urn:m', data: { 'm:One': { ...e, ...m, id: '7' } } },
        { name: 'Two', namespace: '', data: { Two: { ...e, ...m } } },
      ],
    })
    assert.deepEqual(parse(build(message)), {
      ...message,
      headers: message.headers.map(header => ({ ...header, data: withScope(header.data) })),
      body: message.body.map(block => ({ ...block, data: withScope(block.data) })),
    })
  })

  test('1.2: role, relay, booleans, an empty body', () => {
    const { headers, body, fault } = parse(
      envelope(
        '<e:Header><a:b xmlns:a="urn:a" e:mustUnderstand="true" e:role="urn:r" e:relay="0"/></e:Header><e:Body> </e:Body>',
      ),
    )
    assert.deepEqual([body, fault], [[], undefined])
    const { mustUnderstand, role, relay } = headers[0]!
    assert.deepEqual([mustUnderstand, role, relay], [true, 'urn:r', false])
  })

  test('blocks as elements', () => {
    const text = envelope(
      '<e:Header><h xmlns="urn:h" e:mustUnderstand="true"/></e:Header><e:Body><p>one <b>two</b></p></e:Body>',
    )
    const message = parse(text, { as: 'element' })
    const data = message.body[0]!.data as XmlElement
    assert.ok(data instanceof XmlElement)
    assert.deepEqual([data.name, data.text()], ['p', 'one two'])
    const again = parse(build(message), { as: 'element' })
    assert.equal(again.headers[0]!.mustUnderstand, true)
    assert.equal(
      buildXml(again.body[0]!.data),
      buildXml(parse(build(again), { as: 'element' }).body[0]!.data),
    )
  })

  test('attributes of a header keep their meaning when the block uses the same prefix for something else', () => {
    const data = { 'soap:h': { '@xmlns:soap': 'urn:other', '#text': 'x' } }
    for (const block of [data, element('h', 'x', { prefix: 'soap', namespace: 'urn:other' })]) {
      const text = build({ version: '1.2', headers: [{ data: block, mustUnderstand: true }], body: [] })
      const [header] = parse(text).headers
      assert.deepEqual([header!.namespace, header!.mustUnderstand], ['urn:other', true])
    }
  })

  test('a message can be written in the other version', () => {
    const one = parse(
      envelope('<e:Header><a:b xmlns:a="u" e:mustUnderstand="1" e:actor="r"/></e:Header><e:Body/>', '1.1'),
    )
    const [header] = parse(build({ ...one, version: '1.2' })).headers
    assert.deepEqual([header!.mustUnderstand, header!.role], [true, 'r'])
  })

  test('what the specifications forbid is refused with its place', () => {
    const body = '<e:Body/>'
    const cases: [string, RegExp][] = [
      [`<!DOCTYPE e><a/>`, /document type declaration is not allowed/],
      [`<!DOCTYPE e SYSTEM "file:///etc/passwd"><a/>`, /document type declaration is not allowed/],
      [`<!DOCTYPE e [<!ENTITY a "b">]><a/>`, /document type declaration is not allowed/],
      [`<?pi x?>${envelope(body)}`, /processing instruction is not allowed/],
      [envelope(`${body}<?pi?>`), /processing instruction is not allowed/],
      ['<a/>', /the root is not an Envelope/],
      ['<Envelope/>', /no known version/],
      [envelope(''), /a Body is expected/],
      [envelope('<e:Header/><e:Header/><e:Body/>'), /a Body is expected/],
      [envelope(`${body}<x/>`), /nothing may follow/],
      [envelope(`${body}text`), /text in e:Envelope/],
      [envelope(`<e:Header>text</e:Header>${body}`), /text in e:Header/],
      [envelope(`<e:Header><a/></e:Header>${body}`), /no namespace/],
      [envelope(`<e:Header><a xmlns="u" e:mustUnderstand="yes"/></e:Header>${body}`), /must be a boolean/],
      [
        envelope(`<e:Header><a xmlns="u" e:mustUnderstand="true"/></e:Header>${body}`, '1.1'),
        /must be a boolean/,
      ],
      [envelope('<e:Body><e:Fault/><x/></e:Body>'), /alone in the Body/],
      [envelope('<e:Body><e:Fault/></e:Body>'), /needs Code and Reason/],
      [
        envelope('<e:Body><e:Fault><faultcode>e:Client</faultcode></e:Fault></e:Body>', '1.1'),
        /needs faultcode/,
      ],
      [
        envelope(
          '<e:Body><e:Fault><e:Code><e:Value>e:Oops</e:Value></e:Code><e:Reason><e:Text>x</e:Text></e:Reason></e:Fault></e:Body>',
        ),
        /no fault code of SOAP 1.2/,
      ],
      [
        envelope('<e:Body><e:Fault><faultcode>q:x</faultcode><faultstring/></e:Fault></e:Body>', '1.1'),
        /prefix q is not declared/,
      ],
    ]
    for (const [text, expected] of cases) {
      try {
        parse(text)
        assert.fail(`accepted: ${text}`)
      } catch (error) {
        assert.ok(error instanceof SignalboxError, String(error))
        assert.equal(error.code, 'SIGNALBOX_FORMAT_INVALID')
        assert.match(error.message, expected)
        assert.equal(typeof error.details!.line, 'number')
      }
    }
    assert.throws(() => parse('<Envelope xmlns="urn:soap"/>'), {
      details: { line: 1, column: 1, element: '/Envelope', fault: 'VersionMismatch' },
    })
  })

  test('what cannot be said is not written', () => {
    const bad: unknown[] = [
      undefined,
      {},
      { version: '1.3', headers: [], body: [] },
      { version: 'toString', headers: [], body: [] },
      { version: '1.2', headers: [{ data: { a: 'no namespace' } }], body: [] },
      { version: '1.1', headers: [{ data: { 'a:b': { '@xmlns:a': 'u' } }, relay: true }], body: [] },
      { version: '1.2', headers: [], body: [{ data: 'text' }] },
      { version: '1.2', headers: [], body: [{ data: { 'a b': '' } }] },
      {
        version: '1.2',
        headers: [],
        body: [],
        fault: { code: 'Custom', subcodes: [], reasons: [{ text: '', lang: '' }] },
      },
      {
        version: '1.1',
        headers: [],
        body: [],
        fault: { code: 'Custom', subcodes: [], reasons: [{ text: '', lang: '' }] },
      },
      {
        version: '1.1',
        headers: [],
        body: [],
        fault: { code: 'toString', subcodes: [], reasons: [{ text: '', lang: '' }] },
      },
      { version: '1.2', headers: [], body: [], fault: { code: 'Sender', subcodes: [], reasons: [] } },
    ]
    for (const value of bad) {
      assert.throws(
        () => build(value as object),
        { code: 'SIGNALBOX_CODEC_UNENCODABLE' },
        JSON.stringify(value),
      )
    }
  })
})

describe('SOAP faults', () => {
  test('1.1: codes with dots, codes without a prefix, codes of one’s own', () => {
    const fault = (code: string, rest = '') =>
      parse(
        envelope(
          `<e:Body><e:Fault><faultcode xmlns:q="urn:q">${code}</faultcode><faultstring xml:lang="en">Why</faultstring>${rest}</e:Fault></e:Body>`,
          '1.1',
        ),
      ).fault
    assert.deepEqual(
      fault('e:Client.Auth.Expired', '<faultactor>urn:a</faultactor><detail><x>1</x>text</detail>'),
      {
        code: 'Sender',
        subcodes: [
          { namespace: '', name: 'Auth' },
          { namespace: '', name: 'Expired' },
        ],
        reasons: [{ text: 'Why', lang: 'en' }],
        role: 'urn:a',
        detail: [{ x: { '@xmlns:e': SOAP_NAMESPACES['1.1'], '#text': '1' } }, 'text'],
      },
    )
    assert.equal(fault('Server')!.code, 'Receiver')
    assert.deepEqual(fault('q:Mine')!.subcodes, [{ namespace: 'urn:q', name: 'Mine' }])
    assert.equal(fault('q:Client')!.code, 'Custom')
  })

  const name = fc.constantFrom('Auth', 'a-b', 'Ünï')
  const text = fc.string({ unit: fc.constantFrom(...'ab<&>"é'), minLength: 1 })
  const data = fc
    .tuple(
      fc.constantFrom('x', 'p:y'),
      fc.oneof(text, fc.record({ '@z': text, w: fc.array(text, { minLength: 2 }) })),
    )
    .map(([key, value]) => ({
      [key]: { '@xmlns:p': 'urn:p', ...(typeof value === 'string' ? { '#text': value } : value) },
    }))
  const block = data.map(each => ({ data: each }))
  const header = fc.record(
    {
      data: data.map(each => ({ 'p:h': Object.values(each)[0] })),
      mustUnderstand: fc.boolean(),
      role: fc.constant('urn:r'),
    },
    { noNullPrototype: true, requiredKeys: ['data', 'mustUnderstand'] },
  )
  const reason = fc.record({
    text: fc.oneof(text, fc.constant('')),
    lang: fc.constantFrom('', 'en', 'de-AT'),
  })
  const fault12 = fc.record(
    {
      code: fc.constantFrom('Sender', 'Receiver', 'VersionMismatch', 'MustUnderstand', 'DataEncodingUnknown'),
      subcodes: fc.array(
        fc.record({ namespace: fc.constantFrom('', 'urn:s', SOAP_NAMESPACES['1.2']), name }),
        { maxLength: 3 },
      ),
      reasons: fc.array(reason, { minLength: 1, maxLength: 3 }),
      node: fc.constant('urn:node'),
      role: fc.constant('urn:role'),
      detail: fc.array(data, { maxLength: 2 }),
    },
    { noNullPrototype: true, requiredKeys: ['code', 'subcodes', 'reasons'] },
  )
  const fault11 = fc.oneof(
    fc.record(
      {
        code: fc.constantFrom('Sender', 'Receiver', 'VersionMismatch', 'MustUnderstand'),
        subcodes: fc.array(fc.record({ namespace: fc.constant(''), name }), { maxLength: 3 }),
        reasons: fc.array(reason, { minLength: 1, maxLength: 1 }),
        role: fc.constant('urn:role'),
        detail: fc.array(fc.oneof(data, text), { maxLength: 1 }),
      },
      { noNullPrototype: true, requiredKeys: ['code', 'subcodes', 'reasons'] },
    ),
    fc.record({
      code: fc.constant('Custom'),
      subcodes: fc.record({ namespace: fc.constant('urn:own'), name }).map(each => [each]),
      reasons: fc.array(reason, { minLength: 1, maxLength: 1 }),
    }),
  )

  for (const version of ['1.1', '1.2'] as const) {
    test(`${version}: what is built is parsed back`, () => {
      const fault = (version === '1.1' ? fault11 : fault12) as fc.Arbitrary<SoapFault>
      const content = fc.oneof(
        fc.record({ headers: fc.array(header, { maxLength: 3 }), body: fc.array(block, { maxLength: 3 }) }),
        fc.record({ headers: fc.array(header, { maxLength: 1 }), body: fc.constant([]), fault }),
      )
      fc.assert(
        fc.property(content, made => {
          const message = structuredClone(made)
          const back = parse(build({ version, ...message }))
          assert.equal(back.version, version)
          assert.deepEqual(
            back.headers.map(({ name: _, namespace, ...rest }) => ({ ...rest, data: bare(rest.data) })),
            message.headers,
          )
          assert.deepEqual(
            back.body.map(each => ({ data: bare(each.data) })),
            message.body,
          )
          const read = back.fault && { ...back.fault }
          if (read?.detail)
            read.detail = read.detail.map(each => (typeof each === 'string' ? each : bare(each)))
          assert.deepEqual(read, 'fault' in message ? message.fault : undefined)
        }),
        { numRuns: 300 },
      )
    })
  }
})

describe('SOAP over HTTP', () => {
  test('media types and actions of both versions', () => {
    assert.deepEqual(soapHeaders('1.1'), { 'content-type': 'text/xml; charset=utf-8', soapaction: '""' })
    for (const version of ['1.1', '1.2'] as const) {
      for (const action of ['urn:do', 'http://x/y?z=1;2', undefined]) {
        const expected = version === '1.1' ? (action ?? '') : action
        assert.deepEqual(readSoapHeaders(soapHeaders(version, action)), { version, action: expected })
      }
    }
    assert.equal(soapHeaders('1.1', 'a"\r\nx: y').soapaction, '"a%22%0D%0Ax:%20y"')
    assert.deepEqual(readSoapHeaders({ 'content-type': 'Text/XML', soapaction: 'bare' }), {
      version: '1.1',
      action: 'bare',
    })
    assert.equal(readSoapHeaders({ 'content-type': 'application/json' }), undefined)
    assert.equal(readSoapHeaders({}), undefined)
  })
})

/** The data of a block as it is read from what `build` writes: there the envelope has another prefix. */
function withScope(data: object): object {
  const [name, content] = Object.entries(data)[0]!
  return { [name]: { '@xmlns:soap': SOAP_NAMESPACES['1.1'], ...content } }
}

function bare(data: object): { [name: string]: unknown } {
  const [name, content] = Object.entries(data)[0]!
  const { '@xmlns:soap': _, ...rest } = content
  return { [name]: rest }
}

test('the envelope namespace is what parsing a real message gives', () => {
  assert.equal(parseXml(build({ version: '1.2', headers: [], body: [] })).namespace, SOAP_NAMESPACES['1.2'])
})
