import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { SignalboxError } from '../errors.ts'
import { parseOptions } from '../schema.ts'
import { type CsvOptions, csv, tsv } from './csv.ts'
import { bytesOf, joinAll, LIMITS, mutated, refusal, sizes, splitAll, tryParse } from './format-test-kit.ts'

function parse(text: string | Buffer, options?: CsvOptions): unknown {
  return csv.parse(bytesOf(text), LIMITS, options)
}
function build(value: unknown, options?: CsvOptions): string {
  return csv.build(value, options).toString()
}
const INVALID = 'SIGNALBOX_FORMAT_INVALID'
const UNENCODABLE = { code: 'SIGNALBOX_CODEC_UNENCODABLE' }

describe('reading', () => {
  test('RFC 4180: quotes, doubled quotes, line breaks in fields, CRLF, no end of the last line', () => {
    assert.deepEqual(parse('a,b\r\n1,"x ""y"",\r\nz"\r\n,""\r\n"q",'), [
      { a: '1', b: 'x "y",\r\nz' },
      { a: '', b: '' },
      { a: 'q', b: '' },
    ])
    assert.deepEqual(parse(''), [])
    assert.deepEqual(parse('a,b\n'), [])
    assert.deepEqual(parse('\ufeffa\n1\n\n2'), [{ a: '1' }, { a: '2' }])
  })

  test('arrays without a header, given names, empty lines that count', () => {
    assert.deepEqual(parse('1,2\n3,4\n', { header: false }), [
      ['1', '2'],
      ['3', '4'],
    ])
    assert.deepEqual(parse('1,2\n', { header: ['x', 'y'] }), [{ x: '1', y: '2' }])
    assert.deepEqual(parse('a\n\n1\n', { skipEmptyLines: false }), [{ a: '' }, { a: '1' }])
  })

  test('delimiters, also longer ones and by the header; other quotes and escapes; comments; trim', () => {
    assert.deepEqual(tsv.parse(Buffer.from('a\tb\n1\t2,3'), LIMITS), [{ a: '1', b: '2,3' }])
    assert.deepEqual(parse('a||b\n1|2||3', { delimiter: '||' }), [{ a: '1|2', b: '3' }])
    for (const delimiter of [',', ';', '\t', '|']) {
      const text = `"a,;|x"${delimiter}b\n1${delimiter}"2"`
      assert.deepEqual(parse(text, { delimiter: 'auto' }), [{ 'a,;|x': '1', b: '2' }])
    }
    assert.deepEqual(parse("a,b\n'x,y',1", { quote: "'" }), [{ a: 'x,y', b: '1' }])
    assert.deepEqual(parse('a,b\n"x\\",\\\\",\\n', { escape: '\\' }), [{ a: 'x",\\', b: '\\n' }])
    assert.deepEqual(parse('a,b\nx",1', { quote: '' }), [{ a: 'x"', b: '1' }])
    assert.deepEqual(parse('# "one\na,b\n# two"\n1,#2\n#', { comment: '#' }), [{ a: '1', b: '#2' }])
    assert.deepEqual(parse(' a ,b\n 1 , " 2 " \n', { trim: true }), [{ a: '1', b: ' 2 ' }])
    assert.deepEqual(parse('a,b\r1,"x\ry"\r', { newline: '\r' }), [{ a: '1', b: 'x\ry' }])
  })

  test('types and nulls', () => {
    const columns: CsvOptions['columns'] = {
      n: { type: 'number', decimal: ',' },
      i: { type: 'integer' },
      b: { type: 'boolean' },
      d: { type: 'date' },
      s: { nulls: ['-'] },
    }
    const text = 'n;i;b;d;s\n-1,5;+07;Yes;2024-02-29;-\n1e3;;0;2024-01-01T10:00:00+01:00;\n'
    assert.deepEqual(parse(text, { delimiter: ';', columns }), [
      { n: -1.5, i: 7, b: true, d: new Date('2024-02-29Z'), s: null },
      { n: 1000, i: null, b: false, d: new Date('2024-01-01T09:00:00Z'), s: '' },
    ])
    assert.deepEqual(parse('a\nNULL\n', { nulls: ['NULL'] }), [{ a: null }])
    for (const [type, bad] of [
      ['number', '1.2.3'],
      ['number', '0x10'],
      ['number', 'Infinity'],
      ['number', '1e999'],
      ['integer', '1.5'],
      ['integer', '9007199254740993'],
      ['boolean', 'maybe'],
      ['date', '2023-02-29'],
      ['date', '1/2/2023'],
    ] as const) {
      for (const rows of [0, 40]) {
        const body = `x,v\n${'1,\n'.repeat(rows)}1,${bad}\n`
        const error = refusal(csv, body, INVALID, { columns: { v: { type } } })
        assert.deepEqual(error.details, { line: rows + 2, column: 3, record: rows + 1, name: 'v' }, bad)
      }
    }
    const missing = refusal(csv, 'a\n1', INVALID, { columns: { b: { required: true } } })
    assert.match(missing.message, /column "b" is missing/)
    refusal(csv, '', INVALID, { columns: { b: { required: true } } })
  })

  test('errors have line, column and record, in short tables and in long ones', () => {
    const head = `a,b\n${'"1\n",2\n'.repeat(30)}`
    const cases: [string, number, number, RegExp][] = [
      ['a,b\n1,x"y"\n', 2, 4, /quote inside a field/],
      ['a,b\n"1" ,2\n', 2, 4, /after its closing quote/],
      ['a,b\n1,"2\n\n', 2, 3, /not closed/],
      ['a,b\n1,2\n1\n', 3, 1, /1 fields, but there are 2/],
      ['a,b\n1,"2\n3",4\n', 2, 1, /3 fields/],
      [`${head}1,x"y"\n`, 62, 4, /quote inside a field/],
      [`${head}1,2,3\n`, 62, 1, /3 fields/],
      [`${head}"1"x,2\n`, 62, 4, /after its closing quote/],
      [`${head}1,"2`, 62, 3, /not closed/],
    ]
    for (const [text, line, column, why] of cases) {
      const error = refusal(csv, text, INVALID)
      assert.match(error.message, why)
      assert.deepEqual([error.details?.line, error.details?.column], [line, column], text)
    }
  })

  test('ragged records can be padded or fitted', () => {
    assert.deepEqual(parse('a,b\n1\n', { ragged: 'pad' }), [{ a: '1', b: '' }])
    refusal(csv, 'a,b\n1,2,3\n', INVALID, { ragged: 'pad' })
    assert.deepEqual(parse('a,b\n1,2,3\n', { ragged: 'fit' }), [{ a: '1', b: '2' }])
    const long = `a,b\n${'1,2\n'.repeat(50)}`
    assert.deepEqual((parse(`${long}1\n1,2,3\n"1",2,3\n`, { ragged: 'fit' }) as unknown[]).slice(50), [
      { a: '1', b: '' },
      { a: '1', b: '2' },
      { a: '1', b: '2' },
    ])
  })

  test('hostile headers are refused, and names of Object.prototype are only names', () => {
    refusal(csv, '__proto__,b\n1,2\n', INVALID)
    refusal(csv, '"__proto__"\nx\n', INVALID)
    assert.match(refusal(csv, 'a,b,a\n1,2,3\n', INVALID).message, /"a" is there twice/)
    assert.throws(() => parse('1', { header: ['__proto__'] }), { code: 'SIGNALBOX_OPTIONS_INVALID' })
    const text = `constructor,toString,hasOwnProperty\n${'1,2,3\n'.repeat(30)}`
    const last = (parse(text) as Record<string, unknown>[]).at(-1)!
    assert.deepEqual(Object.entries(last).flat().join(), 'constructor,1,toString,2,hasOwnProperty,3')
    const code = '"]; throw 1; //",`$[x]`,"\u2028\n\\"'
    const names = Object.keys((parse(`${code}\n${'1,2,3\n'.repeat(30)}`) as object[]).at(-1)!)
    assert.deepEqual(names, ['"]; throw 1; //'.slice(1), '`$[x]`', '\u2028\n\\'])
  })

  test('limits: fields in all, columns, size of a record', () => {
    const limit = (text: string, limits: object) =>
      refusal(csv, text, 'SIGNALBOX_FORMAT_LIMIT', undefined, { ...LIMITS, ...limits }).details?.limit
    const rows = `a,b\n${'1,2\n'.repeat(100)}`
    assert.equal(limit(rows, { maxElements: 150 }), 'maxElements')
    assert.equal(limit(rows, { maxElements: 20 }), 'maxElements')
    assert.equal(limit(`${'a,'.repeat(11)}b`, { maxColumns: 10 }), 'maxColumns')
    assert.equal(limit(`a\n"${'x\n'.repeat(60)}"`, { maxRecordBytes: 100 }), 'maxRecordBytes')
    assert.equal(
      limit(`a\n${'1\n'.repeat(30)}${'x'.repeat(101)}\n`, { maxRecordBytes: 100 }),
      'maxRecordBytes',
    )
    assert.equal(
      limit(`a\n${'1\n'.repeat(30)}"${'x'.repeat(101)}"\n`, { maxRecordBytes: 100 }),
      'maxRecordBytes',
    )
  })

  test('options are checked', () => {
    for (const options of [{ delimiter: '' }, { ragged: 'maybe' }, { quote: '""' }, { colums: {} }]) {
      assert.throws(() => parseOptions(csv.options!, options, 'csv'), { code: 'SIGNALBOX_OPTIONS_INVALID' })
    }
    const full = parseOptions<CsvOptions>(csv.options!, {}, 'csv')
    assert.equal(full.delimiter, ',')
    assert.deepEqual(parse('a\n1', full), [{ a: '1' }])
    assert.equal(parseOptions<CsvOptions>(tsv.options!, {}, 'tsv').delimiter, '\t')
    for (const options of [{ delimiter: '"' }, { delimiter: '\n' }, { quote: '', quoteAll: true }]) {
      assert.throws(() => parse('a', options), { code: 'SIGNALBOX_OPTIONS_INVALID' }, JSON.stringify(options))
    }
  })
})

