import type { LookupFunction } from 'node:net'
import { Readable } from 'node:stream'
import { idSource } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Connection, Outbound, OutgoingMessage, TransportContext } from '../../core/transport.ts'
import { type Credentials, createCredentials, fixedCredentials } from './auth.ts'
import { Breakers } from './breaker.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { Deadline } from './deadline.ts'
import { type Answer, Exchange, type Wire } from './exchange.ts'
import { toFailure } from './failure.ts'
import { fromMessage } from './message.ts'
import { checkHeaders, encodeBody, type HttpRequest, methodOf, urlBelow, urlFromMessage } from './request.ts'
import {
  ACCEPT_ENCODING,
  decodedBody,
  type HttpResponse,
  parsePayload,
  plainHeaders,
  readAll,
  readDecoded,
  setCookies,
  typedErrors,
} from './response.ts'
import { type Repeatable, retryAfterMs, retryDelayMs } from './retry.ts'
import { baseUrl, checkCertificates } from './settings.ts'
import { StatusError } from './status-error.ts'

const MAX_TOKEN_BYTES = 64 * 1024
const nextCid = idSource()

/** Requests of one method; `T` is what the caller expects the payload to be. */
type Shorthand = <T = unknown>(
  path: string,
  request?: Omit<HttpRequest, 'method' | 'path'>,
) => Promise<HttpResponse<T>>

/** What tests put in place of the network's own name resolution and of chance. */
export interface HttpConnectionSeams {
  lookup?: LookupFunction
  random?: () => number
}

/** Requests to one HTTP server, over a pool of sockets, with retry, circuit breaker, credentials and limits. */
export class HttpConnection implements Connection {
  readonly #options: ConnectionOptions
  readonly #context: TransportContext
  readonly #seams: HttpConnectionSeams
  readonly #base: URL
  readonly #breakers: Breakers
  readonly #closing = new AbortController()
  readonly #configured: Record<string, string>
  #state: 'idle' | 'connecting' | 'open' | 'closed' = 'idle'
  #exchange: Exchange | undefined
  #credentials: Credentials | undefined

  constructor(options: ConnectionOptions, context: TransportContext, seams: HttpConnectionSeams = {}) {
    this.#options = options
    this.#context = context
    this.#seams = seams
    this.#base = baseUrl(options.url)
    this.#breakers = new Breakers(options.circuitBreaker)
    this.#configured = checkHeaders({ ...options.headers, ...fixedCredentials(options.auth) })
  }

  /** Prepares sockets and credentials. Opens no socket: a server that is down does not keep the bus from starting. */
  async connect(): Promise<void> {
    if (this.#state !== 'idle')
      throw this.#usage(this.#state === 'closed' ? 'was closed' : 'is connected already')
    checkCertificates(this.#options.tls)
    this.#state = 'connecting'
    const exchange = await Exchange.open(this.#options, this.#seams.lookup).catch(error => {
      if (!this.#isClosed()) this.#state = 'idle'
      throw error
    })
    if (this.#isClosed()) {
      await exchange.destroy(this.#closing.signal.reason)
      throw this.#closing.signal.reason
    }
    this.#exchange = exchange
    this.#credentials = createCredentials(this.#options.auth, this.#context.clock, (url, form, headers) =>
      this.#fetchToken(url, form, headers),
    )
    this.#state = 'open'
  }

  /**
   * Sends one request and reads the answer whole. Rejects with SIGNALBOX_HTTP_STATUS (401:
   * SIGNALBOX_CONNECT_REFUSED_CREDENTIALS) unless `errorStatus` is `return`, SIGNALBOX_CONNECT_FAILED,
   * SIGNALBOX_TLS_UNVERIFIED, SIGNALBOX_TIMEOUT_DEADLINE, SIGNALBOX_CANCELLED, SIGNALBOX_CIRCUIT_OPEN,
   * SIGNALBOX_TARGET_FORBIDDEN, SIGNALBOX_FORMAT_*, SIGNALBOX_USAGE.
   */
  async request<T = unknown>(request: HttpRequest): Promise<HttpResponse<T>> {
    return (await this.#perform(request, (answer, deadline) =>
      this.#read(answer, deadline),
    )) as HttpResponse<T>
  }

  readonly get: Shorthand = (path, request) => this.request({ ...request, method: 'GET', path })
  readonly post: Shorthand = (path, request) => this.request({ ...request, method: 'POST', path })
  readonly put: Shorthand = (path, request) => this.request({ ...request, method: 'PUT', path })
  readonly patch: Shorthand = (path, request) => this.request({ ...request, method: 'PATCH', path })
  readonly delete: Shorthand = (path, request) => this.request({ ...request, method: 'DELETE', path })

  /**
   * Sends one request and gives its answer as a stream of decoded bytes, with back-pressure. The time limit ends
   * with the head of the answer; `timeouts.bodyMs` and the signal still count. Read or destroy the stream.
   */
  async stream(request: HttpRequest): Promise<HttpResponse<Readable>> {
    let live: { deadline: Deadline; body: Readable; payload: Readable } | undefined
    const response = await this.#perform(
      request,
      async (answer, deadline) => {
        if (answer.response.statusCode >= 400) return await this.#read(answer, deadline)
        const headers = plainHeaders(answer.response.headers)
        const body = decodedBody(answer.response.body, headers, hasBody(answer))
        const payload = typedErrors(body, `${answer.method} ${answer.url.origin}${answer.url.pathname}`)
        live = { deadline, body, payload }
        return { ...headOf(answer), payload }
      },
      () => live !== undefined,
    )
    if (!live) {
      const payload = Readable.from(response.payload === undefined ? [] : [toBytes(response.payload)])
      return { ...response, payload }
    }
    const { deadline, body, payload } = live
    deadline.stopTimer()
    if (body.closed) deadline.dispose()
    else body.once('close', () => deadline.dispose())
    return { ...response, payload }
  }

