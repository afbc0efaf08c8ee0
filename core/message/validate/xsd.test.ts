import assert from 'node:assert/strict'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { SignalboxError } from '../../errors.ts'
import { silentLogger } from '../../telemetry/log.ts'
import { CpuPool } from '../../worker/cpu-pool.ts'
import { parseXml } from '../xml.ts'
import { validator } from './validator.ts'
import { assertValid, type ValidationContext, type Violation } from './violation.ts'
import { hashXsd } from './xsd.ts'
import validateNow from './xsd-task.ts'

const EXAMPLE = new URL('../../../examples/invoice-hub/', import.meta.url)
const UBL = { xsd: 'maindoc/UBL-Invoice-2.1.xsd', folder: new URL('schemas/ubl/', EXAMPLE) }
const INVOICE = readFileSync(new URL('data/en16931/ubl-tc434-example4.xml', EXAMPLE))

const pool = new CpuPool({ log: silentLogger, maxThreads: 1 })
const context: ValidationContext = {
  cpu: (file, payload, options) => pool.run(file, payload, options) as never,
}
const folder = mkdtempSync(join(tmpdir(), 'signalbox-xsd-'))
after(async () => {
  await pool.close()
  rmSync(folder, { recursive: true })
})

const HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"'

function put(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}

async function check(xsd: string, document: string | Buffer): Promise<Violation[]> {
  return await validator({ xsd, folder }).validate(document, context)
}