describe('writing', () => {
  test('names from the first record, quotes where they are needed', () => {
    assert.equal(
      build([
        { a: 'x,y', b: 'say "hi"', c: 1.5, d: null },
        { c: true, a: ' s' },
      ]),
      'a,b,c,d\r\n"x,y","say ""hi""",1.5,\r\n" s",,true,\r\n',
    )
    assert.equal(build([['']], { header: false, newline: '\n' }), '""\n')
    assert.equal(build([{ a: 1 }], { quoteAll: true, bom: true, newline: '\n' }), '\ufeff"a"\n"1"\n')
    assert.equal(build([]), '')
    assert.equal(
      build([{ n: 1.5, d: new Date(0) }], { columns: { n: { type: 'number', decimal: ',' } } }).split(
        '\r\n',
      )[1],
      '"1,5",1970-01-01T00:00:00.000Z',
    )
  })

  test('what cannot be read again is refused', () => {
    for (const value of [{}, 1, [1], [[1]], [{ a: {} }], [{ a: 1 }, { b: 1 }], [{}], [{ a: 1n }, 2]]) {
      assert.throws(
        () => build(value),
        UNENCODABLE,
        JSON.stringify(value, (_, v) => String(v)),
      )
    }
    assert.throws(() => build([{ ['__proto__']: 1 }]), UNENCODABLE)
    assert.throws(() => build([['a,b']], { header: false, quote: '' }), UNENCODABLE)
    assert.throws(() => build([{ a: 'x' }], { columns: { a: { type: 'integer' } } }), UNENCODABLE)
    assert.throws(() => build([{ a: '\ud800' }]), UNENCODABLE)
    assert.throws(() => build([{ a: '€' }], { charset: 'iso-8859-1' }), UNENCODABLE)
    assert.equal(build([{ a: '€' }], { charset: 'iso-8859-1', unmappable: '?', newline: '\n' }), 'a\n?\n')
  })

  test('no formula reaches a spreadsheet when formulas are escaped', () => {
    const cell = (text: string) => build([[text]], { header: false, formulas: 'escape' }).slice(0, -2)
    assert.equal(cell('=cmd|/C calc!A0'), `"'=cmd|/C calc!A0"`)
    assert.equal(cell('-5.5'), '-5.5')
    const dangerous = fc.tuple(
      fc.constantFrom('', ' ', '\n', '\t '),
      fc.constantFrom('=', '+', '-', '@', '\t', '\r', '＝'),
      fc.string(),
    )
    fc.assert(
      fc.property(dangerous, ([space, sign, rest]) => {
        const text = space + sign + rest
        const [[back]] = parse(cell(text), { header: false }) as [[string]]
        const isNumber = /^[+-]\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?$/.test(text)
        assert.equal(back, isNumber ? text : `'${text}`)
      }),
      { numRuns: 5000 },
    )
    // Other separators a spreadsheet may use stay inside quotes.
    assert.equal(cell('a;=1+1'), '"a;=1+1"')
    assert.equal(build([{ '=a': 1 }], { formulas: 'escape' }), `"'=a"\r\n1\r\n`)
  })
})

