/**
 * Spans on their way to the thread that exports them: numbers in one array and all text in one string, because copying
 * two values to another thread costs a fraction of copying an object for each span.
 */

/** What the spans of one actor have in common. Sent once; spans name it by its id. */
export interface SpanTemplate {
  id: number
  name: string
  /** SpanKind of OpenTelemetry's API. */
  kind: number
  attributes: Readonly<Record<string, string | number>>
  /** Names of the attributes that each span gives values for, in order. */
  keys: readonly string[]
}

export type SpanValue = string | number | undefined

/** A finished span. Times are `performance.now()` of the thread that made it. */
export interface SpanRecord {
  template: SpanTemplate
  traceId: string
  spanId: string
  /** Empty: the trace begins here. */
  parentId: string
  /** The tracestate; empty when there is none. */
  state: string
  startMs: number
  endMs: number
  /** Text of the failure; undefined when it did not fail. */
  failure: string | undefined
  /** As many as the template has keys. */
  values: readonly SpanValue[]
}

/** Plain data that is posted. */
export interface PackedSpans {
  count: number
  /** Milliseconds since the epoch at which `performance.now()` was 0. */
  originMs: number
  /** The templates of earlier batches are not named again before they were sent again. */
  forget: boolean
  /** Templates that no batch before has named. */
  templates: SpanTemplate[]
  numbers: Float64Array<ArrayBuffer>
  text: string
}

export const MAX_BATCH = 512
/** Text of spans may come from outside: a batch ends when it has much of it. */
const MAX_TEXT = 262_144
const FIXED = 6
const MAX_KEYS = 16
/** Template, times, three lengths, and for each key at most two numbers. */
const MAX_NUMBERS = FIXED + 2 * MAX_KEYS
const AVERAGE_NUMBERS = 20
const TRACE_DIGITS = 32
const SPAN_DIGITS = 16
/** Stand where the length of a text would. */
const ABSENT = -1
const NUMBER = -2

export class SpanBatch {
  count = 0
  readonly #numbers = new Float64Array(MAX_BATCH * AVERAGE_NUMBERS)
  #at = 0
  #text = ''
  #templates: SpanTemplate[] = []
  #forget = false

  /** Whether the next span needs another batch. */
  get full(): boolean {
    return (
      this.count >= MAX_BATCH ||
      this.#text.length >= MAX_TEXT ||
      this.#at + MAX_NUMBERS > this.#numbers.length
    )
  }

  /** To be called before the first span that names it. */
  define(template: SpanTemplate): void {
    this.#templates.push(template)
  }

  /** Tells the other side to forget the templates of the batches before this one. */
  forget(): void {
    this.#forget = true
  }

  add(span: SpanRecord): void {
    const numbers = this.#numbers
    let at = this.#at
    numbers[at++] = span.template.id
    numbers[at++] = span.startMs
    numbers[at++] = span.endMs
    numbers[at++] = span.parentId.length
    numbers[at++] = span.state.length
    numbers[at++] = span.failure === undefined ? ABSENT : span.failure.length
    let text = span.traceId + span.spanId + span.parentId + span.state
    if (span.failure !== undefined) text += span.failure
    for (const value of span.values) {
      if (typeof value === 'string') {
        numbers[at++] = value.length
        text += value
      } else if (value === undefined) {
        numbers[at++] = ABSENT
      } else {
        numbers[at++] = NUMBER
        numbers[at++] = value
      }
    }
    this.#text += text
    this.#at = at
    this.count++
  }

  /** What was added; the batch is empty after that. */
  take(originMs: number): PackedSpans {
    const numbers = this.#numbers.slice(0, this.#at)
    const packed = {
      count: this.count,
      originMs,
      forget: this.#forget,
      templates: this.#templates,
      numbers,
      text: this.#text,
    }
    this.#forget = false
    this.count = 0
    this.#at = 0
    this.#text = ''
    this.#templates = []
    return packed
  }
}

/** The spans of a batch. `known` holds the templates by id, and gets those of this batch. */
export function unpackSpans(packed: PackedSpans, known: Map<number, SpanTemplate>): SpanRecord[] {
  if (packed.forget) known.clear()
  for (const template of packed.templates) known.set(template.id, template)
  const { numbers, text } = packed
  let at = 0
  let begin = 0
  const next = (length: number) => {
    begin += length
    return text.slice(begin - length, begin)
  }
  const value = (): SpanValue => {
    const length = numbers[at++]!
    if (length === ABSENT) return undefined
    return length === NUMBER ? numbers[at++] : next(length)
  }
  return Array.from({ length: packed.count }, () => {
    const template = known.get(numbers[at++]!)!
    const startMs = numbers[at++]!
    const endMs = numbers[at++]!
    const parentLength = numbers[at++]!
    const stateLength = numbers[at++]!
    const failureLength = numbers[at++]!
    return {
      template,
      startMs,
      endMs,
      traceId: next(TRACE_DIGITS),
      spanId: next(SPAN_DIGITS),
      parentId: next(parentLength),
      state: next(stateLength),
      failure: failureLength === ABSENT ? undefined : next(failureLength),
      values: template.keys.map(value),
    }
  })
}
