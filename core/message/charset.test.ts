import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../errors.ts'
import { charsetOf, decodeAll } from './charset.ts'
import { joinAll, LIMITS, mutated, pieces, refusal, sizes, splitAll, tryParse } from './format-test-kit.ts'
import { parseBody } from './formats.ts'
import { text } from './text-lines.ts'

const CHARSETS = [
  'utf-8',
  'utf-16',
  'utf-16le',
  'utf-16be',
  'us-ascii',
  'iso-8859-1',
  'iso-8859-15',
  'windows-1252',
]
const MORE = ['cp437', 'koi8-r', 'macroman', 'shift_jis', 'euc-jp', 'euc-kr', 'big5', 'gbk', 'gb18030']
const INVALID = 'SIGNALBOX_FORMAT_INVALID'

describe('character sets', () => {
  test('known texts in known bytes, both ways', () => {
    const cases: [string, string, string][] = [
      ['ISO-8859-15', 'Preis 5 €', '507265697320 3520 a4'],
      ['latin1', 'ü\x85', 'fc85'],
      ['windows-1252', '€“', '8093'],
      ['cp437', 'ä', '84'],
      ['Shift_JIS', '日本', '93fa967b'],
      ['gb18030', '中€', 'd6d0a2e3'],
      ['UTF-16BE', 'a😀', '0061d83dde00'],
      ['utf-8', '😀', 'f09f9880'],
    ]
    for (const [name, string, hex] of cases) {
      const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
      assert.equal(decodeAll(bytes, charsetOf(name), 'x'), string, name)
      assert.deepEqual(Buffer.from(charsetOf(name).encode(string, 'x') as string), bytes, name)
    }
    assert.equal(decodeAll(Buffer.from('fffe6100', 'hex'), charsetOf('utf-16'), 'x'), 'a')
    assert.equal(decodeAll(Buffer.from('feff0061', 'hex'), charsetOf('utf-16'), 'x'), 'a')
  })

  test('what is no character set of text is unknown', () => {
    for (const name of [
      'klingon',
      'utf-7',
      'base64',
      'hex',
      'binary',
      'utf-32',
      '',
      '__proto__',
      'constructor',
    ]) {
      assert.throws(() => charsetOf(name), { code: 'SIGNALBOX_FORMAT_UNSUPPORTED' }, name)
    }
  })

  test('invalid bytes are refused with their offset, line and column', () => {
    const cases: [string, string, number][] = [
      ['utf-8', '610ac3a4ff61', 4],
      ['utf-8', '610ac3', 2],
      ['utf-8', '61eda080', 1],
      ['us-ascii', '6180', 1],
      ['windows-1252', '618161', 1],
      ['shift_jis', '6193faff', 3],
      ['shift_jis', '6193', 1],
      ['utf-16le', '610000d8', 2],
      ['utf-16le', '6100d8', 2],
      ['utf-16be', '0061dc00', 2],
    ]
    for (const [charset, hex, offset] of cases) {
      const { details } = refusal(text, Buffer.from(hex, 'hex'), INVALID, { charset })
      assert.equal(details?.offset, offset, `${charset} ${hex}`)
    }
    assert.deepEqual(refusal(text, Buffer.from('610ac3a4ff', 'hex'), INVALID).details, {
      offset: 4,
      charset: 'utf-8',
      line: 2,
      column: 2,
    })
  })

  test('what a character set does not have is refused with its place, or replaced', () => {
    for (const charset of ['iso-8859-1', 'us-ascii', 'shift_jis', 'cp437']) {
      assert.throws(
        () => text.build('aé😀'.replace('é', 'x'), { charset }),
        (error: SignalboxError) =>
          error.code === 'SIGNALBOX_CODEC_UNENCODABLE' && error.details?.offset === 2,
      )
      assert.equal(text.build('a😀b', { charset, unmappable: '?' }).toString(), 'a?b', charset)
    }
    assert.throws(() => text.build('\ud800'), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
    assert.equal(text.build('a\udc00', { unmappable: '?' }), 'a?')
  })

  test('any bytes in any pieces decode as the whole does, and encode back', () => {
    const name = fc.constantFrom(...CHARSETS, ...MORE)
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes)),
      mutated(fc.string({ unit: 'grapheme' })),
      fc.string({ unit: 'grapheme' }).map(string => Buffer.from(string, 'utf16le')),
    )
    fc.assert(
      fc.property(name, bytes, sizes, (name, bytes, cut) => {
        const charset = charsetOf(name)
        const decoder = charset.decoder('x')
        let decoded = ''
        for (const piece of pieces(bytes, cut)) {
          decoded += decoder.write(piece)
          if (decoder.failure) break
        }
        if (!decoder.failure) decoded += decoder.end()
        const { value, error } = tryParse(text, bytes, { charset: name })
        assert.equal(decoder.failure?.details?.offset, error?.details?.offset)
        if (error) return
        assert.equal(decoded.replace(/^\ufeff/, ''), value)
        // Some characters have several codes, so bytes may change, but the text does not.
        const again = tryParse(
          text,
          Buffer.from(text.build(value, { charset: name, unmappable: '?' }) as string),
          {
            charset: name,
          },
        )
        if (!/[\ue000-\uf8ff]/.test(value as string) && !MORE.includes(name))
          assert.equal(again.value, (value as string).replace(/^\ufeff/, ''))
      }),
      { numRuns: 2000 },
    )
  })

  test('the declaration of an XML document counts', () => {
    const body = Buffer.from(
      charsetOf('windows-1252').encode('<?xml version="1.0" encoding="Windows-1252"?><a>€</a>', 'x'),
    )
    assert.deepEqual(parseBody('xml', body, LIMITS), { a: '€' })
    const unknown = Buffer.from('<?xml version="1.0" encoding="klingon"?><a/>')
    assert.throws(() => parseBody('xml', unknown, LIMITS), { code: 'SIGNALBOX_FORMAT_UNSUPPORTED' })
  })
})

