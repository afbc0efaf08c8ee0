import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../errors.ts'
import {
  buildXml,
  element,
  parseXml,
  type XmlAttribute,
  type XmlElement,
  type XmlLimits,
  type XmlNode,
  xmlToObject,
} from './xml.ts'

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

/** Elements, attributes and texts, without places and parents. */
function shape(node: XmlNode): unknown {
  if (typeof node === 'string') return node
  const { name, prefix, namespace, attributes } = node
  return {
    name,
    prefix,
    namespace,
    attributes: attributes.map(a => ({ ...a })),
    nodes: node.nodes.map(shape),
  }
}

describe('the tree', () => {
  const source = `<?xml version='1.0' encoding="utf-8" standalone='yes' ?>
<!-- before --><?app do?>
<o:order xmlns:o="urn:o" xmlns="urn:d" id = 'a &lt; b' o:id='2'>
  <line>1</line>
  <line xmlns="">two <b>bold</b> <i/> end<!-- c --> of<![CDATA[ <text> ]]></line >
  <o:empty a="x
y&#10;z"/>
</o:order>
<!-- after -->`
  const root = parseXml(source)

  test('names, namespaces, attributes', () => {
    assert.deepEqual(
      [root.name, root.prefix, root.namespace, root.qualifiedName],
      ['order', 'o', 'urn:o', 'o:order'],
    )
    assert.equal(root.attribute('id'), 'a < b')
    assert.equal(root.attribute('id', 'urn:o'), '2')
    assert.equal(root.attribute('missing'), undefined)
    assert.deepEqual(
      root.children().map(child => child.namespace),
      ['urn:d', '', 'urn:o'],
    )
    assert.equal(root.child('empty')?.attribute('a'), 'x y\nz')
  })

  test('mixed content keeps its order and white space, layout is left out', () => {
    const mixed = root.children('line')[1]!
    assert.deepEqual(mixed.nodes.map(shape), [
      'two ',
      { name: 'b', prefix: '', namespace: '', attributes: [], nodes: ['bold'] },
      ' ',
      { name: 'i', prefix: '', namespace: '', attributes: [], nodes: [] },
      ' end of <text> ',
    ])
    assert.equal(mixed.text(), 'two bold  end of <text> ')
    assert.equal(root.nodes.length, 3)
  })

  test('accessors', () => {
    assert.equal(root.text('line'), '1')
    assert.equal(root.text('line', 'none'), undefined)
    assert.equal(root.at('line')?.parent, root)
    assert.equal(root.child('line', ''), root.children('line')[1])
    assert.equal(root.children('line', 'urn:d').length, 1)
    assert.equal(root.text('empty'), '')
  })

  test('places and paths', () => {
    const bold = root.children('line')[1]!.child('b')!
    assert.deepEqual(bold.position, { line: 5, column: 22 })
    assert.equal(root.child('empty')!.path, '/o:order/o:empty')
    assert.equal(parseXml('<a><b/><c/><b><d/></b></a>').children('b')[1]!.child('d')!.path, '/a/b[2]/d')
    assert.equal(element('a').position, undefined)
  })

  test('white space: in leaves, with comments, preserved, by reference', () => {
    const cases: [string, unknown[]][] = [
      ['<a>  </a>', ['  ']],
      ['<a> <!-- --> </a>', ['  ']],
      ['<a> <!-- -->b</a>', [' b']],
      ['<a>b<!-- --> <!-- -->c</a>', ['b c']],
      ['<a> <b/> </a>', ['b']],
      ['<a> <b/>&#32;</a>', [' ', 'b', ' ']],
      ['<a xml:space="preserve"> <b/> </a>', [' ', 'b', ' ']],
      ['<a><b/> <!-- --> c</a>', ['b', '  c']],
      ['<a><![CDATA[ ]]><b/></a>', [' ', 'b']],
      ['<a>\r\n<b/>x\ry\r\n</a>', ['\n', 'b', 'x\ny\n']],
      ['<a>1<!-- --> <!-- --> <b/> </a>', ['1  ', 'b', ' ']],
    ]
    for (const [source, expected] of cases) {
      const nodes = parseXml(source).nodes.map(node => (typeof node === 'string' ? node : node.name))
      assert.deepEqual(nodes, expected, source)
    }
    const after = parseXml('<r><a xml:space="preserve"/><b xml:space="preserve"> <c/></b> <d> <e/></d></r>')
    assert.deepEqual(after.nodes.length, 3)
    assert.equal(after.child('d')!.nodes.length, 1)
  })

  test('a binding ends with its element and never reaches the next document', () => {
    parseXml('<p:a xmlns:p="urn:1"><p:b xmlns:p="urn:2"/><p:c/></p:a>')
    refusal('<a><b xmlns:p="urn:1"/><p:c/></a>')
    refusal('<p:a/>')
    refusal('<a xmlns:p="urn:1"')
    refusal('<p:a/>')
    const root = parseXml('<a xmlns="urn:1"><b xmlns="urn:2"><c xmlns=""/></b><d/></a>')
    assert.deepEqual(
      [root.at('b')!.namespace, root.at('b', 'c')!.namespace, root.at('d')!.namespace],
      ['urn:2', '', 'urn:1'],
    )
  })
})

