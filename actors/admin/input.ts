/** What a request says, checked against the schemas of its handler. */
import type { IncomingHttpHeaders } from 'node:http'
import { SignalboxError } from '../../core/errors.ts'
import { parseOptions, type TSchema, Type } from '../../core/schema.ts'
import type { HandlerSchema } from './schemas.ts'

const NOTHING = Type.Object({}, { additionalProperties: false })
const MAX_QUERY_PARAMETERS = 32

/** The checked parameters of the path. Throws SIGNALBOX_INPUT_INVALID. */
export function readParams(
  schema: HandlerSchema,
  params: Record<string, string | undefined>,
): Record<string, string> {
  return parseOptions(schema.params ?? NOTHING, { ...params }, 'path', 'SIGNALBOX_INPUT_INVALID')
}

/** The checked query with defaults and numbers. Throws SIGNALBOX_INPUT_INVALID, also for unknown names. */
export function readQuery(schema: HandlerSchema, search: string): Record<string, unknown> {
  const types = propertiesOf(schema.query)
  const query: Record<string, unknown> = Object.create(null)
  const pairs = [...new URLSearchParams(search)]
  if (pairs.length > MAX_QUERY_PARAMETERS)
    throw invalid(`the query has more than ${MAX_QUERY_PARAMETERS} parameters`)
  for (const [name, value] of pairs) {
    if (name in query) throw invalid(`query: '${name}' is given more than once`)
    const isNumber = Object.hasOwn(types, name) && types[name]!.type === 'integer' && /^\d{1,15}$/.test(value)
    query[name] = isNumber ? Number(value) : value
  }
  return parseOptions(schema.query ?? NOTHING, { ...query }, 'query', 'SIGNALBOX_INPUT_INVALID')
}

/** The checked JSON body. Throws SIGNALBOX_INPUT_INVALID. */
export function checkBody(schema: TSchema | undefined, body: unknown): unknown {
  if (schema === undefined || propertiesOf(schema) === ANYTHING) return body
  if (body === undefined) throw invalid('there is no body; this route takes a JSON object')
  let whole = WRAPPED.get(schema)
  if (whole === undefined) {
    whole = Type.Object({ body: schema })
    WRAPPED.set(schema, whole)
  }
  return parseOptions<{ body: unknown }>(whole, { body }, 'request', 'SIGNALBOX_INPUT_INVALID').body
}

/** Bodies inside an object, because parseOptions takes null for an empty object. */
const WRAPPED = new WeakMap<TSchema, TSchema>()
const ANYTHING: Record<string, { type?: unknown }> = {}

function propertiesOf(schema: TSchema | undefined): Record<string, { type?: unknown }> {
  if (schema === undefined) return {}
  const { type, properties } = schema as { type?: unknown; properties?: Record<string, { type?: unknown }> }
  return type === undefined ? ANYTHING : (properties ?? {})
}

/**
 * What If-Match says (RFC 9110, 13.1.1): a revision, quoted or bare, or an etag. Throws SIGNALBOX_INPUT_INVALID for conditions that
 * cannot be kept: to do as if they were not there would overwrite what they protect.
 */
export function readCondition(
  headers: IncomingHttpHeaders,
  conditional: HandlerSchema['conditional'],
): { ifRevision: number | undefined; ifEtag: string | undefined } {
  const given = headers['if-match']
  if (conditional === undefined) return NO_CONDITION
  if (headers['if-none-match'] !== undefined)
    throw invalid('If-None-Match is not supported here; use If-Match')
  if (given === undefined) return NO_CONDITION
  if (conditional === 'revision') return { ...NO_CONDITION, ifRevision: revisionOf(given) }
  const tag = /^"([\x21\x23-\x7e]{1,128})"$/.exec(given.trim())?.[1]
  if (tag === undefined) throw invalid('If-Match is not the one quoted ETag of a difference')
  return { ...NO_CONDITION, ifEtag: tag }
}

const NO_CONDITION = { ifRevision: undefined, ifEtag: undefined }

function revisionOf(given: string): number {
  const [, quoted, bare] = /^(?:"(\d{1,15})"|(\d{1,15}))$/.exec(given.trim()) ?? []
  const revision = quoted ?? bare
  if (revision === undefined) throw invalid('If-Match is not one revision, e.g. "7"')
  return Number(revision)
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_INPUT_INVALID', message, {
    details: { fix: 'Mend the request; GET /v1/admin.json describes what each route takes.' },
  })
}