  /** `attributes`: method, path, pathParams, query, url (see {@link HttpRequest}); `payload`: text, bytes or JSON. */
  async send(message: OutgoingMessage): Promise<Outbound> {
    const cid = message.cid ?? nextCid()
    const { status, headers, payload } = await this.request({ ...fromMessage(message), cid })
    return { payload, headers, status, cid }
  }

  /** One request by `ping`, without retry and circuit breaker. Any answer below 500 but 401 counts as working. */
  async ping(): Promise<void> {
    const exchange = this.#opened()
    const deadline = this.#deadline({}, 'ping')
    try {
      const { method, path } = this.#options.ping
      const credentials = await this.#credentials!.headers(deadline)
      const wire = this.#wire({ method, path, errorStatus: 'throw' }, method, credentials)
      const answer = await exchange.run(wire, deadline.signal)
      const { statusCode } = answer.response
      if (statusCode >= 500 || statusCode === 401) await this.#read(answer, deadline)
      else await answer.response.body.dump({ limit: MAX_TOKEN_BYTES, signal: deadline.signal })
    } catch (thrown) {
      throw toFailure(thrown, `ping ${this.endpoint()}`)
    } finally {
      deadline.dispose()
    }
  }

  /** Breaks the requests under way (SIGNALBOX_NOT_CONNECTED) and closes the sockets. */
  async close(): Promise<void> {
    this.#state = 'closed'
    const reason = new SignalboxError(
      'SIGNALBOX_NOT_CONNECTED',
      `HTTP connection ${this.#context.name} was closed`,
    )
    if (!this.#closing.signal.aborted) this.#closing.abort(reason)
    const exchange = this.#exchange
    this.#exchange = undefined
    await exchange?.destroy(reason)
  }

  endpoint(): string {
    return this.#base.href
  }

  /** Tries until it succeeds, or until trying again is of no use. `finish` turns the answer into the result. */
  async #perform(
    request: HttpRequest,
    finish: (answer: Answer, deadline: Deadline) => Promise<HttpResponse>,
    keepsDeadline: () => boolean = () => false,
  ): Promise<HttpResponse> {
    this.#opened()
    const method = methodOf(request)
    const replayable = request.stream === undefined
    const deadline = this.#deadline(request, `${method} ${this.#base.origin}`)
    try {
      return await this.#tryRepeatedly(request, { method, replayable }, deadline, finish)
    } catch (thrown) {
      const failure = toFailure(thrown, `${method} ${this.#base.origin}`)
      const errorStatus = request.errorStatus ?? this.#options.errorStatus
      if (failure instanceof StatusError && errorStatus === 'return') return failure.response
      throw failure
    } finally {
      if (!keepsDeadline()) deadline.dispose()
    }
  }

  async #tryRepeatedly(
    request: HttpRequest,
    repeatable: Repeatable,
    deadline: Deadline,
    finish: (answer: Answer, deadline: Deadline) => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    let renewed = false
    for (let attempt = 1; ; attempt++) {
      const used: { credentials: Record<string, string> } = { credentials: {} }
      try {
        return await this.#try(request, repeatable.method, deadline, finish, used)
      } catch (thrown) {
        const failure = toFailure(thrown, `${repeatable.method} ${this.#base.origin}`)
        if (deadline.signal.aborted) throw deadline.signal.reason
        const refused = failure instanceof StatusError && failure.response.status === 401
        if (refused && repeatable.replayable && !renewed && this.#credentials!.refused(used.credentials)) {
          renewed = true
          continue
        }
        const { random = Math.random } = this.#seams
        const delayMs = retryDelayMs(failure, attempt, repeatable, this.#options.retry, random)
        if (delayMs === undefined || delayMs >= deadline.remainingMs) throw failure
        this.#context.log.debug({ code: failure.code, attempt, delayMs }, 'the request is tried again')
        await deadline.pause(delayMs)
      }
    }
  }

