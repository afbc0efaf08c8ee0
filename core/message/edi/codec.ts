/** Makes a format of a dialect: whole bodies, and streams of messages or segments. */
import type { TSchema } from '../../schema.ts'
import type { BodyLimits, ByteSource, FormatCodec } from '../format.ts'
import type { Dialect, EdiInterchange, Item } from './dialect.ts'
import { invalid } from './errors.ts'
import { DEFAULT_EDI_OPTIONS, type EdiReadOptions } from './options.ts'
import { joined, joinRecords } from './pieces.ts'
import { EdiReader } from './reader.ts'
import type { EdiElement } from './syntax.ts'
import { EdiWriter } from './writer.ts'

export function ediCodec(
  dialect: Dialect,
  mediaTypes: FormatCodec['mediaTypes'],
  schema: TSchema,
): Required<Omit<FormatCodec<Partial<EdiReadOptions>>, 'suffix'>> {
  return {
    mediaTypes,
    options: schema,
    parse: (bytes, limits, options) => parse(dialect, bytes, limits, { ...DEFAULT_EDI_OPTIONS, ...options }),
    build(value, options) {
      const writer = new EdiWriter(dialect, { ...DEFAULT_EDI_OPTIONS, ...options, by: 'message' })
      writer.record(value, '')
      writer.end()
      return joined(writer.take())
    },
    split: (source, limits, options) =>
      split(dialect, source, limits, { ...DEFAULT_EDI_OPTIONS, ...options }),
    join(records, given) {
      const options = { ...DEFAULT_EDI_OPTIONS, ...given }
      return joinRecords(new EdiWriter(dialect, options), options.by, records)
    },
  }
}

function parse(dialect: Dialect, bytes: Buffer, limits: BodyLimits, options: EdiReadOptions): EdiInterchange {
  const reader = new EdiReader(dialect, limits, options, false)
  reader.push(bytes)
  reader.end()
  let whole: EdiInterchange | undefined
  for (const item of reader.items()) {
    if (item.kind !== 'interchange') add(dialect, whole!, item)
    else if (whole === undefined) whole = start(dialect, item.interchange)
    else {
      const why = 'a second interchange begins; read the body as a stream, which gives one after the other'
      throw invalid(dialect.name, why, reader.place(dialect.interchange.header))
    }
  }
  reader.finish()
  return whole!
}

function start(dialect: Dialect, interchange: Record<string, unknown>): EdiInterchange {
  return dialect.groupsOnly ? { interchange, groups: [] } : { interchange, messages: [] }
}

function add(dialect: Dialect, whole: EdiInterchange, item: Item): void {
  if (item.kind === 'message') {
    const list = whole.groups?.at(-1)?.messages ?? whole.messages!
    list.push(item.message)
  } else if (item.kind === 'group') {
    delete whole.messages
    whole.groups ??= []
    whole.groups.push({ [dialect.group.header]: item.header, messages: [] })
  } else if (item.kind === 'package') {
    whole.packages ??= []
    whole.packages.push(item.package)
  } else if (item.kind === 'end' && item.problems.length > 0) whole.problems = item.problems
}

async function* split(
  dialect: Dialect,
  source: ByteSource,
  limits: BodyLimits,
  options: EdiReadOptions,
): AsyncGenerator<unknown, void> {
  const reader = new EdiReader(dialect, limits, options, options.by === 'segment')
  const records = new Records(dialect)
  function* ready() {
    for (const item of reader.items()) {
      const record = records.next(item)
      if (record === undefined) continue
      reader.renewBudget()
      yield record
    }
  }
  for await (const chunk of source) {
    reader.push(chunk)
    yield* ready()
  }
  reader.end()
  yield* ready()
  reader.finish()
}

/** Makes records of items: interchanges of one message each, or segments. */
class Records {
  readonly #dialect: Dialect
  #interchange: Record<string, unknown> = {}
  #group: EdiElement[] | undefined

  constructor(dialect: Dialect) {
    this.#dialect = dialect
  }

  /** The record that the item completes. */
  next(item: Item): unknown {
    if (item.kind === 'segment') return item.segment
    if (item.kind === 'interchange') {
      this.#interchange = item.interchange
      this.#group = undefined
      return undefined
    }
    if (item.kind === 'group') {
      this.#group = item.header
      return undefined
    }
    if (item.kind === 'end' && item.problems.length === 0) return undefined
    const record = start(this.#dialect, this.#interchange)
    if (item.kind === 'message' && this.#group) {
      add(this.#dialect, record, { kind: 'group', header: this.#group })
    }
    add(this.#dialect, record, item)
    return record
  }
}