describe('encodings', () => {
  const text = 'grüße € 𝄞'
  const document = `<?xml version="1.0" encoding="UTF-16"?><a>${text}</a>`

  test('UTF-8, UTF-16 by byte order mark, ISO-8859-1 by declaration', () => {
    const le = Buffer.from(`\ufeff${document}`, 'utf16le')
    const cases = [
      Buffer.from(`<a>${text}</a>`),
      Buffer.from(`\ufeff<a>${text}</a>`),
      le,
      Buffer.from(le).swap16(),
      document,
    ]
    for (const input of cases) assert.equal(parseXml(input).text(), text)
    const latin1 = Buffer.from(`<?xml version="1.0" encoding="ISO-8859-1"?><a>grüße</a>`, 'latin1')
    assert.equal(parseXml(latin1).text(), 'grüße')
  })

  test('what is not what it claims to be', () => {
    refusal(Buffer.from(document))
    refusal(Buffer.from('<a>grüße</a>', 'latin1'))
    refusal(Buffer.from([0xff, 0xfe, 0x3c]))
    refusal(Buffer.from([0xfe, 0xff, 0x3c]))
    refusal('<a>\ud800</a>')
    refusal(Buffer.from('<?xml version="1.0" encoding="EBCDIC-CP-US"?><a/>'), 'SIGNALBOX_FORMAT_UNSUPPORTED')
  })
})

