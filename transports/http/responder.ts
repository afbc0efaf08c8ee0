/** Writes answers and errors. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { SignalboxError } from '../../core/errors.ts'
import type { Outbound, TransportContext } from '../../core/transport.ts'
import type { HttpChannelSettings } from './channel-options.ts'
import { addCorsHeaders, type CorsPolicy } from './cors.ts'
import { addHeaders, checkedStatus, checkedValue, headerOf } from './head.ts'
import { problemOf } from './problem.ts'
import { chooseEncoding, chooseType, compress, type Representation, represent } from './represent.ts'
import type { Route } from './routes.ts'
import { discardStream, isStream, type StreamKind, StreamSender } from './stream.ts'
import { BodyGuard, type BodySpeed } from './watchdog.ts'
import { endWith, WriteGuard } from './writer.ts'

/** A refused body of at most this size is read and thrown away, so that the connection can go on. */
const DISCARDED_BYTES = 64 * 1024
/** After these the connection cannot be trusted to be in step: a body that broke off, or one of unclear length. */
const LAST_STATUS = new Set([408, 501])
/** How long a refused client may go on sending before it is cut: closing at once would lose the answer. */
const LINGER_MS = 1000
/** How much of it is read meanwhile; after that the client has to wait, and can read its answer. */
const LINGER_BYTES = 1024 * 1024

/** Answers for one channel. */
export class Responder {
  readonly #context: TransportContext
  readonly #ending = new WeakSet<Socket>()
  readonly #events = new Set<StreamSender>()
  #options!: HttpChannelSettings
  #speed!: BodySpeed
  #draining = false

  constructor(context: TransportContext) {
    this.#context = context
  }

  configure(options: HttpChannelSettings, speed: BodySpeed): void {
    this.#options = options
    this.#speed = speed
  }

  /** Whether an answer has said that its connection ends: what follows on it must not be acted upon. */
  isEnding(request: IncomingMessage): boolean {
    return this.#ending.has(request.socket)
  }

