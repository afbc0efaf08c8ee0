/** HL7 version 2 (chapter 2: messages, batches, escapes). MLLP, which carries such messages over TCP, is a transport. */
import type { BodyLimits, ByteSource, FormatCodec } from '../format.ts'
import { invalid } from './errors.ts'
import { DEFAULT_HL7_OPTIONS, HL7_OPTIONS, type Hl7Options } from './hl7-options.ts'
import { type Hl7Batch, type Hl7Body, type Hl7Item, Hl7Reader } from './hl7-reader.ts'
import { Hl7Writer } from './hl7-writer.ts'
import { joined, joinRecords } from './pieces.ts'

/**
 * HL7 messages. `parse` gives `{ messages }`, or `{ FHS?, batches, FTS? }`: see {@link Hl7Body}. A message is
 * `{ type, reference, MSH, segments }`; PID-3.1 of the first repetition is at `fields.3[0].1` of its segment PID, and
 * `hl7Get(message, 'PID-3.1')` finds it.
 */
export const hl7: FormatCodec<Partial<Hl7Options>> = {
  mediaTypes: ['x-application/hl7-v2+er7', 'application/hl7-v2', 'application/hl7-v2+er7'],
  options: HL7_OPTIONS,
  parse: (bytes, limits, options) => parse(bytes, limits, { ...DEFAULT_HL7_OPTIONS, ...options }),
  build(value, options) {
    const writer = new Hl7Writer({ ...DEFAULT_HL7_OPTIONS, ...options })
    writer.record(value, '')
    writer.end()
    return joined(writer.take())
  },
  split: (source, limits, options) => split(source, limits, { ...DEFAULT_HL7_OPTIONS, ...options }),
  join(records, given) {
    const options = { ...DEFAULT_HL7_OPTIONS, ...given }
    return joinRecords(new Hl7Writer(options), options.by, records)
  },
}

function parse(bytes: Buffer, limits: BodyLimits, options: Hl7Options): Hl7Body {
  const reader = new Hl7Reader(limits, options, false)
  reader.push(bytes)
  reader.end()
  const body: Hl7Body = {}
  let batch: Hl7Batch | undefined
  for (const items of [reader.items(), reader.finish()]) {
    for (const item of items) {
      if (item.kind === 'message') {
        if (body.batches && !batch) {
          batch = { messages: [] }
          body.batches.push(batch)
        }
        if (!batch) body.messages ??= []
        const list = batch?.messages ?? body.messages!
        list.push(item.message)
      } else if (item.kind === 'envelope') batch = enter(body, batch, item, reader)
    }
  }
  if (reader.problems.length > 0) body.problems = reader.problems
  return body
}

/** The batch that messages belong to after an envelope segment. */
function enter(
  body: Hl7Body,
  batch: Hl7Batch | undefined,
  { segment: { tag, fields } }: Hl7Item & { kind: 'envelope' },
  reader: Hl7Reader,
): Hl7Batch | undefined {
  if (tag === 'FHS') {
    if (body.batches)
      throw invalid('HL7', 'a file begins after another; read the body as a stream', reader.place(tag))
    body.FHS = fields
    body.batches = []
    return undefined
  }
  if (tag === 'FTS') body.FTS = fields
  else if (tag === 'BTS') batch!.BTS = fields
  else {
    const begun: Hl7Batch = { BHS: fields, messages: [] }
    body.batches ??= []
    body.batches.push(begun)
    return begun
  }
  return undefined
}

async function* split(
  source: ByteSource,
  limits: BodyLimits,
  options: Hl7Options,
): AsyncGenerator<unknown, void> {
  const reader = new Hl7Reader(limits, options, options.by === 'segment')
  const records = new Records()
  function* ready(items: Iterable<Hl7Item>) {
    for (const item of items) {
      const record = records.next(item)
      if (record === undefined) continue
      reader.renewBudget()
      yield record
    }
  }
  for await (const chunk of source) {
    reader.push(chunk)
    yield* ready(reader.items())
  }
  reader.end()
  yield* ready(reader.items())
  yield* ready(reader.finish())
  if (reader.problems.length > 0) yield { messages: [], problems: reader.problems }
}

/** Makes records of items: bodies of one message each, or segments. */
class Records {
  #file: Hl7Body['FHS']
  #batch: Hl7Batch['BHS']

  next(item: Hl7Item): unknown {
    if (item.kind === 'segment') return item.segment
    if (item.kind === 'message') {
      const messages = [item.message]
      if (!this.#file && !this.#batch) return { messages }
      const batches = [this.#batch ? { BHS: this.#batch, messages } : { messages }]
      return this.#file ? { FHS: this.#file, batches } : { batches }
    }
    const { tag, fields } = item.segment
    if (tag === 'FHS' || tag === 'FTS') this.#file = tag === 'FHS' ? fields : undefined
    else this.#batch = tag === 'BHS' ? fields : undefined
    return undefined
  }
}
