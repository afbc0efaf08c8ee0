/** Splitter: each part of a message on its own, as many at once as are allowed; a stream is never held as a whole. */
import { Readable } from 'node:stream'
import { SignalboxError, toSignalboxError } from '../../errors.ts'
import type { FormatCodec } from '../../message/formats.ts'
import { type Compiler, type Compiling, type Evaluate, type Run, shown } from '../compiling.ts'
import { CORRELATION, type Exchange, SEQUENCE_NUMBER, SEQUENCE_SIZE } from '../exchange.ts'
import { bytesOf, formatOf } from './message.ts'

const MAX_ERRORS = 100
const MAX_LISTED = 1_000_000
const RECORD_LIMITS = { maxDepth: 64 }

type Parts = Iterable<unknown> | AsyncIterable<unknown>

export const split: Compiler<'split'> = async c => {
  const { each, format, options, parallel, onError, result, maxParts } = c.options
  const run = await c.steps(c.options.steps)
  const evaluate = each === undefined ? undefined : await c.evaluate(each, 'each')
  const reader = format === undefined ? undefined : recordsOf(format, options)
  const settings = {
    parallel: parallel!,
    collect: onError === 'collect',
    list: result === 'list',
    maxParts: maxParts!,
  }
  return async x => {
    const parts = await partsOf(x, evaluate, reader)
    const { count, failed, errors, results } = await new Splitting(c, x, run, settings).run(parts)
    if (result === 'list') x.payload = results
    else if (result === 'summary') x.payload = { parts: count, failed, errors }
  }
}

async function partsOf(
  x: Exchange,
  each: Evaluate | undefined,
  reader: ((payload: unknown) => Parts) | undefined,
): Promise<Parts> {
  const value = each === undefined ? x.payload : await each(x)
  if (reader) return reader(value)
  if (value === undefined || value === null) return []
  if (typeof value === 'object' && (Symbol.iterator in value || Symbol.asyncIterator in value)) {
    if (!ArrayBuffer.isView(value)) return value as Parts
  }
  throw new SignalboxError(
    'SIGNALBOX_EXPRESSION_FAILED',
    `only a list or a stream can be split, and it is ${shown(value)}; give the format of a body`,
  )
}

/** Reads bodies record by record; what has no records is read as a whole, and must be a list then. */
function recordsOf(format: string, given: object | undefined): (payload: unknown) => Parts {
  const { codec, options } = formatOf(format, given)
  if (codec.split) return payload => codec.split!(sourceOf(payload, format), RECORD_LIMITS, options)
  return payload => whole(codec, payload, format, options)
}

async function* whole(codec: FormatCodec, payload: unknown, format: string, options: object | undefined) {
  const chunks: Uint8Array[] = []
  for await (const chunk of sourceOf(payload, format)) chunks.push(chunk)
  const value = codec.parse(Buffer.concat(chunks), RECORD_LIMITS, options)
  if (!Array.isArray(value)) {
    throw new SignalboxError(
      'SIGNALBOX_EXPRESSION_FAILED',
      `the ${format} body is no list; say with each where it is`,
    )
  }
  yield* value as unknown[]
}

function sourceOf(payload: unknown, format: string): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  if (payload instanceof Readable) return payload
  if (typeof payload === 'object' && payload !== null && Symbol.asyncIterator in payload) {
    return payload as AsyncIterable<Uint8Array>
  }
  return [bytesOf(payload, format)]
}

interface Settings {
  parallel: number
  collect: boolean
  list: boolean
  maxParts: number
}

class Splitting {
  readonly #x: Exchange
  /** What all parts have: the place of the whole in another whole is not theirs. */
  readonly #base: Exchange
  readonly #c: Compiling
  readonly #run: Run
  readonly #settings: Settings
  readonly #active = new Set<Promise<void>>()
  readonly #correlation: string
  readonly #results: unknown[] = []
  readonly #errors: object[] = []
  #count = 0
  #failed = 0
  #failure: SignalboxError | undefined

