import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { refusal } from './edi-test-kit.ts'
import { EDIFACT_STRUCTURES } from './edifact-structures.ts'
import { HL7_STRUCTURES } from './hl7-structures.ts'
import { compileStructure, Flattener, Placer } from './structure.ts'
import { X12_STRUCTURES } from './x12-structures.ts'

function group(text: string, tags: string): unknown {
  const placer = new Placer(compileStructure(text))
  for (const [i, tag] of tags.split(' ').entries()) {
    if (!placer.place(tag, i)) return `no place for ${tag}`
  }
  return placer.content
}

function flat(text: string, content: unknown): string {
  const structure = compileStructure(text)
  const tags: string[] = []
  new Flattener('TEST', structure, tag => tags.push(tag)).run(structure, content, () => 'content')
  return tags.join(' ')
}

describe('structures', () => {
  test('nest by their triggers, innermost and later places first', () => {
    const text =
      'BGM DTM* refs(RFF DTM*) lines(LIN QTY* prices(PRI DTM*) refs(RFF DTM*)) UNS=S refs2(MOA RFF*)'
    assert.deepEqual(group(text, 'BGM DTM RFF DTM LIN QTY PRI DTM RFF LIN UNS MOA RFF'), {
      BGM: 0,
      DTM: [1],
      refs: [{ RFF: 2, DTM: [3] }],
      lines: [{ LIN: 4, QTY: [5], prices: [{ PRI: 6, DTM: [7] }], refs: [{ RFF: 8 }] }, { LIN: 9 }],
      UNS: 10,
      refs2: [{ MOA: 11, RFF: [12] }],
    })
    assert.equal(group(text, 'BGM BGM'), 'no place for BGM')
    assert.equal(group(text, 'BGM XXX'), 'no place for XXX')
    assert.deepEqual(group(text, 'LIN RFF QTY'), { lines: [{ LIN: 0, refs: [{ RFF: 1 }], QTY: [2] }] })
  })

  test('a group may begin with one of several segments', () => {
    const text = 'terms(PAT? PYT DTM*) END'
    assert.deepEqual(group(text, 'PYT DTM PAT PYT PYT'), {
      terms: [{ PYT: 0, DTM: [1] }, { PAT: 2, PYT: 3 }, { PYT: 4 }],
    })
  })

  test('what is grouped is flattened in order; what is missing and has a value is filled in', () => {
    assert.equal(
      flat('A1 g(B1 C1*) UNS=S D1', { D1: [], g: [{ C1: [[], []], B1: [] }, { B1: [] }] }),
      'B1 C1 C1 B1 UNS D1',
    )
    for (const content of [{ X1: [] }, { g: [{ C1: [[]] }] }, { g: {} }, { g: [7] }, 7, null, { C1: [] }]) {
      refusal('SIGNALBOX_CODEC_UNENCODABLE', () => flat('A1 g(B1 C1*) D1', content))
    }
    // Without END between them, the segment would be read as part of the group.
    refusal('SIGNALBOX_CODEC_UNENCODABLE', () =>
      flat('g(A1 B1) END h(B1)', { g: [{ A1: [] }], h: [{ B1: [] }] }),
    )
    assert.equal(flat('g(A1 B1) END h(B1)', { g: [{ A1: [] }], END: [], h: [{ B1: [] }] }), 'A1 END B1')
  })

  test('texts that are no structure say where', () => {
    for (const text of [
      '',
      '()',
      'a(',
      'a()',
      'A1)',
      'a(B1',
      'A1 A1',
      'a(B1) a(C1)',
      'A1**',
      '__proto__(A1)',
      'constructor(A1)',
      'TOOLONG',
      `${'a('.repeat(30)}A1${')'.repeat(30)}`,
    ]) {
      refusal('SIGNALBOX_OPTIONS_INVALID', () => compileStructure(text))
    }
  })

  test('whatever has a place is flattened to segments that have the same places', () => {
    const texts = [EDIFACT_STRUCTURES, X12_STRUCTURES, HL7_STRUCTURES].flatMap(each => Object.values(each))
    const cases = texts.map(text => [text, [...new Set(text.match(/\b[A-Z][A-Z0-9]{1,2}\b/g))]] as const)
    const sequence = fc
      .constantFrom(...cases)
      .chain(([text, tags]) =>
        fc.tuple(fc.constant(text), fc.array(fc.constantFrom(...tags), { maxLength: 40 })),
      )
    fc.assert(
      fc.property(sequence, ([text, tags]) => {
        const structure = compileStructure(text)
        const placer = new Placer(structure)
        for (const [i, tag] of tags.entries()) placer.place(tag, [String(i)])
        const again = new Placer(structure)
        try {
          new Flattener('TEST', structure, (tag, value) => again.place(tag, value)).run(
            structure,
            { ...placer.content },
            () => '',
          )
        } catch (error) {
          assert.equal((error as { code: string }).code, 'SIGNALBOX_CODEC_UNENCODABLE')
          return
        }
        const { UNS: _, ...rest } = again.content
        const { UNS: __, ...expected } = placer.content
        assert.deepEqual(rest, expected)
      }),
      { numRuns: 500 },
    )
  })
})