describe('well-formedness', () => {
  const broken = [
    '',
    ' ',
    'a',
    '<',
    '<a',
    '<a>',
    '<a ',
    '<a/',
    '<a></b>',
    '<a></a',
    '<a></aa>',
    '<a><b></a></b>',
    '<a/><b/>',
    '<a/>x',
    'x<a/>',
    '<1/>',
    '<a:/>',
    '<:a/>',
    '<a:b:c xmlns:a="u"/>',
    '< a/>',
    '<a b/>',
    '<a b=c/>',
    '<a b="c/>',
    '<a b="1"c="2"/>',
    '<a b="<"/>',
    '<a b="1" b="2"/>',
    '<a xmlns:p="u" xmlns:q="u" p:x="1" q:x="2"/>',
    '<a xmlns="u" xmlns="u"/>',
    '<a p:x="1"/>',
    '<a xmlns:p=""/>',
    '<a xmlns:xmlns="u"/>',
    '<a xmlns:xml="u"/>',
    '<a xmlns:p="http://www.w3.org/XML/1998/namespace"/>',
    '<a xmlns="http://www.w3.org/2000/xmlns/"/>',
    '<xmlns:a/>',
    '<a>&</a>',
    '<a>&nbsp;</a>',
    '<a>&lt</a>',
    '<a>&#0;</a>',
    '<a>&#xD800;</a>',
    '<a>&#x110000;</a>',
    '<a>&#xFFFE;</a>',
    '<a>&#;</a>',
    '<a>&#99999999;</a>',
    '<a>&constructor;</a>',
    '<a b="&x;"/>',
    '<a>]]></a>',
    '<a>\0</a>',
    '<a>\x0b</a>',
    '<a b="\x01"/>',
    '<a>\uffff</a>',
    '<a><!-- -- --></a>',
    '<a><!-- ---></a>',
    '<a><!-- </a>',
    '<!-- \x01 --><a/>',
    '<a><![CDATA[x</a>',
    '<![CDATA[x]]><a/>',
    '<a/><![CDATA[x]]>',
    '<a><!ELEMENT b></a>',
    '<a><?xml version="1.0"?></a>',
    ' <?xml version="1.0"?><a/>',
    '<?xml version="2.0"?><a/>',
    '<?xml encoding="UTF-8"?><a/>',
    '<?xml version="1.0"?>',
    '<a><? x?></a>',
    '<a><?x:y z?></a>',
    '<a><?x</a>',
    '<a><?XML x?></a>',
    '<a></a b="1">',
    '</a>',
    '<a/ >',
    '<!DOCTYPE a',
    '<!DOCTYPE a []><a/>',
    '<!DOCTYPE a SYSTEM><a/>',
    '<a/><!DOCTYPE a>',
    '<!DOCTYPE a><!DOCTYPE a><a/>',
    '<a\u00d7/>',
    '<a>\ufffe</a>',
    '<a b="\ufffe"/>',
  ]

  for (const source of broken) {
    test(`refused: ${JSON.stringify(source)}`, () => {
      const { details } = refusal(source)
      assert.equal(typeof details?.line, 'number')
      assert.equal(typeof details?.column, 'number')
    })
  }

  test('accepted though unusual', () => {
    const documents = [
      '<a\t\n/>',
      '<_-.1/>',
      '<ä:ö xmlns:ä="u"/>',
      '<𐀀/>',
      '<a b=\'"\' c="\'"/>',
      '<a>></a>',
      '<a>]]</a>',
      '<a b=">"/>',
      '<a>\u0085\ufffd</a>',
      '<a xml:lang="de"/>',
      '<a xmlns:xml="http://www.w3.org/XML/1998/namespace"/>',
      '<a x="1" X="2"/>',
      '<p:a xmlns:p="u" x="1" p:x="2"/>',
      '<!DOCTYPE a SYSTEM "file:///nowhere/a.dtd"><a/>',
      '<!DOCTYPE a PUBLIC \'-//X\' "http://127.0.0.1:1/x.dtd" ><a/>',
      '<!DOCTYPE a><a/>',
      '<a/><?p?>\n<!---->',
      '<a><?p <b>?></a>',
      '<?xml-stylesheet href="x"?><a/>',
      '<a>&#x9;&#13;&#x10FFFF;&quot;&apos;</a>',
    ]
    for (const document of documents) assert.ok(parseXml(document), document)
    assert.equal(parseXml('<a>&#x9;&#13;&#x10FFFF;&amp;lt;</a>').text(), '\t\r\u{10ffff}&lt;')
  })

  test('the error says what is wrong and where', () => {
    const error = refusal('<a>\n  <b:c xmlns:b="u">\n    <d></e>\n</b:c></a>')
    assert.deepEqual(error.details, { line: 3, column: 8, element: '/a/b:c/d' })
    assert.match(error.message, /the end tag of <d> expected, at line 3, column 8/)
    assert.match(refusal('<a>\n<b>').message, /<b> of line 2 is not closed/)
  })
})

