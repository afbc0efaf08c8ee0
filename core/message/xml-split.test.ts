import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../errors.ts'
import { codecOf } from './formats.ts'
import { buildXml, element, parseXml, XmlElement, xmlToObject } from './xml.ts'
import { joinXml, splitXml, type XmlOptions } from './xml-split.ts'

const DOCUMENTS = new URL('../../examples/invoice-hub/data/', import.meta.url)
const LIMITS = { maxDepth: 64 }

interface Outcome {
  records: unknown[]
  error?: SignalboxError
}

async function split(
  chunks: Iterable<Uint8Array>,
  options: Partial<XmlOptions> = {},
  limits = LIMITS,
): Promise<Outcome> {
  const records: unknown[] = []
  try {
    for await (const record of splitXml(chunks, limits, options)) records.push(record)
    return { records }
  } catch (error) {
    assert.ok(error instanceof SignalboxError, `a typed error, not ${(error as Error).stack}`)
    return { records, error }
  }
}

async function collect(written: AsyncIterable<string>): Promise<string[]> {
  const parts: string[] = []
  for await (const part of written) parts.push(part)
  return parts
}

function pieces(bytes: Buffer, cuts: number[]): Buffer[] {
  const places = [0, ...cuts.map(cut => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end))
}

function bytewise(text: string | Buffer): Buffer[] {
  return Array.from(Buffer.from(text as string), byte => Buffer.of(byte))
}

async function values(text: string | Buffer, options: Partial<XmlOptions> = {}): Promise<unknown[]> {
  const { records, error } = await split(bytewise(text), options)
  if (error) throw error
  return records
}

/** What the parser of whole documents says. */
function whole(bytes: Buffer): { records: unknown[] } | { code: string; message: string } {
  try {
    const root = parseXml(bytes, LIMITS)
    return { records: root.children().map(child => xmlToObject(child)) }
  } catch (error) {
    assert.ok(error instanceof SignalboxError)
    return { code: error.code, message: error.message }
  }
}

const TRICKY = `\ufeff<?xml version="1.0" encoding="UTF-8"?>\r
<!-- <r> > - is not here --><?go <r>?>
<!DOCTYPE all SYSTEM "all.dtd">
<all xmlns="urn:a" xmlns:p='urn:"p>"' note="a > b">
  <p:r id='">' p:x="1"><![CDATA[<r>]]]]><![CDATA[>]]>&#233;\u{1f600}&amp;</p:r>
  text outside &lt; <!-- </all> -->
  <r><r>nested <b>mixed</b>
  text</r><!-- a -->  <?pi ?> </r><r/>
  <empty></empty><blank>  </blank><s xml:space="preserve">  <x/> </s>
</all>
<!-- end -->
`

