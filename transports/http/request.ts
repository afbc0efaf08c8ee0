/** From what a service asks for to what goes over the wire. Everything here may come from a hostile message. */
import { Readable } from 'node:stream'
import { SignalboxError } from '../../core/errors.ts'

type Scalar = string | number | boolean

/** One request of an HTTP connection. At most one of `body`, `json`, `form` and `stream`. */
export interface HttpRequest {
  /** Default: GET, or POST when there is a body. */
  method?: string
  /** Below the base URL, with `{name}` for parameters. Default `/`. */
  path?: string
  /** An absolute URL instead of `path`, only with `targets.dynamic`; it gets no credentials of the connection. */
  url?: string
  /** Values for the parameters in `path`; they are percent-encoded. */
  pathParams?: Record<string, Scalar>
  /** Query parameters; a list repeats its name, undefined leaves it out. */
  query?: Record<string, Scalar | readonly Scalar[] | undefined>
  headers?: Record<string, string>
  body?: string | Uint8Array
  json?: unknown
  form?: Record<string, Scalar | readonly Scalar[]>
  /** Sent with back-pressure; such a request is never repeated. */
  stream?: AsyncIterable<Uint8Array | string>
  /** Time for all tries together, in milliseconds. Default: `timeouts.totalMs`. */
  timeoutMs?: number
  signal?: AbortSignal
  /** Sent as `x-signalbox-cid`. */
  cid?: string
  /** W3C trace context. */
  traceparent?: string
  /** Whether status 400 and more is an error. Default: the connection's `errorStatus`. */
  errorStatus?: 'throw' | 'return'
}

/** A body with the media type it has unless the caller says otherwise. */
export interface EncodedBody {
  body: string | Uint8Array | Readable | null
  type: string | undefined
  replayable: boolean
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
// What undici writes itself, and what belongs to one hop (RFC 9110, section 7.6.1).
const RESERVED = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** The method in capitals. Throws SIGNALBOX_USAGE for CONNECT, TRACE and nonsense. */
export function methodOf(request: HttpRequest): string {
  const hasBody = [request.body, request.json, request.form, request.stream].some(body => body !== undefined)
  const method = (request.method ?? (hasBody ? 'POST' : 'GET')).toUpperCase()
  if (!/^[A-Z-]{1,32}$/.test(method) || method === 'CONNECT' || method === 'TRACE') {
    throw usage(`method ${JSON.stringify(method)} is not accepted`)
  }
  return method
}

/** The URL below `base` (which has no final slash in its path). Throws when the path would leave it. */
export function urlBelow(base: URL, request: HttpRequest): URL {
  const path = fill(request.path ?? '/', request.pathParams ?? {})
  if (!path.startsWith('/') || /[\\#]/.test(path) || hasControl(path)) {
    throw usage(
      `path ${JSON.stringify(path)} must start with / and hold no backslash, # or control character`,
    )
  }
  const dots = path
    .split('?', 1)[0]!
    .split('/')
    .map(segment => segment.replace(/%2e/gi, '.'))
  if (dots.includes('.') || dots.includes('..')) throw usage(`path ${JSON.stringify(path)} has a dot segment`)
  const prefix = base.pathname.replace(/\/$/, '')
  const url = new URL(base.origin + prefix + path)
  if (url.origin !== base.origin) throw usage(`path ${JSON.stringify(path)} leaves ${base.origin}`)
  return withQuery(url, request.query)
}

/** An absolute URL from a message. */
export function urlFromMessage(request: HttpRequest): URL {
  if (request.path !== undefined || request.pathParams !== undefined)
    throw usage('give either path or url, not both')
  const url = URL.parse(request.url!)
  if (!url) throw usage(`url ${JSON.stringify(request.url!.slice(0, 200))} is not a URL`)
  url.hash = ''
  return withQuery(url, request.query)
}

/** Copies headers with names in lower case. Throws SIGNALBOX_USAGE for names or values that are no header. */
export function checkHeaders(headers: Record<string, string>): Record<string, string> {
  const checked: [string, string][] = []
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (!TOKEN.test(name)) throw usage(`header name ${JSON.stringify(name.slice(0, 100))} is not a token`)
    if (RESERVED.has(lower)) throw usage(`header ${lower} is set by the connection itself`)
    if (typeof value !== 'string' || !isFieldValue(value)) {
      throw usage(`header ${lower} must be one line of visible Latin-1 text`)
    }
    checked.push([lower, value])
  }
  return Object.fromEntries(checked)
}

/** The bytes of a request's body. */
export function encodeBody(request: HttpRequest): EncodedBody {
  const given = (['body', 'json', 'form', 'stream'] as const).filter(name => request[name] !== undefined)
  if (given.length > 1) throw usage(`give one of ${given.join(', ')}, not all`)
  const { body, json, form, stream } = request
  if (stream !== undefined) {
    return {
      body: Readable.from(stream, { objectMode: false }),
      type: 'application/octet-stream',
      replayable: false,
    }
  }
  if (json !== undefined) return { body: toJson(json), type: 'application/json', replayable: true }
  if (form !== undefined) {
    const body = String(append(new URLSearchParams(), form))
    return { body, type: 'application/x-www-form-urlencoded', replayable: true }
  }
  if (body === undefined) return { body: null, type: undefined, replayable: true }
  const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/octet-stream'
  return { body, type, replayable: true }
}

function toJson(value: unknown): string {
  try {
    const text: string | undefined = JSON.stringify(value)
    if (text !== undefined) return text
  } catch (cause) {
    throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `json: ${(cause as Error).message}`, { cause })
  }
  throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', `json: ${typeof value} has no JSON form`)
}

function fill(template: string, params: Record<string, Scalar>): string {
  const unused = new Set(Object.keys(params))
  const path = template.replace(/\{([^{}/]+)\}/g, (_, name: string) => {
    if (!Object.hasOwn(params, name)) throw usage(`path ${template}: pathParams.${name} is missing`)
    unused.delete(name)
    const value = String(params[name])
    // '.' and '..' stay as they are under percent-encoding, and an empty segment changes which path is meant.
    if (value === '' || value === '.' || value === '..')
      throw usage(`pathParams.${name} must not be '${value}'`)
    return encodeURIComponent(value)
  })
  if (unused.size > 0) throw usage(`path ${template} has no parameter ${[...unused].join(', ')}`)
  return path
}

function withQuery(url: URL, query: HttpRequest['query']): URL {
  if (query) append(url.searchParams, query)
  return url
}

function append(to: URLSearchParams, values: NonNullable<HttpRequest['query']>): URLSearchParams {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? (value as Scalar[]) : [value as Scalar])
      to.append(name, String(one))
  }
  return to
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 || unit === 0x7f) return true
  }
  return false
}

/** RFC 9110, section 5.5: no CR, LF, NUL or other control character but tab, and nothing beyond Latin-1. */
function isFieldValue(value: string): boolean {
  for (let i = 0; i < value.length; i++) {
    const unit = value.charCodeAt(i)
    if ((unit < 0x20 && unit !== 0x09) || unit === 0x7f || unit > 0xff) return false
  }
  return true
}

function usage(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_USAGE', `HTTP request: ${message}`)
}