  #endConnection(response: ServerResponse): void {
    response.shouldKeepAlive = false
    this.#ending.add(response.req.socket)
  }

  drain(): void {
    this.#draining = true
    for (const sender of this.#events) sender.stop()
  }

  /** Throws SIGNALBOX_NOT_ACCEPTABLE before the service runs, where the route says what it produces. */
  checkAcceptable(request: IncomingMessage, route: Route): void {
    const { accept } = request.headers
    if (route.produces !== undefined && accept !== undefined && accept !== '*/*')
      chooseType(accept, route.produces)
  }

  /** Sends what the service answered; undefined when there is nothing to wait for. */
  answer(
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    out: Outbound,
    cid: string,
  ): Promise<void> | undefined {
    const { payload } = out
    if (response.destroyed) {
      if (isStream(payload)) discardStream(payload, this.#context.log)
      return undefined
    }
    const status = checkedStatus(out.status, payload === undefined ? 204 : 200)
    const list: string[] = []
    addHeaders(list, out.headers, 'content-type')
    if (route.cors !== undefined) addCorsHeaders(list, route.cors, request.headers.origin)
    const bodiless = status === 204 || status === 205 || status === 304
    if (isStream(payload)) {
      if (!bodiless) return this.#stream(request, response, route, payload, out, status, list, cid)
      discardStream(payload, this.#context.log)
    }
    if (payload === undefined || bodiless) return void this.empty(response, status, list, cid)
    const made = represent(payload, contentTypeOf(out), request.headers.accept, route.produces)
    return this.#send(request, response, made, out, status, list, cid)
  }

  /** An answer without a body. */
  empty(response: ServerResponse, status: number, list: string[], cid: string): void {
    if (status !== 204 && status !== 304) list.push('content-length', '0')
    this.#head(response, status, list, cid)
    response.end()
  }

  #send(
    request: IncomingMessage,
    response: ServerResponse,
    made: Representation,
    out: Outbound,
    status: number,
    list: string[],
    cid: string,
  ): Promise<void> | undefined {
    const { contentType, body } = made
    const bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    if (made.negotiated) list.push('vary', 'accept')
    const encoding = chooseEncoding(this.#options.compression, request.headers, contentType, bytes)
    if (encoding !== undefined && headerOf(out.headers, 'content-encoding') === undefined) {
      return this.#sendCompressed(response, encoding, made, status, list, cid)
    }
    return this.#sendBody(response, contentType, body, bytes, status, list, cid)
  }

  async #sendCompressed(
    response: ServerResponse,
    encoding: string,
    made: Representation,
    status: number,
    list: string[],
    cid: string,
  ): Promise<void> {
    const packed = await compress(made.body, encoding)
    list.push('content-encoding', encoding, 'vary', 'accept-encoding')
    if (!response.destroyed)
      await this.#sendBody(response, made.contentType, packed, packed.length, status, list, cid)
  }

  #sendBody(
    response: ServerResponse,
    contentType: string,
    body: string | Buffer,
    bytes: number,
    status: number,
    list: string[],
    cid: string,
  ): Promise<void> | undefined {
    list.push('content-type', contentType, 'content-length', String(bytes))
    this.#head(response, status, list, cid)
    return endWith(response, body, bytes, this.#options.timeouts.writeMs, this.#speed.watchdog)
  }

  #head(response: ServerResponse, status: number, list: string[], cid: string): void {
    if (this.#draining) this.#endConnection(response)
    list.push('x-signalbox-cid', cid)
    response.writeHead(status, list)
  }

  async #stream(
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    source: AsyncIterable<unknown>,
    out: Outbound,
    status: number,
    list: string[],
    cid: string,
  ): Promise<void> {
    const { clock, log } = this.#context
    const { accept } = request.headers
    const given = contentTypeOf(out) ?? route.produces?.[0]
    const events =
      route.sse || given === 'text/event-stream' || (accept?.includes('text/event-stream') ?? false)
    const writeHead = (kind: StreamKind, contentType: string) => {
      list.push('content-type', contentType)
      if (kind === 'events') list.push('cache-control', 'no-store', 'x-accel-buffering', 'no')
      this.#head(response, status, list, cid)
    }
    if (request.method === 'HEAD') {
      discardStream(source, log)
      writeHead(
        events ? 'events' : 'raw',
        events ? 'text/event-stream' : (given ?? 'application/octet-stream'),
      )
      return void response.end()
    }
    new WriteGuard(response, this.#options.timeouts.writeMs, this.#speed.watchdog)
    const describe = (error: unknown) => problemOf(error, this.#problemContext(request, cid)).body
    const { sseKeepAliveMs } = this.#options.timeouts
    const sender = new StreamSender(source, response, { clock, log, sseKeepAliveMs, writeHead, describe })
    if (events) this.#events.add(sender)
    if (events && this.#draining) sender.stop()
    try {
      await sender.send(events, given)
    } finally {
      this.#events.delete(sender)
      // Its head was written before the drain and could not say that the connection ends.
      if (this.#draining) request.socket.destroySoon()
    }
  }

  /** Answers with an error. */
  fail(
    request: IncomingMessage,
    response: ServerResponse,
    cors: CorsPolicy | undefined,
    error: unknown,
    cid: string,
    expectsContinue: boolean,
  ): void {
    if (!(error instanceof SignalboxError))
      this.#context.log.error({ err: error, cid }, 'a request failed unexpectedly')
    if (response.headersSent || response.destroyed) {
      this.#context.log.debug({ err: error, cid }, 'an answer was broken off')
      return void response.socket?.destroySoon()
    }
    const problem = problemOf(error, this.#problemContext(request, cid))
    const allow = error instanceof SignalboxError ? error.details?.allow : undefined
    if (problem.status === 405 && Array.isArray(allow)) problem.headers.push('allow', allow.join(', '))
    if (cors !== undefined) addCorsHeaders(problem.headers, cors, request.headers.origin)
    problem.headers.push('content-length', String(Buffer.byteLength(problem.body)))
    const unread = isUnread(request, expectsContinue)
    // Who sends no host, or one that is none, is not to be trusted with where its requests end.
    const doubtful = error instanceof SignalboxError && error.details?.endsConnection === true
    if (unread || doubtful || this.#draining || LAST_STATUS.has(problem.status)) this.#endConnection(response)
    else if (!request.complete) new DiscardGuard(request, this.#speed)
    response.writeHead(problem.status, problem.headers)
    if (unread && problem.status !== 408) this.#endAfterLinger(request, response, problem.body)
    else response.end(problem.body)
  }

  /**
   * The client is still sending. Closing now would reset the connection and could take the answer with it
   * (RFC 9112, 9.6), so the rest is thrown away for a moment; the client has its whole answer meanwhile.
   */
  #endAfterLinger(request: IncomingMessage, response: ServerResponse, body: string): void {
    response.write(body)
    const end = () => {
      timer.cancel()
      response.end()
    }
    const timer = this.#context.clock.after(LINGER_MS, end)
    let discarded = 0
    request.on('data', (chunk: Buffer) => {
      discarded += chunk.length
      if (discarded > LINGER_BYTES) request.pause()
    })
    request.once('end', end).once('close', end).resume()
  }

  #problemContext(request: IncomingMessage, cid: string) {
    const instance = request.url!.split('?', 1)[0]!
    return { cid, instance, realm: this.#context.name, expose: this.#options.exposeErrorDetails }
  }
}

/** Cuts a client that sends a refused body too slowly; a timely one keeps its connection. */
class DiscardGuard extends BodyGuard {
  constructor(request: IncomingMessage, speed: BodySpeed) {
    super(request, speed)
    request.on('data', (chunk: Buffer) => {
      this.received += chunk.length
    })
    request.once('close', () => this.unwatch())
  }

  protected fail(): void {
    this.request.destroy()
  }
}

/** Whether so much of the body may still come that the connection cannot be used again. */
function isUnread(request: IncomingMessage, expectsContinue: boolean): boolean {
  if (request.complete) return false
  const announced = request.headers['content-length']
  if (announced === undefined) return request.headers['transfer-encoding'] !== undefined
  return expectsContinue || Number(announced) > DISCARDED_BYTES
}

function contentTypeOf(out: Outbound): string | undefined {
  const given = headerOf(out.headers, 'content-type')
  return given === undefined ? undefined : checkedValue('content-type', given)
}