describe('building', () => {
  test('real documents come back as they were', () => {
    for (const folder of ['en16931/', 'peppol/']) {
      for (const file of readdirSync(new URL(folder, DOCUMENTS)).filter(name => name.endsWith('.xml'))) {
        const root = parseXml(readFileSync(new URL(folder + file, DOCUMENTS)))
        assert.deepEqual(shape(parseXml(buildXml(root))), shape(root), file)
        const data = xmlToObject(root)
        assert.deepEqual(xmlToObject(parseXml(buildXml(data))), data, file)
      }
    }
  })

  test('what is built is parsed back: any tree', () => {
    fc.assert(
      fc.property(TREE, root => assert.deepEqual(shape(parseXml(buildXml(root))), shape(declared(root)))),
    )
  })

  test('text and values of any characters', () => {
    const text = fc
      .string({ unit: 'binary' })
      .filter(value => !/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(value))
    fc.assert(
      fc.property(text, text, (content, value) => {
        const root = parseXml(buildXml({ a: { '@b': value, '#text': content } }))
        assert.equal(root.text(), content)
        assert.equal(root.attribute('b'), value)
      }),
    )
  })

  test('values of services', () => {
    const built = buildXml({
      a: { '@n': 1, b: [true, null, 2n], c: undefined, d: { '#text': '<&>' }, e: {} },
    })
    assert.equal(
      built,
      '<?xml version="1.0" encoding="UTF-8"?>\n<a n="1"><b>true</b><b/><b>2</b><d>&lt;&amp;&gt;</d><e/></a>',
    )
  })

  test('data can write no markup and nothing that is not XML', () => {
    const cycle: Record<string, unknown> = {}
    cycle.a = cycle
    const refused: unknown[] = [
      {},
      { a: 1, b: 2 },
      { '@a': 1 },
      { '#text': 1 },
      { a: [1, 2] },
      { a: undefined },
      { 'a><b': 1 },
      { a: { '@b="1" c': 1 } },
      { '': 1 },
      { a: '\0' },
      { a: '\ud800' },
      { a: { '@b': '\x01' } },
      { a: Number.NaN },
      { a: () => 1 },
      { a: { b: [[1]] } },
      cycle,
      element('a b'),
      element('a', '', { prefix: 'p' }),
      element('a', [element('b', '\0')]),
      element('a', '', { attributes: [{ name: 'b', prefix: '', namespace: 'u', value: '' }] }),
      element('a', '', {
        prefix: 'p',
        namespace: 'u',
        attributes: [{ name: 'b', prefix: 'p', namespace: 'v', value: '' }],
      }),
    ]
    for (const value of refused) {
      assert.throws(() => buildXml(value as object), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
    }
  })
})

const NAME = fc.constantFrom('a', 'b', 'Order', 'lang', 'é')
const CHARACTERS = fc.string({
  unit: fc.constantFrom('x', ' ', '\n', '\t', '\r', '<', '&', '>', ']', '"', "'", 'é', '𝄞'),
  minLength: 1,
  maxLength: 6,
})
const SPACES: Record<string, string> = { '': '', p: 'urn:p', q: 'urn:q' }

const ATTRIBUTES = fc
  .uniqueArray(fc.tuple(NAME, fc.constantFrom('', 'p', 'q'), CHARACTERS), {
    selector: ([name, prefix]) => `${prefix}:${name}`,
    maxLength: 3,
  })
  .map(list =>
    list.map(([name, prefix, value]): XmlAttribute => ({ name, prefix, namespace: SPACES[prefix]!, value })),
  )

const TREE = fc.letrec<{ tree: XmlElement; nodes: XmlNode[] }>(tie => ({
  tree: fc
    .tuple(NAME, fc.constantFrom('', 'p', 'q'), ATTRIBUTES, tie('nodes'))
    .map(([name, prefix, attributes, nodes]) =>
      element(name, merged(nodes), { prefix, namespace: SPACES[prefix]!, attributes }),
    ),
  nodes: fc.array(fc.oneof({ maxDepth: 4 }, CHARACTERS, tie('tree')), { maxLength: 4 }),
})).tree

/** Adjacent texts as one, as a parser makes them. */
function merged(nodes: readonly XmlNode[]): string | XmlNode[] {
  const out: XmlNode[] = []
  for (const node of nodes) {
    const before = out.at(-1)
    if (typeof node === 'string' && typeof before === 'string') out[out.length - 1] = before + node
    else out.push(node)
  }
  if (out.length === 0) return ''
  return out.length === 1 && typeof out[0] === 'string' ? out[0] : out
}

/** The tree with the declarations that building adds. */
function declared(root: XmlElement, known: readonly string[] = []): XmlElement {
  const used = [...root.attributes.map(attribute => attribute.prefix), root.prefix]
  const added = [...new Set(used)].filter(prefix => prefix !== '' && !known.includes(prefix))
  const declarations = added.map((name): XmlAttribute => {
    return { name, prefix: 'xmlns', namespace: 'http://www.w3.org/2000/xmlns/', value: SPACES[name]! }
  })
  const inner = [...known, ...added]
  const content =
    typeof root.content === 'string'
      ? root.content
      : root.content.map(node => (typeof node === 'string' ? node : declared(node, inner)))
  const { name, prefix, namespace, attributes } = root
  return element(name, content, { prefix, namespace, attributes: [...attributes, ...declarations] })
}