describe('lines', () => {
  test('what is joined is split again, in any pieces and character set', async () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 20 }).filter(line => !/[\r\n\ufeff]/.test(line))
    const charset = fc.constantFrom('utf-8', 'utf-16be', 'gb18030')
    await fc.assert(
      fc.asyncProperty(
        fc.array(line),
        charset,
        fc.constantFrom('\n' as const, '\r\n' as const),
        sizes,
        async (lines, charset, newline, cut) => {
          const bytes = await joinAll(text, lines, { charset, newline })
          assert.deepEqual(await splitAll(text, bytes, cut, { charset }), {
            records: lines,
            error: undefined,
          })
        },
      ),
    )
  })

  test('a line without an end is refused at the limit, in bounded memory, and the source is ended', async () => {
    let given = 0
    let ended = false
    function* endless() {
      const piece = Buffer.alloc(64 * 1024, 'x')
      try {
        yield Buffer.from('short\n')
        for (;;) {
          given += piece.length
          yield piece
        }
      } finally {
        ended = true
      }
    }
    const lines: unknown[] = []
    const reading = async () => {
      for await (const line of text.split!(endless(), LIMITS)) lines.push(line)
    }
    await assert.rejects(reading, (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_FORMAT_LIMIT')
      assert.deepEqual(error.details, { limit: 'maxLineBytes', max: 1024 * 1024, line: 2 })
      return true
    })
    assert.deepEqual(lines, ['short'])
    assert.ok(given < 2 * 1024 * 1024)
    assert.ok(ended)
    // The same in one piece.
    const { error } = await splitAll(text, Buffer.alloc(64 * 1024 * 1024, 'x'), [64 * 1024 * 1024])
    assert.equal(error?.code, 'SIGNALBOX_FORMAT_LIMIT')
  })

  test('who stops reading ends the source; what fails in the source comes through', async () => {
    let ended = false
    async function* source() {
      try {
        for (;;) yield Buffer.from('a\nb\n')
      } finally {
        ended = true
      }
    }
    for await (const line of text.split!(source(), LIMITS)) if (line === 'b') break
    assert.ok(ended)
    async function* broken() {
      yield Buffer.from('a\nb')
      throw new SignalboxError('SIGNALBOX_LINK_CLOSED', 'gone')
    }
    const lines: unknown[] = []
    await assert.rejects(
      async () => {
        for await (const line of text.split!(broken(), LIMITS)) lines.push(line)
      },
      { code: 'SIGNALBOX_LINK_CLOSED' },
    )
    assert.deepEqual(lines, ['a'])
  })

  test('several at once get different lines in their order', async () => {
    const iterator = text.split!([Buffer.from('a\nb'), Buffer.from('\nc\nd')], LIMITS)[Symbol.asyncIterator]()
    const all = await Promise.all(Array.from({ length: 6 }, () => iterator.next()))
    assert.deepEqual(
      all.map(({ value }) => value),
      ['a', 'b', 'c', 'd', undefined, undefined],
    )
  })

  test('a line break in a line cannot be written', async () => {
    await assert.rejects(joinAll(text, ['a\nb']), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
  })
})