describe('splitting XML', () => {
  test('records are the children of the root, whatever the chunks', async () => {
    const expected = whole(Buffer.from(TRICKY))
    assert.ok('records' in expected && expected.records.length === 6)
    assert.deepEqual(await values(TRICKY, { namespaces: 'written' }), expected.records)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 12 }), async cuts => {
        const { records, error } = await split(pieces(Buffer.from(TRICKY), cuts), { namespaces: 'written' })
        assert.equal(error, undefined)
        assert.deepEqual(records, expected.records)
      }),
      { numRuns: 200 },
    )
  })

  test('UTF-16 of both orders and ISO-8859-1, cut anywhere', async () => {
    const body = '<a>\r\n<b>é\u{1f600}</b><b>ÿ\r</b></a>'
    const little = Buffer.from(`\ufeff${body}`, 'utf16le')
    const big = Buffer.from(little).swap16()
    const latin = Buffer.from(
      `<?xml version="1.0" encoding='ISO-8859-1'?><a><b>\xe9</b><b>\xff</b></a>`,
      'latin1',
    )
    assert.deepEqual(await values(little), [{ b: 'é\u{1f600}' }, { b: 'ÿ\n' }])
    assert.deepEqual(await values(big), [{ b: 'é\u{1f600}' }, { b: 'ÿ\n' }])
    assert.deepEqual(await values(latin), [{ b: 'é' }, { b: 'ÿ' }])
    await assert.rejects(values(`<?xml version="1.0" encoding="EBCDIC"?><a/>`), {
      code: 'SIGNALBOX_FORMAT_UNSUPPORTED',
    })
    await assert.rejects(values(little.subarray(0, -1)), /odd number/)
  })

  test('paths: from the root, a name at any depth, the root, any name, a namespace', async () => {
    const text = '<d xmlns:n="urn:n"><h><i>0</i></h><l><i>1</i><n:i>2</n:i></l><l><i>3<i>4</i></i></l></d>'
    const written = { namespaces: 'written' } as const
    assert.deepEqual(await values(text, { record: 'd/l/i', ...written }), [
      { i: '1' },
      { 'n:i': '2' },
      { i: { '#text': '3', i: '4' } },
    ])
    assert.equal((await values(text, { record: 'i' })).length, 4)
    assert.deepEqual(await values(text, { record: '/d/*/i', namespace: 'urn:n', ...written }), [
      { 'n:i': '2' },
    ])
    assert.deepEqual(await values(text, { record: '/d' }), [xmlToObject(parseXml(text))])
    assert.deepEqual(await values('<d/>', { record: '/d' }), [{ d: '' }])
    assert.deepEqual(await values(text, { record: 'none' }), [])
    await assert.rejects(values(text, { record: 'n:i' }), { code: 'SIGNALBOX_OPTIONS_INVALID' })
  })

  test('a record inherits the namespaces that hold for it, and can stand alone', async () => {
    const text = '<a xmlns="u" xmlns:p="1"><b xmlns:p="2" xmlns=""><p:r xmlns:q="3"/></b><b><p:r/></b></a>'
    assert.deepEqual(await values(text, { record: 'a/b/r' }), [
      { 'p:r': { '@xmlns:p': '2', '@xmlns:q': '3' } },
      { 'p:r': { '@xmlns': 'u', '@xmlns:p': '1' } },
    ])
    const [first] = (await values(text, { record: 'r', as: 'element' })) as XmlElement[]
    assert.ok(first instanceof XmlElement)
    assert.deepEqual([first.namespace, first.path, first.position?.column], ['2', '/a/b/p:r', 50])
    assert.equal(parseXml(buildXml(first)).namespace, '2')
  })

  test('the tree keeps mixed content', async () => {
    const [record] = (await values('<a><p>one <b>two</b> <i>three</i></p></a>', {
      as: 'element',
    })) as XmlElement[]
    assert.deepEqual(
      record!.nodes.map(node => (typeof node === 'string' ? node : node.name)),
      ['one ', 'b', ' ', 'i'],
    )
    const [tree] = [codecOf('xml').parse(Buffer.from('<a/>'), LIMITS, { as: 'element' })]
    assert.ok(tree instanceof XmlElement)
  })

  test('errors have the place in the whole document; the records before have been given', async () => {
    const text = `<a>\n<b>1</b>\n<b>2</b>\n  <b>3</c>\n</a>`
    for (const chunks of [[Buffer.from(text)], bytewise(text)]) {
      const { records, error } = await split(chunks)
      assert.deepEqual(records, [{ b: '1' }, { b: '2' }])
      assert.deepEqual(error?.details, { line: 4, column: 7, element: '/a/b' })
    }
    const bad = await split(
      bytewise(Buffer.concat([Buffer.from('<a>\n<b/>é'), Buffer.of(0xff), Buffer.from('</a>')])),
    )
    assert.deepEqual([bad.records, bad.error?.details], [[{ b: '' }], { line: 2, column: 6 }])
    const half = await split([Buffer.from('\ufeff<a>\n<b/>\ud83d</a>', 'utf16le')])
    assert.deepEqual([half.records, half.error?.details], [[{ b: '' }], { line: 2, column: 5 }])
    const cut = await split([Buffer.from('\ufeff<a><b/>\ud83d', 'utf16le')])
    assert.match(cut.error!.message, /half of a surrogate pair, at line 1, column 8/)
    assert.match((await split([])).error!.message, /no root element/)
    assert.match((await split(bytewise('<a/><b/>'))).error!.message, /after the root/)
    assert.match((await split(bytewise('<a><b>'))).error!.message, /<b> of line 1 is not closed/)
  })

  test('a damaged document is refused as the parser of whole documents refuses it, at the same place', async () => {
    const bytes = Buffer.from(TRICKY.slice(1))
    const damage = fc.tuple(
      fc.nat({ max: bytes.length }),
      fc.constantFrom(...'<>/&"\'!-[]?=;# \n', 'xx', '\0'),
      fc.nat(3),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(damage, { minLength: 1, maxLength: 3 }),
        fc.array(fc.nat()),
        async (places, cuts) => {
          let text = bytes.toString()
          for (const [at, junk, gone] of places) text = text.slice(0, at) + junk + text.slice(at + gone)
          const broken = Buffer.from(text.toWellFormed())
          const expected = whole(broken)
          const { records, error } = await split(pieces(broken, cuts), { namespaces: 'written' })
          if ('records' in expected) {
            assert.equal(error, undefined)
            assert.deepEqual(records, expected.records)
          } else {
            assert.ok(error, `accepted what is refused: ${expected.message}`)
            assert.deepEqual({ code: error.code, message: error.message }, expected)
          }
        },
      ),
      { numRuns: 3000 },
    )
  })

  test('any bytes give records or a typed error', async () => {
    const bytes = readFileSync(new URL('peppol/vat-category-O.xml', DOCUMENTS))
    const damage = fc.tuple(
      fc.nat({ max: bytes.length }),
      fc.uint8Array({ maxLength: 4 }),
      fc.nat({ max: 8 }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(damage, { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat()),
        async (places, cuts) => {
          let broken: Buffer = bytes
          for (const [at, junk, gone] of places) {
            broken = Buffer.concat([broken.subarray(0, at), junk, broken.subarray(at + gone)])
          }
          await split(pieces(broken, cuts))
        },
      ),
      { numRuns: 300 },
    )
  })

  test('ending early ends the source', async () => {
    let ended = false
    async function* source() {
      try {
        yield Buffer.from('<a>')
        for (;;) yield Buffer.from('<b/>')
      } finally {
        ended = true
      }
    }
    for await (const record of splitXml(source(), LIMITS)) {
      assert.deepEqual(record, { b: '' })
      break
    }
    assert.ok(ended)
  })

  test('other documents parsed in between change nothing', async () => {
    const text = '<a xmlns:p="1"><p:b>x</p:b><p:b>y</p:b></a>'
    const records: unknown[] = []
    for await (const record of splitXml(bytewise(text), LIMITS, { as: 'element' })) {
      parseXml('<p:b xmlns:p="2"><p:c/></p:b>')
      records.push((record as XmlElement).namespace)
    }
    assert.deepEqual(records, ['1', '1'])
  })
})

