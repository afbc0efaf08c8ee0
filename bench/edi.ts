/** EDIFACT, X12 and HL7: parsing and building, beside the engine's own JSON of the same content. */
import { readFileSync } from 'node:fs'
import { type BodyFormat, buildBody, parseBody } from '../core/message/formats.ts'
import { race } from './measure.ts'
import type { BenchRow } from './row.ts'

const INVOICE = new URL('../examples/invoice-hub/data/en16931/EDIFACT_EXAMPLE1.TXT', import.meta.url)
const LIMITS = { maxDepth: 64 }
const GOAL = 'at least 0.3 of JSON'
/** Each segment is looked up a second time: who reads must find it in the same group. */
const GOAL_GROUPS = 'at least 0.2 of JSON'

/** Documents of about 10 KiB as segments, and EDIFACT also in groups. */
export async function run(): Promise<BenchRow[]> {
  return [
    ...(await rows('EDIFACT invoice', 'edifact', edifactInvoice())),
    ...(await rows('EDIFACT invoice in groups', 'edifact', edifactInvoice(), { group: true })),
    ...(await rows('X12 810', 'x12', x12Invoice())),
    ...(await rows('HL7 result', 'hl7', hl7Result())),
  ]
}

async function rows(name: string, format: BodyFormat, body: Buffer, options?: object): Promise<BenchRow[]> {
  const value = parseBody(format, body, LIMITS, options)
  const json = JSON.stringify(value)
  const kib = (body.length / 1024).toFixed(1)
  const rates = await race(
    {
      parse: repeat(() => parseBody(format, body, LIMITS, options)),
      'JSON.parse': repeat(() => JSON.parse(json)),
      build: repeat(() => buildBody(format, value, options)),
      'JSON.stringify': repeat(() => JSON.stringify(value)),
    },
    32,
  )
  const row = (verb: string, own: string, limit: string, goal = GOAL): BenchRow => ({
    name: `${verb} ${name}, ${kib} KiB`,
    value: rates[own]!,
    unit: 'documents/s',
    limit: rates[limit]!,
    goal,
  })
  return [
    row('parse', 'parse', 'JSON.parse'),
    {
      name: `parse ${name}, volume`,
      value: (rates.parse! * body.length) / 1e6,
      unit: 'MB/s',
    },
    row('build', 'build', 'JSON.stringify', options ? GOAL_GROUPS : GOAL),
  ]
}

function repeat(run: () => unknown): (count: number) => void {
  return count => {
    for (let i = 0; i < count; i++) run()
  }
}

/** The lines of a real invoice three times over. */
function edifactInvoice(): Buffer {
  const text = readFileSync(INVOICE, 'utf8')
  const from = text.indexOf('LIN+1')
  const to = text.indexOf('UNS+S')
  const lines = text.slice(from, to)
  const count = 171 + 4 * (lines.split("'\n").length - 1)
  return Buffer.from(
    `${text.slice(0, from)}${lines.repeat(5)}${text.slice(to)}`
      .replace('UNT+171', `UNT+${count}`)
      .replace('UNZ+1+12115118', 'UNZ+1+87846595'),
  )
}

function x12Invoice(): Buffer {
  const isa = `ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *260101*1200*^*00501*000000001*0*P*:~`
  const head =
    'ST*810*0001~BIG*20260101*INV-1**PO-9~N1*ST*Acme Corporation*92*123~N3*Main Street 1~N4*Town*NY*12345~'
  const lines = Array.from(
    { length: 110 },
    (_, i) =>
      `IT1*${i + 1}*2*EA*3.5**BP*PART-${i}*VP*V-${i}~PID*F****Something that costs money~TXI*ST*0.25~`,
  )
  const count = 5 + 3 * lines.length + 3
  const message = `${head}${lines.join('')}TDS*77000~CTT*${lines.length}~SE*${count}*0001~`
  return Buffer.from(`${isa}GS*IN*S*R*20260101*1200*1*X*005010~${message}GE*1*1~IEA*1*000000001~`)
}

function hl7Result(): Buffer {
  const head =
    'MSH|^~\\&|LAB|H|EHR|H|20260101120000||ORU^R01^ORU_R01|1|P|2.5.1\rPID|1||7^^^H&1.2.3&ISO^MR||DOE^JANE^Q||19610615|F\rOBR|1||L1|CBC^Blood count^LN\r'
  const results = Array.from(
    { length: 140 },
    (_, i) => `OBX|${i + 1}|NM|718-${i}^Hemoglobin^LN||13.${i}|g/dl|12-16||||F|||20260101\r`,
  )
  return Buffer.from(head + results.join(''))
}