describe('XSD', () => {
  test('the invoices of the example are valid UBL', async () => {
    const ubl = validator(UBL)
    const files = globSync('data/{peppol,en16931}/*.xml', { cwd: fileURLToPath(EXAMPLE) })
    const invoices = files
      .map(file => readFileSync(new URL(file, EXAMPLE)))
      .filter(bytes => parseXml(bytes).name === 'Invoice')
    assert.ok(invoices.length > 8)
    for (const invoice of invoices) assert.deepEqual(await assertValid(ubl, invoice, context), [])
    assert.deepEqual(await assertValid(ubl, parseXml(INVOICE), context), [], 'an element')
  })

  test('all errors of a document, each with line, column and element', async () => {
    const wrong = INVOICE.toString()
      .replace(/<cbc:IssueDate>[^<]*/, '<cbc:IssueDate>2013-13-01')
      .replace(/(<cbc:TaxAmount) currencyID="[A-Z]+"/, '$1')
      .replace(
        /<cbc:LineExtensionAmount currencyID="DKK">([\d.]+)(?=<\/cbc:LineExtensionAmount>\s*<cac:Item>)/,
        '<cbc:Nonsense/>$&',
      )
      .replace(/<cbc:ChargeIndicator>true/, '<cbc:ChargeIndicator>maybe')
    const tree = parseXml(wrong)
    const found = (await validator(UBL).validate(Buffer.from(wrong), context)) as Violation[]
    assert.ok(found.length >= 3, JSON.stringify(found))
    const lines = wrong.split('\n')
    for (const { source, rule, line, column, element, message } of found) {
      assert.equal(source, 'xsd')
      const name = element!
        .split('/')
        .at(-1)!
        .replace(/\[\d+\]$/, '')
      assert.ok(
        lines[line! - 1]!.slice(column! - 1).startsWith(`<${name}`),
        `${message} at ${line}:${column}`,
      )
      assert.ok(['type', 'attribute-required', 'content', 'attribute-unknown'].includes(rule), rule)
    }
    assert.equal(found[0]!.element, '/Invoice/cbc:IssueDate')
    assert.equal(found[0]!.line, tree.child('IssueDate')!.position!.line)
    await assert.rejects(assertValid(validator(UBL), wrong, context), {
      code: 'SIGNALBOX_VALIDATION_FAILED',
      message: /^the message is not valid: line \d+, column \d+: /,
    })
  })

  test('the broken documents of the example', async () => {
    const ubl = validator(UBL)
    const broken = (name: string) => readFileSync(new URL(`data/broken/${name}.xml`, EXAMPLE))
    await assert.rejects(assertValid(ubl, broken('malformed'), context), {
      code: 'SIGNALBOX_FORMAT_INVALID',
      message: /line 31, column 13/,
    })
    const [root] = (await ubl.validate(broken('wrong-total'), context)) as Violation[]
    assert.deepEqual([root!.rule, root!.element], ['root', '/rsm:CrossIndustryInvoice'])
  })

  test('facets, default namespaces, identity constraints, includes and imports over folders', async () => {
    put(
      'main/a.xsd',
      `${HEAD} targetNamespace="urn:a" xmlns="urn:a" xmlns:b="urn:b" elementFormDefault="qualified">
      <xs:include schemaLocation="../types/t.xsd"/><xs:import namespace="urn:b" schemaLocation="../types/b.xsd"/>
      <xs:element name="a"><xs:complexType><xs:sequence>
        <xs:element name="code" type="Code" maxOccurs="9"/><xs:element ref="b:b"/>
      </xs:sequence></xs:complexType>
      <xs:unique name="u"><xs:selector xpath="*"/><xs:field xpath="."/></xs:unique></xs:element></xs:schema>`,
    )
    put(
      'types/t.xsd',
      `${HEAD}><xs:include schemaLocation="t2.xsd"/><xs:include schemaLocation="./t2.xsd"/></xs:schema>`,
    )
    put(
      'types/t2.xsd',
      `${HEAD}><xs:simpleType name="Code"><xs:restriction base="xs:string"><xs:pattern value="[A-Z]+"/></xs:restriction></xs:simpleType></xs:schema>`,
    )
    put('types/b.xsd', `${HEAD} targetNamespace="urn:b"><xs:element name="b" type="xs:int"/></xs:schema>`)
    const found = await check(
      'main/a.xsd',
      '<a xmlns="urn:a"><code>A</code><code>\n1</code><code>A</code><b xmlns="urn:b">x</b></a>',
    )
    assert.deepEqual(
      found.map(({ rule, line, column, element }) => [rule, line, column, element]),
      [
        ['pattern', 1, 32, '/a/code[2]'],
        ['identity', 2, 9, '/a/code[3]'],
        ['type', 2, 23, '/a/b'],
      ],
    )
    assert.deepEqual(
      await check('main/a.xsd', '<p:a xmlns:p="urn:a"><p:code>A</p:code><b xmlns="urn:b">1</b></p:a>'),
      [],
    )
  })

  test('any encoding that the parser reads', async () => {
    put(
      'e.xsd',
      `${HEAD}><xs:element name="a"><xs:simpleType><xs:restriction base="xs:string"><xs:length value="2"/></xs:restriction></xs:simpleType></xs:element></xs:schema>`,
    )
    assert.deepEqual(
      await check('e.xsd', Buffer.from('\ufeff<?xml version="1.0" encoding="UTF-16"?><a>éü</a>', 'utf16le')),
      [],
    )
    assert.deepEqual(
      await check('e.xsd', Buffer.from('<?xml version="1.0" encoding="ISO-8859-1"?><a>éü</a>', 'latin1')),
      [],
    )
  })

  test('a schema is read from its folder and from nowhere else', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'signalbox-outside-'))
    try {
      writeFileSync(join(outside, 's.xsd'), `${HEAD}/>`)
      mkdirSync(join(folder, 'links'))
      symlinkSync(join(outside, 's.xsd'), join(folder, 'links/s.xsd'))
      const cases: [string, RegExp][] = [
        ['../../s.xsd', /out of the folder/],
        [join(outside, 's.xsd'), /out of the folder/],
        [`file://${outside}/s.xsd`, /nothing is fetched/],
        ['http://127.0.0.1:1/s.xsd', /nothing is fetched/],
        ['//127.0.0.1/s.xsd', /nothing is fetched/],
        ['links/s.xsd', /symbolic link/],
        ['missing.xsd', /cannot be read/],
        ['broken.xsd', /broken.xsd: XML: /],
      ]
      put('broken.xsd', '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>')
      for (const [location, expected] of cases) {
        put('bad.xsd', `${HEAD}><xs:include schemaLocation="${location}"/></xs:schema>`)
        assert.throws(
          () => validator({ xsd: 'bad.xsd', folder }),
          error => {
            assert.equal((error as { code: string }).code, 'SIGNALBOX_SCHEMA_INVALID')
            assert.match((error as Error).message, expected)
            return true
          },
        )
      }
      for (const xsd of ['../x.xsd', '/etc/passwd', 'none.xsd']) {
        assert.throws(() => validator({ xsd, folder }), { code: 'SIGNALBOX_SCHEMA_INVALID' })
      }
    } finally {
      rmSync(outside, { recursive: true })
    }
  })

  test('a schema that does not compile, and one that was changed since', async () => {
    put('wrong.xsd', `${HEAD}><xs:element name="a" type="none"/></xs:schema>`)
    await assert.rejects(check('wrong.xsd', '<a/>'), {
      code: 'SIGNALBOX_SCHEMA_INVALID',
      message: /wrong.xsd, line 1: .*none/,
    })
    put('changing.xsd', `${HEAD}><xs:element name="a" type="xs:int"/></xs:schema>`)
    const before = validator({ xsd: 'changing.xsd', folder })
    put('changing.xsd', `${HEAD}><xs:element name="a" type="xs:string"/></xs:schema>`)
    await assert.rejects(async () => before.validate('<a/>', context), {
      code: 'SIGNALBOX_SCHEMA_INVALID',
      message: /have changed/,
    })
    assert.deepEqual(await check('changing.xsd', '<a>x</a>'), [])
  })

  test('wrong use', async () => {
    await assert.rejects(async () => validator(UBL).validate(INVOICE), {
      code: 'SIGNALBOX_USAGE',
      message: /pass this/,
    })
    await assert.rejects(async () => validator(UBL).validate({ Invoice: {} }, context), {
      code: 'SIGNALBOX_USAGE',
    })
  })

  test('memory stays flat over 10,000 documents, right and wrong ones', () => {
    const file = fileURLToPath(UBL.folder)
    const { key } = hashXsd(file, UBL.xsd)
    const wrong = Buffer.from(INVOICE.toString().replaceAll('DKK', '').replaceAll('currencyID=""', ''))
    const run = (count: number) => {
      for (let i = 0; i < count; i++) {
        const document = i % 10 === 0 ? wrong : INVOICE
        const found = validateNow({ folder: file, xsd: UBL.xsd, key, document, maxBytes: 1_000_000 })
        assert.equal(found.length > 0, i % 10 === 0)
      }
      return process.memoryUsage().external
    }
    const settled = run(1_000)
    assert.ok(run(9_000) < settled + 2 * 1_048_576)
  })
})

