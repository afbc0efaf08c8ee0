/** The admin API of a node, as functions: what the verbs of the command line are made of. */
import type {
  ApplyResult,
  AuditView,
  DeployView,
  HealthView,
  NodeView,
  RecordView,
  ReplayResult,
  ResourceView,
  ServiceView,
  TailEvent,
  TailFilter,
  TrailView,
} from '../actors/admin/operator.ts'
import type { AuditPage } from '../core/audit/audit-log.ts'
import type { AuditQuery } from '../core/audit/query.ts'
import { SignalboxError } from '../core/errors.ts'
import type { AdminTarget } from './admin-target.ts'
import { eventsOf } from './event-stream.ts'
import { AdvisedError } from './failure.ts'
import { KeptClient } from './kept-client.ts'

const DEFAULT_TIMEOUT_MS = 30_000
const TOKEN_ADVICE = 'Give the admin token: run this in the folder of the project, or set SIGNALBOX_TOKEN.'
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

interface RequestParts {
  json?: unknown
  text?: string
  query?: Record<string, string | number | undefined>
  headers?: Record<string, string>
  timeoutMs?: number
  signal?: AbortSignal
  /** Statuses beside 2xx that carry the answer, not an error. */
  also?: readonly number[]
}

/**
 * Every method rejects with a SignalboxError: the one of the node, SIGNALBOX_CONNECT_FAILED when there is no node, or
 * SIGNALBOX_TIMEOUT_DEADLINE.
 */