  constructor(c: Compiling, x: Exchange, run: Run, settings: Settings) {
    this.#c = c
    this.#x = x
    this.#base = x.copy(null)
    if (x.headers[SEQUENCE_SIZE] !== undefined) this.#base.setHeader(SEQUENCE_SIZE, null)
    this.#run = run
    this.#settings = settings
    // The same message that comes again gives parts of the same names.
    const outer = x.headers[SEQUENCE_NUMBER]
    this.#correlation = outer === undefined ? x.cid : `${x.headers[CORRELATION] ?? x.cid}:${outer}`
  }

  async run(parts: Parts) {
    const size = Array.isArray(parts) ? parts.length : undefined
    const { parallel, maxParts } = this.#settings
    // A list costs no promise for a part that is done at once.
    if (size !== undefined && parallel === 1) await this.#list(parts as unknown[], size)
    else {
      // The last part of a stream tells how many there were, so it is held back until the end is known.
      for await (const { part, last } of lookingAhead(parts)) {
        if (this.#failure) break
        if (this.#count >= maxParts) throw tooMany(maxParts)
        while (this.#active.size >= parallel) await Promise.race(this.#active)
        if (this.#failure) break
        this.#begin(part, size ?? (last ? this.#count + 1 : undefined))
      }
      await Promise.all(this.#active)
    }
    if (this.#failure) throw this.#failure
    return { count: this.#count, failed: this.#failed, errors: this.#errors, results: this.#results }
  }

  async #list(parts: unknown[], size: number): Promise<void> {
    if (size > this.#settings.maxParts) throw tooMany(this.#settings.maxParts)
    for (const part of parts) {
      this.#begin(part, size)
      if (this.#active.size > 0) await Promise.all(this.#active)
      if (this.#failure) return
    }
  }

  #begin(part: unknown, size: number | undefined): void {
    const number = ++this.#count
    const copy = this.#base.copy(part)
    const place = { [CORRELATION]: this.#correlation, [SEQUENCE_NUMBER]: String(number) }
    copy.withHeaders(size === undefined ? place : { ...place, [SEQUENCE_SIZE]: String(size) })
    try {
      this.#x.signal.throwIfAborted()
      const pending = this.#run(copy)
      if (pending === undefined) {
        this.#done(number, copy)
        return
      }
      const following: Promise<void> = pending
        .then(() => this.#done(number, copy))
        .catch(thrown => this.#fail(number, thrown, copy))
        .finally(() => this.#active.delete(following))
      this.#active.add(following)
    } catch (thrown) {
      this.#fail(number, thrown, copy)
    }
  }

  #done(number: number, copy: Exchange): void {
    if (!this.#settings.list) return
    if (number > MAX_LISTED) throw tooMany(MAX_LISTED)
    this.#results[number - 1] = copy.stopped ? null : copy.payload
  }

  #fail(part: number, thrown: unknown, copy: Exchange): void {
    const error = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
    this.#failed++
    if (this.#errors.length < MAX_ERRORS)
      this.#errors.push({ part, code: error.code, message: error.message })
    if (this.#settings.list) this.#results[part - 1] = null
    if (!this.#settings.collect || this.#x.signal.aborted) {
      this.#failure ??= error
      this.#x.failedAt ??= copy.failedAt
    } else this.#c.log.debug({ route: this.#c.route, part, code: error.code }, 'a part failed')
  }
}

function tooMany(maxParts: number): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `the message has more than ${maxParts} parts`, {
    details: { limit: 'maxParts', max: maxParts },
  })
}

async function* lookingAhead(parts: Parts): AsyncGenerator<{ part: unknown; last: boolean }> {
  let held: { part: unknown } | undefined
  for await (const part of parts) {
    if (held) yield { ...held, last: false }
    held = { part }
  }
  if (held) yield { ...held, last: true }
}