describe('hostile documents', () => {
  test('refused before libxml2 sees them; no file is read', async () => {
    const canary = join(folder, 'canary.txt')
    writeFileSync(canary, 'SECRET-CANARY')
    put('any.xsd', `${HEAD}><xs:element name="a" type="xs:string"/></xs:schema>`)
    const laughs = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join(
      '',
    )
    const cases = [
      `<!DOCTYPE a [<!ENTITY l0 "lol">${laughs}]><a>&l9;</a>`,
      `<!DOCTYPE a [<!ENTITY b "${'b'.repeat(100_000)}">]><a>${'&b;'.repeat(100_000)}</a>`,
      `<!DOCTYPE a [<!ENTITY f SYSTEM "file://${canary}">]><a>&f;</a>`,
      `<!DOCTYPE a SYSTEM "file://${canary}"><a>&f;</a>`,
      '<a>'.repeat(100_000),
      `<a${Array.from({ length: 1_000_000 }, (_, i) => ` a${i}=""`).join('')}/>`,
      `<a>${'&#65;'.repeat(2_000_000)}</a>`,
      `<a>${'x'.repeat(20_000_000)}</a>`,
    ]
    const { key } = hashXsd(folder, 'any.xsd')
    for (const document of cases) {
      const start = performance.now()
      assert.throws(
        () =>
          validateNow({ folder, xsd: 'any.xsd', key, document: Buffer.from(document), maxBytes: 16_000_000 }),
        {
          code: /^SIGNALBOX_FORMAT_(INVALID|LIMIT)$/,
        },
      )
      assert.ok(performance.now() - start < 500, `${document.slice(0, 40)}: ${performance.now() - start} ms`)
    }
  })

  test('any damage to a document gives violations or a typed error', () => {
    const file = fileURLToPath(UBL.folder)
    const { key } = hashXsd(file, UBL.xsd)
    const damage = fc.tuple(
      fc.nat({ max: INVOICE.length }),
      fc.constantFrom('<', '>', '&', '"', 'x', '\n', '<a/>', ':', '&#1;'),
      fc.nat(8),
    )
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), places => {
        let document = INVOICE.toString()
        for (const [at, junk, gone] of places)
          document = document.slice(0, at) + junk + document.slice(at + gone)
        try {
          validateNow({ folder: file, xsd: UBL.xsd, key, document, maxBytes: 1_000_000 })
        } catch (error) {
          assert.ok(error instanceof SignalboxError, String(error))
          assert.notEqual(error.code, 'SIGNALBOX_CPU_FAILED')
        }
      }),
      { numRuns: 500 },
    )
  })

  test('a document names no schemas of its own', async () => {
    put(
      'any.xsd',
      `${HEAD}><xs:element name="a"><xs:complexType><xs:sequence><xs:any processContents="lax" minOccurs="0"/></xs:sequence></xs:complexType></xs:element></xs:schema>`,
    )
    put('evil.xsd', `${HEAD} targetNamespace="urn:e"><xs:element name="e" type="xs:int"/></xs:schema>`)
    const xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    const url = `file://${join(folder, 'evil.xsd')}`
    assert.deepEqual(
      await check(
        'any.xsd',
        `<a ${xsi} xsi:schemaLocation="urn:e ${url} urn:f evil.xsd"><e xmlns="urn:e">no number</e></a>`,
      ),
      [],
    )
  })

  test('what takes too long is ended with its thread', async () => {
    put(
      'slow.xsd',
      `${HEAD}><xs:element name="a"><xs:complexType><xs:sequence><xs:element name="b" type="xs:int" maxOccurs="unbounded"/></xs:sequence></xs:complexType></xs:element></xs:schema>`,
    )
    const many = `<a>${'<b/>'.repeat(200_000)}</a>`
    const start = performance.now()
    await assert.rejects(
      async () => validator({ xsd: 'slow.xsd', folder, timeoutMs: 300 }).validate(many, context),
      { code: 'SIGNALBOX_CPU_TIMEOUT' },
    )
    assert.ok(performance.now() - start < 5_000)
  })
})