export class AdminClient {
  readonly #target: AdminTarget
  readonly #timeoutMs: number
  /** Queues, topics, messages and schedules. */
  readonly kept = new KeptClient((method, path, parts) => this.#json(method, path, parts))

  /** `timeoutMs` is for each request, 30 s by default. */
  constructor(target: AdminTarget, timeoutMs: number = DEFAULT_TIMEOUT_MS) {
    this.#target = target
    this.#timeoutMs = timeoutMs
  }

  node(): Promise<NodeView> {
    return this.#json('GET', '/v1/node')
  }

  live(): Promise<HealthView> {
    return this.#json('GET', '/health/live', { also: [503] })
  }

  ready(): Promise<HealthView> {
    return this.#json('GET', '/health/ready', { also: [503] })
  }

  metrics(): Promise<string> {
    return this.#text('GET', '/metrics')
  }

  scale(count: number): Promise<{ workers: number }> {
    // Workers that leave finish their work first.
    return this.#json('PUT', '/v1/workers', { json: { count }, timeoutMs: 4 * DEFAULT_TIMEOUT_MS })
  }

  services(): Promise<ServiceView[]> {
    return this.#json('GET', '/v1/services')
  }

  /**
   * What the service answers: data, a Buffer where it answers with bytes, or undefined. The node keeps the time; this
   * side waits a little longer, so that its error arrives.
   */
  async invoke(service: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    const response = await this.#fetch('POST', `/v1/services/${encodeURIComponent(service)}/invoke`, {
      json: payload ?? null,
      query: { timeoutMs },
      timeoutMs: timeoutMs + 5_000,
    })
    if (!response.ok) throw await this.#error(response)
    const bytes = await this.#bytes(response)
    const isJson = response.headers.get('content-type')?.startsWith('application/json')
    if (bytes.length === 0 && !isJson) return undefined
    return isJson ? this.#parsed(bytes.toString('utf8'), response) : bytes
  }

  /** `file` is a path below `services/`, or below `routes/` for a route. */
  deploy(file: string, source: string, kind: 'service' | 'route' = 'service'): Promise<DeployView> {
    return this.#json('PUT', unitFile(file, kind), { text: source })
  }

  async undeploy(file: string, kind: 'service' | 'route' = 'service'): Promise<void> {
    await this.#text('DELETE', unitFile(file, kind))
  }

  resources(kind?: string): Promise<ResourceView[]> {
    return this.#json('GET', '/v1/resources', { query: { kind } })
  }

  diff(yaml: string): Promise<ApplyResult> {
    return this.#json('POST', '/v1/diff', { text: yaml })
  }

  /** `etag` is that of the difference somebody has agreed to; rejects with SIGNALBOX_STORE_CONFLICT (412) when it is old. */
  apply(yaml: string, etag: string): Promise<ApplyResult> {
    const headers = { 'if-match': `"${etag}"` }
    return this.#json('POST', '/v1/apply', { text: yaml, headers, timeoutMs: 4 * DEFAULT_TIMEOUT_MS })
  }

  export(): Promise<string> {
    return this.#text('GET', '/v1/export')
  }

  secrets(): Promise<{ name: string; changedAt: number }[]> {
    return this.#json('GET', '/v1/secrets')
  }

  async setSecret(name: string, value: string): Promise<void> {
    await this.#text('PUT', `/v1/secrets/${encodeURIComponent(name)}`, { text: value })
  }

  async removeSecret(name: string): Promise<void> {
    await this.#text('DELETE', `/v1/secrets/${encodeURIComponent(name)}`)
  }

  openapi(): Promise<unknown> {
    return this.#json('GET', '/v1/openapi.json')
  }

  messages(query: AuditQuery): Promise<AuditPage> {
    return this.#json('GET', '/v1/messages', { query: { ...query } })
  }

  trail(cid: string): Promise<TrailView> {
    return this.#json('GET', `/v1/messages/${encodeURIComponent(cid)}`)
  }

  messageBody(id: string): Promise<RecordView> {
    return this.#json('GET', `/v1/messages/${encodeURIComponent(id)}/body`)
  }

  /** The node keeps the time; this side waits a little longer, so that its error arrives. */
  replay(id: string, timeoutMs: number): Promise<ReplayResult> {
    const path = `/v1/messages/${encodeURIComponent(id)}/replay`
    return this.#json('POST', path, { query: { timeoutMs }, timeoutMs: timeoutMs + 5_000 })
  }

  audit(after: number, limit: number): Promise<AuditView[]> {
    return this.#json('GET', '/v1/audit', { query: { after, limit } })
  }

  verifyAudit(): Promise<{ brokenAt?: number; entries: number }> {
    return this.#json('GET', '/v1/audit/verify')
  }

  /**
   * Events as they happen, until the signal is aborted or the node ends the stream. `skipped` is told how many the
   * node has left out, because this side was too slow.
   */
  async *tail(
    filter: TailFilter,
    signal: AbortSignal,
    skipped: (count: number) => void,
  ): AsyncGenerator<TailEvent> {
    const response = await this.#fetch('GET', '/v1/tail', { query: { ...filter }, signal })
    if (!response.ok) throw await this.#error(response)
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) throw this.#notOurs(response)
    if (response.body === null) return
    try {
      for await (const { type, data } of eventsOf(response.body)) {
        if (type === 'message') yield this.#parsed(data, response) as TailEvent
        else if (type === 'skipped')
          skipped(Number((this.#parsed(data, response) as { count: number }).count))
        else if (type === 'end') return
      }
    } catch (error) {
      if (signal.aborted) return
      throw error instanceof SignalboxError ? error : this.#unreachable(error)
    }
  }

  async #json<T>(method: string, path: string, parts: RequestParts = {}): Promise<T> {
    const response = await this.#fetch(method, path, parts)
    if (!response.ok && !parts.also?.includes(response.status)) throw await this.#error(response)
    const text = await this.#body(response)
    return (text === '' ? null : this.#parsed(text, response)) as T
  }

  async #text(method: string, path: string, parts: RequestParts = {}): Promise<string> {
    const response = await this.#fetch(method, path, parts)
    if (!response.ok) throw await this.#error(response)
    return this.#body(response)
  }

  async #fetch(method: string, path: string, parts: RequestParts): Promise<Response> {
    const { url, token } = this.#target
    const whole = new URL(url.pathname.replace(/\/$/, '') + path, url)
    for (const [name, value] of Object.entries(parts.query ?? {})) {
      if (value !== undefined) whole.searchParams.set(name, String(value))
    }
    const body = parts.text ?? (parts.json === undefined ? undefined : JSON.stringify(parts.json))
    const type = parts.text === undefined ? 'application/json' : 'text/plain; charset=utf-8'
    const timeoutMs = parts.timeoutMs ?? this.#timeoutMs
    try {
      return await fetch(whole, {
        method,
        headers: {
          accept: 'application/json, text/plain;q=0.9, */*;q=0.8',
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'content-type': type }),
          ...parts.headers,
        },
        ...(body !== undefined && { body }),
        // The token is for this server, not for one that it names.
        redirect: 'manual',
        signal: parts.signal ?? AbortSignal.timeout(timeoutMs),
      })
    } catch (error) {
      throw (error as Error).name === 'TimeoutError' ? tooLate(timeoutMs) : this.#unreachable(error)
    }
  }

  async #body(response: Response): Promise<string> {
    return (await this.#bytes(response)).toString('utf8')
  }

  async #bytes(response: Response): Promise<Buffer> {
    const chunks: Uint8Array[] = []
    let bytes = 0
    try {
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length
        if (bytes > MAX_ANSWER_BYTES) throw this.#notOurs(response)
        chunks.push(chunk)
      }
    } catch (error) {
      if (error instanceof SignalboxError) throw error
      throw (error as Error).name === 'TimeoutError' ? tooLate(this.#timeoutMs) : this.#unreachable(error)
    }
    return Buffer.concat(chunks)
  }

  #parsed(text: string, response: Response): unknown {
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw this.#notOurs(response, cause)
    }
  }

  /** The error of the node, from its problem details (RFC 9457). */
  async #error(response: Response): Promise<SignalboxError> {
    const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json')
    const problem = isProblem ? this.#parsed(await this.#body(response), response) : undefined
    const { code, detail, title, fix, details } = (problem ?? {}) as Record<string, unknown>
    if (typeof code !== 'string') return this.#notOurs(response)
    const message = String(detail ?? title ?? code)
    const advice = code === 'SIGNALBOX_UNAUTHENTICATED' ? TOKEN_ADVICE : fix
    const options = {
      status: response.status,
      ...(typeof details === 'object' && details !== null && { details: details as Record<string, unknown> }),
    }
    return typeof advice === 'string'
      ? new AdvisedError(code, message, advice, options)
      : new SignalboxError(code, message, options)
  }

  #notOurs(response: Response, cause?: unknown): SignalboxError {
    return new AdvisedError(
      'SIGNALBOX_CONNECT_FAILED',
      `what answers at ${this.#target.url.origin} (status ${response.status}) is not the admin API of a node`,
      'Give the address of the admin API with --url or SIGNALBOX_URL; `signalbox start` prints it.',
      { cause },
    )
  }

  #unreachable(error: unknown): SignalboxError {
    const cause = (error as Error).cause ?? error
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code === 'ECONNREFUSED' ? 'nothing listens there' : message || code || 'no connection'
    return new AdvisedError(
      'SIGNALBOX_CONNECT_FAILED',
      `no node answers at ${this.#target.url.origin}: ${why}`,
      'Is the node running? Start it with `signalbox start`, or say where it is with --url or SIGNALBOX_URL.',
      { cause },
    )
  }
}

/** Each part of the path by itself: a slash in a name parts folders, all else is a part of a name. */
function unitFile(file: string, kind: 'service' | 'route'): string {
  return `/v1/${kind}-files/${file.split('/').map(encodeURIComponent).join('/')}`
}

function tooLate(timeoutMs: number): SignalboxError {
  return new AdvisedError(
    'SIGNALBOX_TIMEOUT_DEADLINE',
    `the node did not answer within ${timeoutMs} ms`,
    'Look at its log; `signalbox health` says whether it works at all.',
  )
}