  async #try(
    request: HttpRequest,
    method: string,
    deadline: Deadline,
    finish: (answer: Answer, deadline: Deadline) => Promise<HttpResponse>,
    used: { credentials: Record<string, string> },
  ): Promise<HttpResponse> {
    const exchange = this.#opened()
    const trusted = request.url === undefined
    if (trusted) used.credentials = await this.#credentials!.headers(deadline)
    const wire = this.#wire(request, method, used.credentials)
    const work = async () => await finish(await exchange.run(wire, deadline.signal), deadline)
    return await deadline.race(this.#breakers.run(wire.url.origin, deadline.signal, work))
  }

  #wire(request: HttpRequest, method: string, credentials: Record<string, string>): Wire {
    const { url, trusted } = this.#target(request)
    const { body, type } = encodeBody(request)
    return {
      method,
      url,
      trusted,
      headers: {
        'accept-encoding': ACCEPT_ENCODING,
        ...(type !== undefined && { 'content-type': type }),
        ...checkHeaders({
          ...(request.cid !== undefined && { 'x-signalbox-cid': request.cid }),
          ...(request.traceparent !== undefined && { traceparent: request.traceparent }),
          ...request.headers,
        }),
      },
      private: { ...this.#configured, ...credentials },
      body,
    }
  }

  #target(request: HttpRequest): { url: URL; trusted: boolean } {
    if (request.url === undefined) return { url: urlBelow(this.#base, request), trusted: true }
    if (this.#options.targets.dynamic) return { url: urlFromMessage(request), trusted: false }
    const message = `connection ${this.#context.name} takes no URL from a message (targets.dynamic is false)`
    throw new SignalboxError('SIGNALBOX_TARGET_FORBIDDEN', message)
  }

  async #read(answer: Answer, deadline: Deadline): Promise<HttpResponse> {
    const head = headOf(answer)
    const { maxResponseBytes } = this.#options
    const bytes = await readDecoded(answer.response.body, head.headers, hasBody(answer), maxResponseBytes)
    deadline.signal.throwIfAborted()
    if (head.status < 400) return { ...head, payload: parsePayload(bytes, head.headers['content-type']) }
    const afterMs = retryAfterMs(head.headers['retry-after'], this.#context.clock.now())
    const retryable = this.#options.retry.statuses.includes(head.status)
    throw new StatusError({ ...head, payload: errorPayload(bytes, head.headers) }, answer.method, bytes, {
      retryable,
      afterMs,
    })
  }

  async #fetchToken(url: string, form: URLSearchParams, headers: Record<string, string>) {
    const deadline = this.#deadline({}, `token endpoint ${url}`)
    try {
      const response = await this.#opened().postForm(url, form, headers, deadline.signal)
      const body = await readAll(response.body, MAX_TOKEN_BYTES)
      return { status: response.statusCode, body: body.toString() }
    } finally {
      deadline.dispose()
    }
  }

  #deadline(request: Pick<HttpRequest, 'timeoutMs' | 'signal'>, what: string): Deadline {
    const timeoutMs = request.timeoutMs ?? this.#options.timeouts.totalMs
    return new Deadline(this.#context.clock, timeoutMs, what, this.#closing.signal, request.signal)
  }

  #opened(): Exchange {
    if (this.#state === 'open' && this.#exchange) return this.#exchange
    throw new SignalboxError(
      'SIGNALBOX_NOT_CONNECTED',
      `HTTP connection ${this.#context.name} is ${this.#state}`,
    )
  }

  // The state changes while connect awaits; the compiler cannot know.
  #isClosed(): boolean {
    return this.#state === 'closed'
  }

  #usage(what: string): SignalboxError {
    return new SignalboxError('SIGNALBOX_USAGE', `HTTP connection ${this.#context.name} ${what}`)
  }
}

function headOf({ response, url }: Answer): Omit<HttpResponse, 'payload'> {
  const headers = plainHeaders(response.headers)
  return { status: response.statusCode, headers, setCookie: setCookies(response.headers), url: url.href }
}

/** Whether the answer may have a body at all (RFC 9110, sections 9.3.2, 15.3.5 and 15.4.5). */
function hasBody({ method, response }: Answer): boolean {
  return method !== 'HEAD' && response.statusCode !== 204 && response.statusCode !== 304
}

/** The payload of an error answer: a body that is not what it claims must not hide the status. */
function errorPayload(bytes: Buffer, headers: Record<string, string>): unknown {
  try {
    return parsePayload(bytes, headers['content-type'])
  } catch (error) {
    if (error instanceof SignalboxError && error.code === 'SIGNALBOX_FORMAT_INVALID') return bytes
    throw error
  }
}

function toBytes(payload: unknown): Uint8Array {
  if (payload instanceof Uint8Array) return payload
  return Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload))
}
