/** XML: parsing and building, beside fast-xml-parser and the engine's own JSON of the same content. */
import { readFileSync } from 'node:fs'
import { XMLBuilder, XMLParser } from 'fast-xml-parser'
import { buildXml, parseXml, xmlToObject } from '../core/message/xml.ts'
import { ROUND_MS, ROUNDS, WARM_UPS } from './measure.ts'
import type { BenchRow } from './row.ts'

const DOCUMENT = new URL('../examples/invoice-hub/data/en16931/ubl-tc434-example4.xml', import.meta.url)

type Subjects = Record<string, () => unknown>

/** An 8 KiB invoice: XML to elements and to data, data and elements to XML. */
export async function run(): Promise<BenchRow[]> {
  const bytes = readFileSync(DOCUMENT)
  const text = bytes.toString()
  const tree = parseXml(bytes)
  const data = xmlToObject(tree)
  const json = JSON.stringify(data)
  const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '@', parseTagValue: false })
  const builder = new XMLBuilder({ ignoreAttributes: false, attributeNamePrefix: '@' })
  const peerData: unknown = parser.parse(text)

  const parsing = race({
    elements: () => parseXml(bytes),
    data: () => xmlToObject(parseXml(bytes)),
    'fast-xml-parser': () => parser.parse(text),
    'JSON.parse': () => JSON.parse(json),
  })
  const building = race({
    data: () => buildXml(data),
    elements: () => buildXml(tree),
    'fast-xml-parser': () => builder.build(peerData),
    'JSON.stringify': () => JSON.stringify(data),
  })
  return [
    row(
      'XML to elements, 8 KiB',
      parsing,
      'elements',
      'JSON.parse',
      'at least 8x fast-xml-parser, 0.3 of JSON.parse',
    ),
    row(
      'XML to data, 8 KiB',
      parsing,
      'data',
      'JSON.parse',
      'at least 8x fast-xml-parser, 0.3 of JSON.parse',
    ),
    row('data to XML, 8 KiB', building, 'data', 'JSON.stringify', 'at least 8x fast-xml-parser'),
    row('elements to XML, 8 KiB', building, 'elements', 'JSON.stringify', 'at least 8x fast-xml-parser'),
  ]
}

function row(
  name: string,
  rates: Record<string, number>,
  own: string,
  limit: string,
  goal: string,
): BenchRow {
  const peers = { 'fast-xml-parser': rates['fast-xml-parser']! }
  return { name, value: rates[own]!, unit: 'documents/s', limit: rates[limit]!, peers, goal }
}

/** Runs each subject in turn, round after round, so that a slow moment of the machine hits all; medians per second. */
function race(subjects: Subjects): Record<string, number> {
  const rates: Record<string, number[]> = Object.fromEntries(Object.keys(subjects).map(name => [name, []]))
  for (let round = 0; round < WARM_UPS + ROUNDS; round++) {
    for (const [name, subject] of Object.entries(subjects)) {
      const rate = measure(subject)
      if (round >= WARM_UPS) rates[name]!.push(rate)
    }
  }
  return Object.fromEntries(Object.entries(rates).map(([name, list]) => [name, median(list)]))
}

function measure(subject: () => unknown): number {
  const start = performance.now()
  let runs = 0
  let now = start
  while (now - start < ROUND_MS) {
    for (let i = 0; i < 20; i++) subject()
    runs += 20
    now = performance.now()
  }
  return (runs / (now - start)) * 1000
}

function median(list: number[]): number {
  return list.sort((a, b) => a - b)[list.length >> 1]!
}
