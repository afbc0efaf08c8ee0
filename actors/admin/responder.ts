/** Writes the answers of the admin API. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import { buildBody } from '../../core/message/formats.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import { SECURITY_HEADERS } from './guard.ts'
import type { AdminAnswer } from './handlers.ts'
import { problemOf } from './problem.ts'
import { TailStream } from './sse.ts'

/** How long a refused client may go on sending before it is cut: closing at once would lose the answer. */
const LINGER_MS = 1000
/** Ten thousand ordinary events; a client that is further behind loses some, and is told how many. */
const MAX_BUFFERED_BYTES = 2 * 1024 * 1024
const MAX_TAILS = 64
const HSTS = 'max-age=31536000'

export interface ResponderOptions {
  clock: Clock
  log: Logger
  /** Over TLS. */
  secure: boolean
  writeMs: number
  heartbeatMs: number
}

export class AdminResponder {
  readonly #options: ResponderOptions
  readonly #tails = new Set<TailStream>()
  #draining = false

  constructor(options: ResponderOptions) {
    this.#options = options
  }

  /** Ends tails; from now on answers close their connections. */
  drain(): void {
    this.#draining = true
    for (const tail of this.#tails) tail.end()
  }

  /** Sends an answer. Throws before anything is written when it cannot be made. */
  send(request: IncomingMessage, response: ServerResponse, answer: AdminAnswer, cid: string): void {
    if (answer.events !== undefined) {
      this.#stream(request, response, answer.events, cid)
      return
    }
    const [type, body] = contentOf(answer)
    const headers: Record<string, string> = { ...(type && { 'content-type': type }), ...answer.headers }
    if (isUnchanged(request, headers.etag)) this.#write(request, response, 304, headers, undefined, cid)
    else this.#write(request, response, answer.status ?? 200, headers, body, cid)
  }

  /** Sends a problem; breaks the answer off when it has begun. */
  fail(request: IncomingMessage, response: ServerResponse, error: unknown, cid: string): void {
    if (!(error instanceof SignalboxError))
      this.#options.log.error(
        { err: error, cid, method: request.method },
        'a request to the admin API failed inside',
      )
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    const { status, headers, body } = problemOf(error, cid, request.url ?? '/')
    this.#write(request, response, status, headers, body, cid)
  }

  #write(
    request: IncomingMessage,
    response: ServerResponse,
    status: number,
    headers: Record<string, string>,
    body: string | Uint8Array | undefined,
    cid: string,
  ): void {
    const isUnread = !request.complete && !isBodiless(request)
    if (this.#draining || isUnread) response.shouldKeepAlive = false
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    response.writeHead(status, { ...this.#common(cid), ...headers, ...length })
    // Without a listener Node.js cuts the connection.
    response.setTimeout(this.#options.writeMs)
    if (isUnread) this.#endAfterLinger(request, response, body)
    else response.end(body)
  }

  #common(cid: string): Record<string, string> {
    const headers: Record<string, string> = { ...SECURITY_HEADERS, 'x-signalbox-cid': cid }
    if (this.#options.secure) headers['strict-transport-security'] = HSTS
    return headers
  }

  /**
   * The client is still sending. Closing now would reset the connection and could take the answer with it
   * (RFC 9112, 9.6), so the rest is thrown away for a moment; the client has its whole answer meanwhile.
   */
  #endAfterLinger(
    request: IncomingMessage,
    response: ServerResponse,
    body: string | Uint8Array | undefined,
  ): void {
    if (body !== undefined) response.write(body)
    const end = () => {
      timer.cancel()
      response.end()
    }
    const timer = this.#options.clock.after(LINGER_MS, end)
    request.once('end', end).once('close', end).resume()
  }

  #stream(
    request: IncomingMessage,
    response: ServerResponse,
    subscribe: NonNullable<AdminAnswer['events']>,
    cid: string,
  ): void {
    if (this.#tails.size >= MAX_TAILS || this.#draining) {
      throw new SignalboxError('SIGNALBOX_OVERLOADED', `no more than ${MAX_TAILS} tails are served at once`)
    }
    if (response.destroyed) return
    response.writeHead(200, {
      ...this.#common(cid),
      'content-type': 'text/event-stream',
      'x-accel-buffering': 'no',
    })
    if (request.method === 'HEAD') {
      response.end()
      return
    }
    const tail = new TailStream(response, { ...this.#options, maxBufferedBytes: MAX_BUFFERED_BYTES })
    this.#tails.add(tail)
    response.once('close', () => this.#tails.delete(tail))
    tail.start(subscribe)
  }
}

function contentOf(answer: AdminAnswer): [type: string | undefined, body: string | Uint8Array | undefined] {
  if (answer.bytes !== undefined) return ['application/octet-stream', answer.bytes]
  if (answer.text !== undefined) return ['text/plain; charset=utf-8', answer.text]
  return 'json' in answer ? ['application/json', buildBody('json', answer.json)] : [undefined, undefined]
}

/** If-None-Match (RFC 9110, 13.1.2). */
function isUnchanged(request: IncomingMessage, etag: string | undefined): boolean {
  const given = request.headers['if-none-match']
  if (etag === undefined || given === undefined || (request.method !== 'GET' && request.method !== 'HEAD'))
    return false
  return given.trim() === '*' || given.split(',').some(tag => tag.trim().replace(/^W\//, '') === etag)
}

function isBodiless({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0
}
