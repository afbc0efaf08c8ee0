/** What happens to a request: route, body, service, answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { idSource } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Outbound, Receive, TransportContext } from '../../core/transport.ts'
import {
  bodyType,
  checkAnnouncedLength,
  collectBody,
  contentDecoder,
  decompress,
  hasBody,
  isForm,
  readBody,
} from './body.ts'
import type { HttpChannelSettings } from './channel-options.ts'
import { optionsHeaders } from './cors.ts'
import { saneCid } from './head.ts'
import { HttpInbound } from './inbound.ts'
import { http } from './node-http.ts'
import { Responder } from './responder.ts'
import { type Match, type Route, RouteTable } from './routes.ts'
import { MultipartReader, removeUploads, type UploadedFile, type UploadFolder } from './uploads.ts'
import { type BodySpeed, Watchdog } from './watchdog.ts'

const ALL_METHODS = http.METHODS.filter(method => method !== 'CONNECT').join(', ')
const newCid = idSource()

/** Serves requests by options that can change at any time: each request keeps those it started with. */
export class HttpHandler {
  readonly #context: TransportContext
  readonly #receive: Receive
  readonly #uploads: UploadFolder
  readonly #responder: Responder
  #options!: HttpChannelSettings
  #routes!: RouteTable
  #speed!: BodySpeed
  #inFlight = 0
  #onIdle: (() => void)[] = []

  constructor(
    options: HttpChannelSettings,
    context: TransportContext,
    receive: Receive,
    uploads: UploadFolder,
  ) {
    this.#context = context
    this.#receive = receive
    this.#uploads = uploads
    this.#responder = new Responder(context)
    this.configure(options)
  }

