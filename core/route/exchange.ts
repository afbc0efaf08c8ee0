/** One message on its way through a route. */
import { SignalboxError } from '../errors.ts'
import type { Identity, ServiceContext } from '../service/service.ts'
import { isUnsafeName } from './check.ts'
import type { RouteMessage } from './options.ts'

type Texts = Readonly<Record<string, string>>
type Vars = Readonly<Record<string, unknown>>

const NONE: Readonly<Record<string, never>> = Object.freeze({})
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/
const MAX_HEADER = 65_536

/** Headers that a split gives to its parts; aggregate and resequence read them. */
export const CORRELATION = 'sb-correlation-id'
export const SEQUENCE_NUMBER = 'sb-sequence-number'
export const SEQUENCE_SIZE = 'sb-sequence-size'
export const CLAIM = 'sb-claim'

export class Exchange implements RouteMessage {
  payload: unknown
  headers: Texts
  vars: Vars = NONE
  /** Headers that the route has set: they go along with what it sends. Those of its caller do not. */
  own: Texts = NONE
  /** What the bus gives to the handler of the message. */
  readonly context: ServiceContext
  /** Nothing that follows happens: the message was filtered out, or goes on later as another one. */
  stopped = false
  error: SignalboxError | undefined
  /** Step in which it failed, the innermost one. */
  failedAt: string | undefined
  /** How many there are in its group; for the condition of an aggregate. */
  size: number | undefined

  constructor(payload: unknown, headers: Texts, context: ServiceContext) {
    this.payload = payload
    this.headers = headers
    this.context = context
  }

  get cid(): string {
    return this.context.request.cid
  }

  get identity(): Identity | undefined {
    return this.context.request.identity
  }

  get signal(): AbortSignal {
    return this.context.request.signal
  }

  /** A message of its own with what this one has; payloads are shared until a step gives a new one. */
  copy(payload: unknown = this.payload): Exchange {
    const copy = new Exchange(payload, this.headers, this.context)
    copy.vars = this.vars
    copy.own = this.own
    copy.error = this.error
    return copy
  }

  /** Takes what another one has become. */
  become(other: Exchange): void {
    this.payload = other.payload
    this.headers = other.headers
    this.vars = other.vars
    this.own = other.own
    this.stopped = other.stopped
  }

  /** Takes headers that are known to be good, all at once. */
  withHeaders(headers: Texts): this {
    this.headers = { ...this.headers, ...headers }
    this.own = { ...this.own, ...headers }
    return this
  }

  /** Sets a header; null removes it. Throws SIGNALBOX_EXPRESSION_FAILED for what cannot be one. */
  setHeader(name: string, value: unknown): void {
    const key = name.toLowerCase()
    if (!HEADER_NAME.test(key) || isUnsafeName(key)) throw refused(`'${name}' is no name of a header`)
    const text = value === null || value === undefined ? undefined : headerText(name, value)
    this.headers = changed(this.headers, key, text)
    this.own = changed(this.own, key, text)
  }

  /** Sets a variable; null removes it. */
  setVar(name: string, value: unknown): void {
    if (isUnsafeName(name)) throw refused(`'${name}' is no name of a variable`)
    this.vars = changed(this.vars, name, value ?? undefined)
  }
}

/** A copy with one name more or less; what reaches a prototype is no name (see above). */
function changed<T>(
  from: Readonly<Record<string, T>>,
  name: string,
  value: T | undefined,
): Record<string, T> {
  if (value !== undefined) return { ...from, [name]: value }
  const { [name]: _, ...others } = from
  return others
}

/** What goes along with a message that the route sends: headers it has set, and those given for this one. */
export function headersToSend(
  x: Exchange,
  given?: readonly (readonly [string, unknown])[],
): Record<string, string> {
  if (given === undefined || given.length === 0) return { ...x.own }
  const copy = x.copy()
  for (const [name, value] of given) copy.setHeader(name, value)
  return { ...copy.own }
}

function headerText(name: string, value: unknown): string {
  const text = typeof value === 'string' ? value : plainText(name, value)
  if (text.length > MAX_HEADER) throw refused(`the header ${name} is longer than ${MAX_HEADER} characters`)
  if (/[\r\n\0]/.test(text)) throw refused(`the header ${name} has a line break or NUL in it`)
  return text
}

function plainText(name: string, value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value)
  throw refused(
    `the header ${name} would be ${Array.isArray(value) ? 'a list' : `of type ${typeof value}`}, not text`,
  )
}

function refused(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_EXPRESSION_FAILED', message)
}

/** A message as it is kept on disk. */
export interface KeptMessage {
  payload: unknown
  headers: Record<string, string>
  own: Record<string, string>
  vars: Record<string, unknown>
  cid: string
  identity: Identity | null
}

/** The message as data. Undefined is no data, so a message without a payload is one of null. */
export function keptOf(x: Exchange): KeptMessage {
  const { payload, headers, own, vars, cid, identity } = x
  return {
    payload: payload ?? null,
    headers: { ...headers },
    own: { ...own },
    vars: { ...vars },
    cid,
    identity: identity ?? null,
  }
}

/** The exchange that goes on with what was kept. */
export function exchangeOf(kept: KeptMessage, context: ServiceContext): Exchange {
  const x = new Exchange(kept.payload, kept.headers, context)
  x.own = kept.own
  x.vars = kept.vars
  return x
}
