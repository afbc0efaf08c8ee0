import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../errors.ts'
import { parseXml, type XmlLimits, xmlToObject } from './xml.ts'
import { splitXml, type XmlOptions } from './xml-split.ts'

const DOCUMENTS = new URL('../../examples/invoice-hub/data/', import.meta.url)

function refusal(
  input: Buffer | string,
  code = 'SIGNALBOX_FORMAT_INVALID',
  limits?: XmlLimits,
): SignalboxError {
  try {
    parseXml(input, limits)
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${error}`)
    assert.equal(error.code, code, error.message)
    return error
  }
  return assert.fail(`accepted: ${String(input).slice(0, 80)}`)
}

describe('hostile documents', () => {
  const { maxDepth, maxAttributes, maxReferences } = {
    maxDepth: 256,
    maxAttributes: 256,
    maxReferences: 100_000,
  }

  test('billion laughs, quadratic blow-up, external entities', () => {
    const laughs = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join(
      '',
    )
    refusal(`<!DOCTYPE a [<!ENTITY l0 "lol">${laughs}]><a>&l9;</a>`)
    refusal(`<!DOCTYPE a [<!ENTITY b "${'b'.repeat(100_000)}">]><a>${'&b;'.repeat(100_000)}</a>`)
    refusal('<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><a>&f;</a>')
    refusal('<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/x"> %p;]><a/>')
    refusal('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&f;</a>')
  })

  test('limits stop the document at the limit, not at its end', () => {
    const deep = refusal('<a>'.repeat(20_000), 'SIGNALBOX_FORMAT_LIMIT')
    assert.deepEqual([deep.details?.limit, deep.details?.column], ['maxDepth', maxDepth * 3 + 1])
    const attributes = Array.from({ length: 1_000_000 }, (_, i) => ` a${i}=""`).join('')
    const wide = refusal(`<a${attributes}/>`, 'SIGNALBOX_FORMAT_LIMIT')
    assert.equal(wide.details?.limit, 'maxAttributes')
    assert.ok((wide.details?.column as number) < maxAttributes * 10)
    const flood = refusal(`<a>${'&#65;'.repeat(2_000_000)}</a>`, 'SIGNALBOX_FORMAT_LIMIT')
    assert.deepEqual([flood.details?.limit, flood.details?.column], ['maxReferences', maxReferences * 5 + 4])
    const many = refusal(`<a>${'<b/>'.repeat(100)}</a>`, 'SIGNALBOX_FORMAT_LIMIT', { maxElements: 50 })
    assert.equal(many.details?.limit, 'maxElements')
    const named = Array.from({ length: 30_000 }, (_, i) => `<n${i}/>`).join('')
    assert.equal(refusal(`<a>${named}</a>`, 'SIGNALBOX_FORMAT_LIMIT').details?.limit, 'maxNames')
    refusal(Buffer.alloc(101, 0x20), 'SIGNALBOX_FORMAT_LIMIT', { maxBytes: 100 })
  })

  test('a limit reached exactly is not exceeded', () => {
    assert.ok(parseXml(`${'<a>'.repeat(4)}${'</a>'.repeat(4)}`, { maxDepth: 4, maxElements: 4 }))
    assert.ok(parseXml('<a b="" c="">&lt;&gt;</a>', { maxAttributes: 2, maxReferences: 2 }))
  })

  test('names that all fall into one slot of the name table are told apart', () => {
    // 'Aa' and 'BB' have the same hash by 31, and so have all words made of them.
    const words = Array.from({ length: 4096 }, (_, i) =>
      Array.from({ length: 12 }, (_, bit) => ((i >> bit) & 1 ? 'Aa' : 'BB')).join(''),
    )
    const root = parseXml(`<r>${words.map(word => `<${word}/>`).join('')}</r>`)
    assert.deepEqual(
      root.children().map(child => child.name),
      words,
    )
    assert.equal(parseXml('<AaBB><BBAa/></AaBB>').children()[0]!.name, 'BBAa')
  })

  test('names cannot reach a prototype', () => {
    for (const source of [
      '<__proto__><polluted>1</polluted></__proto__>',
      '<a><__proto__ polluted="1"/></a>',
      '<a><constructor><prototype><polluted/></prototype></constructor></a>',
    ]) {
      assert.throws(() => xmlToObject(parseXml(source)), { code: 'SIGNALBOX_FORMAT_INVALID' })
    }
    assert.deepEqual(xmlToObject(parseXml('<a><constructor>Bob</constructor><toString/></a>')), {
      a: { constructor: 'Bob', toString: '' },
    })
    assert.equal(({} as Record<string, unknown>).polluted, undefined)
  })

  test('a real document cut off anywhere is refused with a typed error', () => {
    const bytes = readFileSync(new URL('peppol/vat-category-O.xml', DOCUMENTS))
    const end = bytes.lastIndexOf('>')
    for (let cut = 0; cut <= end; cut++) refusal(bytes.subarray(0, cut))
    assert.ok(parseXml(bytes.subarray(0, end + 1)))
  })

  test('a real document with any damage gives a tree or a typed error', () => {
    const bytes = readFileSync(new URL('en16931/CII_example3.xml', DOCUMENTS))
    const damage = fc.tuple(
      fc.nat({ max: bytes.length - 1 }),
      fc.uint8Array({ maxLength: 4 }),
      fc.nat({ max: 8 }),
    )
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), places => {
        let broken: Buffer = bytes
        for (const [at, junk, gone] of places) {
          broken = Buffer.concat([broken.subarray(0, at), junk, broken.subarray(at + gone)])
        }
        try {
          parseXml(broken)
        } catch (error) {
          assert.ok(error instanceof SignalboxError, String(error))
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('hostile streams', () => {
  const MIB = 1_048_576

  interface Refusal {
    error: SignalboxError
    ms: number
    /** How much of the source was read. */
    bytes: number
  }

  /** Repeats a piece for ever, or so many times, after a start. */
  function* stream(start: string, piece = '', times = Number.POSITIVE_INFINITY): Generator<Buffer> {
    yield Buffer.from(start)
    if (piece === '') return
    const each = Math.max(1, Math.floor(65_536 / (piece.length || 1)))
    const chunk = Buffer.from(piece.repeat(each))
    for (let i = 0; i < times / each; i++) yield chunk
  }

  async function refusalOf(
    source: Iterable<Buffer>,
    options: Partial<XmlOptions> = {},
    limits = { maxDepth: 256 },
  ): Promise<Refusal> {
    let bytes = 0
    function* counted() {
      for (const chunk of source) {
        bytes += chunk.length
        yield chunk
      }
    }
    const start = performance.now()
    try {
      for await (const _ of splitXml(counted(), limits, options));
    } catch (error) {
      assert.ok(error instanceof SignalboxError, `a typed error, not ${error}`)
      return { error, ms: performance.now() - start, bytes }
    }
    return assert.fail('accepted')
  }

  test('definitions are refused when they begin, at any place and in any chunks', async () => {
    for (const start of [
      '<!DOCTYPE a [',
      '<?xml version="1.0"?><!DOCTYPE a SYSTEM "x" [',
      '<a><!DOCTYPE b>',
    ]) {
      for (const source of [
        stream(start, '<!ENTITY x "y">'),
        Array.from(Buffer.from(start), byte => Buffer.of(byte)),
      ]) {
        const { error, bytes } = await refusalOf(source)
        assert.equal(error.code, 'SIGNALBOX_FORMAT_INVALID')
        assert.ok(bytes < 200_000, `${bytes} bytes were read`)
      }
    }
    assert.match(
      (await refusalOf([Buffer.from('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a>&f;</a>')])).error.message,
      /does not exist/,
    )
  })

  test('endless streams end at a limit, soon', async () => {
    const cases: [string, Iterable<Buffer>, string, Partial<XmlOptions>?][] = [
      ['depth outside of records', stream('', '<a>'), 'maxDepth', { record: 'none' }],
      ['depth inside', stream('<r>', '<a>'), 'maxDepth'],
      ['elements of a record', stream('<r><a>', '<b/>'), 'maxElements'],
      [
        'different names',
        stream(`<r>${Array.from({ length: 30_000 }, (_, i) => `<n${i}/>`).join('')}`),
        'maxNames',
      ],
      ['attributes', stream('<r><a', ' b=""'), 'maxAttributes'],
      ['attributes of the root', stream('<r', ' b=""'), 'maxAttributes'],
      ['references', stream(`<r><a>${'&#65;'.repeat(200_000)}<`), 'maxReferences'],
    ]
    for (const [what, source, limit, options] of cases) {
      const { error, ms, bytes } = await refusalOf(source, options)
      assert.deepEqual([error.code, error.details?.limit], ['SIGNALBOX_FORMAT_LIMIT', limit], what)
      assert.equal(typeof error.details?.line, 'number')
      assert.ok(ms < 1_000 && bytes < 8 * MIB, `${what}: ${ms} ms, ${bytes} bytes`)
    }
  })

  test('what never ends is given up at the length of a record', async () => {
    const options = { maxRecordLength: MIB }
    const starts = [
      '<r><a>',
      '<r>',
      '<r><!--',
      '<r><![CDATA[',
      '<r><?pi ',
      '<r><a b="',
      '<r></r',
      '<',
      '<r><a>&',
      '<r><a><b>',
    ]
    for (const start of starts) {
      const { error, bytes } = await refusalOf(stream(start, 'x'), options)
      assert.deepEqual(
        [error.code, error.details?.limit],
        ['SIGNALBOX_FORMAT_LIMIT', 'maxRecordLength'],
        start,
      )
      assert.ok(bytes < MIB + 200_000, `${start}: ${bytes} bytes were read`)
    }
    const { error } = await refusalOf(stream('<r>\n <a>', '<b>x</b>'), options)
    assert.deepEqual(
      [error.details?.limit, error.details?.line, error.details?.column],
      ['maxRecordLength', 2, 2],
    )
  })

  test('a record as long as the limit is not too long', async () => {
    const record = `<a>${'x'.repeat(93)}</a>`
    const run = async (maxRecordLength: number) => {
      const found: unknown[] = []
      for await (const each of splitXml(
        [Buffer.from(`<r>${record}${record}</r>`)],
        { maxDepth: 9 },
        { maxRecordLength },
      )) {
        found.push(each)
      }
      return found.length
    }
    assert.equal(await run(100), 2)
    await assert.rejects(run(99), { code: 'SIGNALBOX_FORMAT_LIMIT' })
  })

  test('limits hold for each record, not for the document', async () => {
    const records = 2_000
    let count = 0
    const source = [Buffer.from(`<r>${'<a>&lt;<b/><b/></a>'.repeat(records)}</r>`)]
    for await (const _ of splitXml(source, { maxDepth: 2, maxElements: 3 })) count++
    assert.equal(count, records)
  })

  test('the smallest chunks cost time in proportion to the document', async () => {
    const text = `<r>${`<a b="${'v'.repeat(100_000)}">${'t'.repeat(100_000)}<!--${'c'.repeat(100_000)}--><b/></a>`.repeat(2)}</r>`
    const start = process.cpuUsage()
    let count = 0
    for await (const _ of splitXml(
      Array.from(Buffer.from(text), byte => Buffer.of(byte)),
      { maxDepth: 9 },
    ))
      count++
    assert.equal(count, 2)
    // Time of this process alone: if each chunk cost what came before it, this would be ten times as much.
    const { user } = process.cpuUsage(start)
    assert.ok(user < 6_000_000, `${user / 1_000} ms`)
  })
})