const field = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.stringMatching(/^[ab",;\n\r#' \t]{0,8}$/),
)
const options: fc.Arbitrary<CsvOptions> = fc.record(
  {
    delimiter: fc.constantFrom(',', ';', '\t', '||', '::'),
    quote: fc.constantFrom('"', "'"),
    escape: fc.constantFrom('\\', '"', '^'),
    comment: fc.constantFrom('#', '//', '"#').filter(comment => comment[0] !== '"'),
    trim: fc.boolean(),
    newline: fc.constantFrom('\n', '\r\n', '\r'),
    quoteAll: fc.boolean(),
    bom: fc.boolean(),
    charset: fc.constantFrom('utf-8', 'utf-16le', 'gb18030'),
  },
  { requiredKeys: [] },
)
const table = fc
  .uniqueArray(
    fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 6 })
      .filter(name => name.trim() === name && name !== '__proto__'),
    { minLength: 1, maxLength: 5 },
  )
  .chain(names =>
    fc
      .array(fc.tuple(...names.map(() => field)), { minLength: 1, maxLength: 40 })
      .map(rows => rows.map(row => Object.fromEntries(names.map((name, i) => [name, row[i]!])))),
  )

describe('properties', () => {
  test('what is built is parsed back, and split in any pieces gives the same', async () => {
    await fc.assert(
      fc.asyncProperty(table, options, sizes, async (records, options, cut) => {
        const bytes = bytesOf(csv.build(records, options))
        assert.deepEqual(csv.parse(bytes, LIMITS, options), records)
        const split = await splitAll(csv, bytes, cut, options)
        assert.equal(split.error, undefined)
        assert.deepEqual(split.records, records)
        assert.deepEqual(await joinAll(csv, records, options), bytes)
      }),
      { numRuns: 400 },
    )
  })

  test('nearly right tables end in records or a typed error, split as parsed', async () => {
    const text = fc
      .tuple(fc.stringMatching(/^(?:[ab"#\\;,\n\r]|"a,\nb",|\n1,2|"",){0,40}$/), fc.nat(40))
      .map(([text, rows]) => `a,b\n${'"1",2\n3,4\n'.repeat(rows)}${text}`)
    const some = fc.constantFrom<CsvOptions>(
      {},
      { header: false },
      { delimiter: 'auto', comment: '#', trim: true },
      { escape: '\\', ragged: 'fit' },
      { ragged: 'fit', columns: { a: { type: 'integer' } } },
      { charset: 'shift_jis', ragged: 'pad' },
    )
    await fc.assert(
      fc.asyncProperty(mutated(text), some, sizes, async (bytes, options, cut) => {
        const { value, error } = tryParse(csv, bytes, options)
        const split = await splitAll(csv, bytes, cut, options)
        assert.equal(split.error?.code, error?.code)
        if (error === undefined) assert.deepEqual(split.records, value)
        else if (error.details?.offset === undefined) assert.deepEqual(split.error?.details, error.details)
      }),
      { numRuns: 1500 },
    )
  })

  test('random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => void tryParse(csv, Buffer.from(bytes))),
      {
        numRuns: 500,
      },
    )
  })
})

describe('time is linear', () => {
  const MB = 1024 * 1024
  const within = async (ms: number, run: () => Promise<unknown>) => {
    const start = process.cpuUsage()
    await run()
    const { user, system } = process.cpuUsage(start)
    const used = (user + system) / 1000
    assert.ok(used < ms, `${used} ms of processor time`)
  }

  test('1 MiB byte by byte: rows, one row of quotes, one field without an end', async () => {
    const bodies = [
      `a,b\n${'1,"2"\n'.repeat(MB / 6)}`,
      `a\n"${'""'.repeat(MB / 2)}"\n`,
      `a\n"${',\n'.repeat(MB / 2)}`,
    ]
    for (const body of bodies) {
      await within(8000, async () => {
        const { records, error } = await splitAll(csv, Buffer.from(body), [1])
        assert.ok(records.length > 0 || (error as SignalboxError).code === INVALID)
      })
    }
  })

  test('a field of 16 MiB in pieces, and lines without delimiters', async () => {
    const limits = { ...LIMITS, maxRecordBytes: 20 * MB }
    await within(8000, async () => {
      const body = Buffer.from(`a\n"${'x""\n,'.repeat((16 * MB) / 5)}"\n`)
      const { records } = await splitAll(csv, body, [65_536], undefined, limits)
      assert.equal((records[0] as { a: string }).a.length, Math.floor((16 * MB) / 5) * 4)
    })
    await within(8000, async () => {
      const body = Buffer.from(`a\n${'1\n'.repeat(400_000)}`)
      assert.equal((csv.parse(body, LIMITS) as unknown[]).length, 400_000)
      const ragged = Buffer.from(`a,b\n${'1\n'.repeat(300_000)}`)
      assert.equal((csv.parse(ragged, LIMITS, { ragged: 'pad' }) as unknown[]).length, 300_000)
    })
  })
})