  /** Takes new options for the requests that come. Throws SIGNALBOX_OPTIONS_INVALID and keeps the old ones. */
  configure(options: HttpChannelSettings): void {
    const { bodyMinBytesPerSecond, bodyGraceMs, writeMs } = options.timeouts
    const routes = new RouteTable(options)
    const periodMs = Math.min(1000, Math.max(5, Math.floor(Math.min(bodyGraceMs, writeMs) / 4)))
    const watchdog = new Watchdog(this.#context.clock, periodMs)
    this.#routes = routes
    this.#options = options
    this.#speed = { watchdog, minBytesPerSecond: bodyMinBytesPerSecond, graceMs: bodyGraceMs }
    this.#responder.configure(options, this.#speed)
  }

  /** From now on answers close their connections, and event streams end. */
  drain(): void {
    this.#responder.drain()
  }

  /** Resolves when no request is under way. */
  idle(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve()
    return new Promise(resolve => this.#onIdle.push(resolve))
  }

  /** Serves one request. `expectsContinue`: the client waits for a word before it sends the body. */
  handle(request: IncomingMessage, response: ServerResponse, expectsContinue = false): void {
    if (this.#responder.isEnding(request)) return
    void this.#serve(request, response, expectsContinue)
  }

  async #serve(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    const headers = normalize(request)
    const cid = saneCid(headers['x-signalbox-cid']) ?? saneCid(headers['x-request-id']) ?? newCid()
    let route: Route | undefined
    let files: UploadedFile[] | undefined
    this.#inFlight++
    try {
      // Before anything is awaited: what follows on the connection has perhaps been read already.
      if (request.httpVersionMajor !== 1) throw versionNotSupported()
      checkHost(request, headers.host)
      checkTransferEncoding(request, headers['transfer-encoding'])
      if (this.#inFlight > this.#options.maxInFlight) throw overloaded(this.#options.maxInFlight)
      const match = this.#routes.find(request.method!, request.url!, headers)
      route = match?.route
      if (route === undefined) return this.#answerWithoutRoute(request, response, match, cid)
      const inbound = new HttpInbound(request, response, route, match!, cid)
      if (hasBody(headers)) files = await this.#read(inbound, request, response, route, expectsContinue)
      if (inbound.payload === undefined && route.parametersAsPayload) takeParameters(inbound, match!)
      this.#responder.checkAcceptable(request, route)
      const outbound: Outbound = await this.#receive(inbound)
      const pending = this.#responder.answer(request, response, route, outbound, cid)
      if (pending !== undefined) await pending
    } catch (error) {
      this.#responder.fail(request, response, route?.cors ?? this.#routes.cors, error, cid, expectsContinue)
    } finally {
      if (files !== undefined && files.length > 0) await this.#removeFiles(files)
      this.#inFlight--
      if (this.#inFlight === 0) for (const resolve of this.#onIdle.splice(0)) resolve()
    }
  }

  /** Reads the body into the message. Returns the uploaded files, if there are any. */
  async #read(
    inbound: HttpInbound,
    request: IncomingMessage,
    response: ServerResponse,
    route: Route,
    expectsContinue: boolean,
  ): Promise<UploadedFile[] | undefined> {
    const { headers } = inbound
    const { maxInflationRatio, maxJsonDepth } = this.#options.limits
    checkAnnouncedLength(headers['content-length'], route.maxBodyBytes)
    const type = bodyType(headers['content-type'])
    const encoding = headers['content-encoding']
    if (encoding !== undefined) contentDecoder(encoding)
    if (expectsContinue) response.writeContinue()
    if (type.multipart && route.format === 'auto')
      return this.#readMultipart(inbound, request, route, encoding)
    let bytes = await collectBody(request, route.maxBodyBytes, this.#speed)
    inbound.bytes = bytes.length
    if (bytes.length === 0) return undefined
    if (encoding !== undefined)
      bytes = await decompress(bytes, encoding, route.maxBodyBytes, maxInflationRatio)
    inbound.payload = readBody(route.format, type, bytes, maxJsonDepth)
    if (isForm(route.format, type)) inbound.textAt = ''
    return undefined
  }

  async #readMultipart(
    inbound: HttpInbound,
    request: IncomingMessage,
    route: Route,
    encoding: string | undefined,
  ): Promise<UploadedFile[]> {
    const { limits } = this.#options
    let source: Readable = request
    if (encoding !== undefined && contentDecoder(encoding) !== undefined) {
      const packed = await collectBody(request, route.maxBodyBytes, this.#speed)
      source = Readable.from([
        await decompress(packed, encoding, route.maxBodyBytes, limits.maxInflationRatio),
      ])
    }
    const reader = new MultipartReader(request, limits, route.maxBodyBytes, this.#uploads, this.#speed)
    const payload = await reader.read(source, inbound.headers)
    inbound.payload = payload
    inbound.textAt = '/fields'
    inbound.bytes = reader.bytes
    return payload.files
  }

  #answerWithoutRoute(
    request: IncomingMessage,
    response: ServerResponse,
    match: Match | undefined,
    cid: string,
  ): void {
    const url = request.url!
    const options = request.method === 'OPTIONS'
    if (options && url === '*') {
      this.#responder.empty(response, 204, ['allow', ALL_METHODS], cid)
      return
    }
    const { methods, cors } = this.#routes.allowed(url)
    if (methods.length === 0 || match !== undefined) {
      throw new SignalboxError('SIGNALBOX_NOT_FOUND', 'nothing is served at this path')
    }
    if (options) {
      this.#responder.empty(response, 204, optionsHeaders(methods, cors, request.headers), cid)
      return
    }
    throw new SignalboxError('SIGNALBOX_METHOD_NOT_ALLOWED', `this path takes ${methods.join(', ')}`, {
      details: { allow: methods },
    })
  }

  async #removeFiles(files: UploadedFile[]): Promise<void> {
    try {
      await removeUploads(files)
    } catch (error) {
      this.#context.log.warn({ err: error }, 'uploaded files could not be removed')
    }
  }
}

/** Makes the target origin-form and every header a string; the parsed request is ours alone. */
function normalize(request: IncomingMessage): Record<string, string> {
  const url = request.url!
  if (url.charCodeAt(0) !== 0x2f && url !== '*') {
    const rest = url.replace(/^https?:\/\/[^/?#]*/i, '')
    request.url = rest.startsWith('/') ? rest : `/${rest}`
  }
  const cookies = request.headers['set-cookie']
  if (cookies !== undefined) (request.headers as Record<string, string>)['set-cookie'] = cookies.join(', ')
  return request.headers as Record<string, string>
}

/** Query and path parameters as one object, if there are any; the path wins. */
function takeParameters(inbound: HttpInbound, { params, query }: Match): void {
  if (isEmpty(params) && isEmpty(query)) return
  inbound.payload = { ...query, ...params }
  inbound.textAt = ''
}

function isEmpty(values: object): boolean {
  for (const _ in values) return false
  return true
}

// RFC 3986, 3.2: what a host and a port are written with.
const HOST = /^[A-Za-z0-9.\-_~%!$&'()*+,;=:[\]]*$/

/** A proxy may go by another Host than we do, so there is one and it is one (RFC 9112, 3.2). */
function checkHost({ rawHeaders, httpVersionMinor }: IncomingMessage, host: string | undefined): void {
  if (host === undefined && httpVersionMinor === 1) throw badHost('there is no Host header')
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === 4 && (name === 'Host' || name.toLowerCase() === 'host')) count++
  }
  if (count > 1) throw badHost('there is more than one Host header')
  if (host !== undefined && !HOST.test(host)) throw badHost('the Host header is not a host')
}

function badHost(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', message, { details: { endsConnection: true } })
}

/** A body whose end is not certain is how requests are smuggled (RFC 9112, 6.1 and 11.2). */
function checkTransferEncoding({ httpVersionMinor }: IncomingMessage, value: string | undefined): void {
  if (value === undefined) return
  if (httpVersionMinor === 0) {
    const message = 'HTTP/1.0 knows no Transfer-Encoding: where this body ends is not certain'
    throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', message, { details: { endsConnection: true } })
  }
  if (value.toLowerCase() === 'chunked') return
  throw new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', 'the only transfer encoding accepted is chunked', {
    status: 501,
  })
}

/** A line without a version is HTTP/0.9, whose answers have no end but that of the connection. */
function versionNotSupported(): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_UNSUPPORTED', 'only HTTP/1.1 and HTTP/1.0 are spoken', {
    status: 505,
  })
}

function overloaded(maxInFlight: number): SignalboxError {
  return new SignalboxError('SIGNALBOX_OVERLOADED', `more than ${maxInFlight} requests are under way`, {
    retryAfterMs: 1000,
  })
}