describe('joining XML', () => {
  const leaf = fc.string({ unit: fc.constantFrom(...'ab<&> \'"é\n') })
  const name = fc.constantFrom('a', 'b', 'p:c', 'd-1')
  const record = fc
    .tuple(name, fc.oneof(leaf, fc.dictionary(fc.constantFrom('x', 'y', '@z', 'p:w'), leaf, { minKeys: 1 })))
    .map(([key, value]) => ({ [key]: value }))

  test('what is joined is split again', async () => {
    const options = {
      root: 'p:all',
      rootAttributes: { 'xmlns:p': 'urn:p', note: '"<&' },
      namespaces: 'written',
    } as const
    await fc.assert(
      fc.asyncProperty(fc.array(record, { maxLength: 5 }), fc.array(fc.nat()), async (records, cuts) => {
        const text = (await collect(joinXml(records, options))).join('')
        const { records: back, error } = await split(pieces(Buffer.from(text), cuts), options)
        assert.equal(error, undefined)
        assert.deepEqual(
          back,
          records.map(each => xmlToObject(parseXml(buildXml(withPrefix(each))))).map(withoutPrefix),
        )
      }),
      { numRuns: 200 },
    )
  })

  test('elements are written in the scope of the root', async () => {
    const parts = { prefix: 'p', namespace: 'urn:p' }
    const written = await collect(
      joinXml([element('a', 'x', parts)], { root: 'r', rootAttributes: { 'xmlns:p': 'urn:p' } }),
    )
    assert.equal(
      written.join(''),
      '<?xml version="1.0" encoding="UTF-8"?>\n<r xmlns:p="urn:p"><p:a>x</p:a></r>\n',
    )
    const alone = await collect(joinXml([element('a', 'x', parts)]))
    assert.match(alone.join(''), /<p:a xmlns:p="urn:p">/)
  })

  test('what is no record is refused', async () => {
    for (const bad of ['x', null, 7, {}, { a: 1, b: 2 }, { '@a': 1 }, [1]]) {
      await assert.rejects(collect(joinXml([bad])), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
    }
    await assert.rejects(collect(joinXml([], { root: 'a b' })), {
      code: 'SIGNALBOX_CODEC_UNENCODABLE',
    })
  })
})

/** Declares the prefix on a record that was written without its root. */
function withPrefix(record: Record<string, unknown>): Record<string, unknown> {
  const [name, value] = Object.entries(record)[0]!
  const inner = typeof value === 'object' ? value : { '#text': value }
  return { [name]: { ...inner, '@xmlns:p': 'urn:p' } }
}

function withoutPrefix(record: Record<string, unknown>): Record<string, unknown> {
  const [name, value] = Object.entries(record)[0]!
  const { '@xmlns:p': _, ...inner } = value as Record<string, unknown>
  const keys = Object.keys(inner)
  if (keys.length === 0) return { [name]: '' }
  return { [name]: keys.length === 1 && keys[0] === '#text' ? inner['#text'] : inner }
}
