/** Steps that change, check or end the message itself. */
import { SignalboxError } from '../../errors.ts'
import { type BodyFormat, type BodyLimits, codecOf, mediaTypeOf } from '../../message/formats.ts'
import { compileSchema, nearest, parseOptions, type SchemaViolation } from '../../schema.ts'
import { type Compiler, type Evaluate, isPromise, then, valuesOf } from '../compiling.ts'
import type { Exchange } from '../exchange.ts'

const MAX_SHOWN = 10
const MAX_LOGGED = 10_000

export const set: Compiler<'set'> = async c => {
  const { options } = c
  const payload = Object.hasOwn(options, 'payload') ? await c.value(options.payload!, 'payload') : undefined
  const headers = await valuesOf(c, options.headers, 'headers')
  const vars = await valuesOf(c, options.vars, 'vars')
  const hasHeaders = options.headers !== undefined
  const hasVars = options.vars !== undefined
  return x => {
    // All are asked about the message as it was.
    const h = hasHeaders ? headers(x) : []
    const v = hasVars ? vars(x) : []
    const p = payload?.(x)
    const apply = (h: [string, unknown][], v: [string, unknown][], p: unknown) => {
      for (const [name, value] of h) x.setHeader(name, value)
      for (const [name, value] of v) x.setVar(name, value)
      if (payload) x.payload = p
    }
    if (!isPromise(h) && !isPromise(v) && !isPromise(p)) return apply(h, v, p)
    return Promise.all([h, v, p]).then(all => apply(...all))
  }
}

export const transform: Compiler<'transform'> = async c => {
  const to = await c.evaluate(c.options.to, 'to')
  const put = (x: Exchange, value: unknown) => {
    x.payload = value
  }
  return x => {
    const value = to(x)
    if (isPromise(value)) return value.then(found => put(x, found))
    x.payload = value
    return undefined
  }
}

export const map: Compiler<'map'> = async c => {
  const { mapping, into } = c.options
  const evaluator = await c.ports.seams.mapping(mapping)
  return x => {
    const { headers, vars, cid, identity } = x
    return then(evaluator.run(x.payload, { headers, vars, cid, identity }), value => {
      if (into === undefined) x.payload = value
      else x.setVar(into, value)
    })
  }
}

/** The codec of a format, with options that were checked. Throws SIGNALBOX_ROUTE_INVALID. */
export function formatOf(name: string, options: object | undefined) {
  const codec = codecNamed(name)
  const checked =
    codec.options === undefined
      ? options
      : parseOptions<object>(
          codec.options,
          options ?? {},
          `options of format ${name}`,
          'SIGNALBOX_ROUTE_INVALID',
        )
  if (codec.options === undefined && options !== undefined && Object.keys(options).length > 0) {
    throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', `the format ${name} has no options`)
  }
  return { codec, options: checked }
}

function codecNamed(name: string) {
  const codec = codecOf(name as BodyFormat)
  if (codec && /^[a-z0-9-]+$/.test(name) && name !== 'constructor') return codec
  const near = nearest(name, ['json', 'xml', 'form', 'text', 'msgpack', 'csv', 'edifact'])
  const hint = near ? `; did you mean '${near}'?` : ''
  throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', `there is no format '${name}'${hint}`)
}

export const parse: Compiler<'parse'> = c => {
  const { codec, options } = formatOf(c.options.format, c.options.options)
  const limits: BodyLimits = { maxDepth: c.options.maxDepth! }
  return x => {
    x.payload = codec.parse(bytesOf(x.payload, c.options.format), limits, options)
  }
}

/** The bytes of a body. Throws SIGNALBOX_FORMAT_INVALID for what is none. */
export function bytesOf(payload: unknown, format: string): Buffer {
  if (Buffer.isBuffer(payload)) return payload
  if (payload instanceof Uint8Array) {
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  }
  if (typeof payload === 'string') return Buffer.from(payload)
  throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', `${format}: the payload is no text and no bytes`)
}

export const build: Compiler<'build'> = c => {
  const { format } = c.options
  const { codec, options } = formatOf(format, c.options.options)
  const mediaType = mediaTypeOf(format as BodyFormat)
  return x => {
    x.payload = codec.build(x.payload, options)
    x.setHeader('content-type', mediaType)
  }
}

export const validate: Compiler<'validate'> = async c => {
  const { schema, with: name } = c.options
  const check = schema ? compileSchema(schema as never) : await c.ports.seams.validator(name!)
  return x => {
    const violations = check(x.payload)
    if (violations && violations.length > 0) throw invalid(c.id, violations)
  }
}

function invalid(step: string, all: readonly SchemaViolation[]): SignalboxError {
  const shown = all.slice(0, MAX_SHOWN).map(({ pointer, rule }) => `${pointer || '(all)'} ${rule}`)
  if (all.length > MAX_SHOWN) shown.push(`and ${all.length - MAX_SHOWN} more`)
  return new SignalboxError('SIGNALBOX_INPUT_INVALID', `step ${step}: ${shown.join('; ')}`, {
    details: { step, errors: all.slice(0, 1_000) },
  })
}

export const log: Compiler<'log'> = async c => {
  const message: Evaluate = await c.evaluate(c.options.message, 'message')
  const level = c.options.level!
  return x =>
    then(message(x), value => {
      const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing')
      x.context.log[level]({ step: c.id }, text.slice(0, MAX_LOGGED))
    })
}

export const fail: Compiler<'fail'> = async c => {
  const { code = 'SIGNALBOX_REQUEST_REFUSED', status } = c.options
  const message = await c.evaluate(c.options.message, 'message')
  return x =>
    then(message(x), text => {
      throw new SignalboxError(code, String(text).slice(0, MAX_LOGGED), {
        details: { step: c.id },
        ...(status !== undefined && { status }),
      })
    })
}

export const stop: Compiler<'stop'> = c => {
  const { status } = c.options
  return x => {
    x.stopped = true
    if (status !== undefined) x.context.response.status = status
  }
}
