/** The WebSocket connection: one socket to a server, with requests and answers over it. */
import { type ClientOptions, WebSocket } from 'ws'
import type { Timer } from '../../core/clock.ts'
import { fromWire, SignalboxError, type WireError } from '../../core/errors.ts'
import { readPem } from '../../core/pem.ts'
import type { Connection, Outbound, OutgoingMessage, TransportContext } from '../../core/transport.ts'
import { AnswerStream } from './answer-stream.ts'
import type { WebSocketConnectionSettings } from './options.ts'
import { decodeFrame, encodeFrame, isHeaders, type RequestFrame } from './protocol.ts'
import { bytesOf, closeSocket, Heartbeat, NORMAL_CLOSURE, notConnected, send } from './socket.ts'

const TLS_CODES = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/

interface Pending {
  resolve(answer: Outbound): void
  reject(error: Error): void
  timer: Timer
  stream?: AnswerStream
  stopListening?: () => void
}

/** Speaks the frames of json mode, or sends raw frames. */
export class WebSocketConnection implements Connection {
  readonly #options: WebSocketConnectionSettings
  readonly #context: TransportContext
  readonly #pending = new Map<number, Pending>()
  #socket: WebSocket | undefined
  #state: 'new' | 'open' | 'closed' = 'new'
  #lastId = 0

  constructor(options: WebSocketConnectionSettings, context: TransportContext) {
    this.#options = options
    this.#context = context
  }

  async connect(): Promise<void> {
    if (this.#state !== 'new') throw new SignalboxError('SIGNALBOX_USAGE', 'a connection connects once')
    this.#state = 'open'
    const options = await this.#clientOptions()
    if (this.#isClosed()) throw closedMeanwhile()
    const socket = new WebSocket(this.#options.url, this.#options.subprotocols, options)
    this.#socket = socket
    socket.on('message', (data, binary) => this.#message(bytesOf(data), binary))
    await this.#opened(socket)
    const { pingIntervalMs, pongTimeoutMs } = this.#options
    new Heartbeat(socket, this.#context.clock, pingIntervalMs, pongTimeoutMs)
    socket.on('error', error => this.#context.log.debug({ err: error }, 'the WebSocket failed'))
    socket.once('close', (code, reason) => this.#onClose(code, String(reason)))
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    this.#failAll(notConnected())
    if (this.#socket) {
      await closeSocket(this.#socket, NORMAL_CLOSURE, '', this.#context.clock, this.#options.closeTimeoutMs)
    }
  }

  /** Pings the server and waits for its pong. */
  async ping(): Promise<void> {
    const socket = this.#openSocket()
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error) => {
        timer.cancel()
        socket.off('pong', onPong)
        socket.off('close', onClose)
        if (error) reject(error)
        else resolve()
      }
      const onPong = () => done()
      const onClose = () => done(notConnected())
      const timer = this.#context.clock.after(this.#options.pongTimeoutMs, () =>
        done(new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', 'the server did not answer the ping')),
      )
      socket.on('pong', onPong)
      socket.on('close', onClose)
      socket.ping()
    })
  }

  endpoint(): string {
    const url = new URL(this.#options.url)
    url.username = url.password = url.search = ''
    return url.href
  }

  /**
   * Sends one message. In json mode it resolves with the answer; with `attributes.oneWay: true`, and always in
   * raw mode, it resolves with an empty payload when the message has left. A streamed answer is an AsyncIterable.
   */
  async send(message: OutgoingMessage): Promise<Outbound> {
    const socket = this.#openSocket()
    if (message.signal?.aborted) throw new SignalboxError('SIGNALBOX_CANCELLED')
    if (socket.bufferedAmount > this.#options.maxBufferedBytes) {
      throw new SignalboxError(
        'SIGNALBOX_OVERLOADED',
        'the server takes messages more slowly than they are sent',
      )
    }
    const { payload, cid = '' } = message
    if (this.#options.mode === 'raw') {
      const raw = typeof payload === 'string' || payload instanceof Uint8Array
      await send(socket, raw ? (payload as string | Buffer) : encodeFrame({ payload }, false))
      return { payload: undefined, headers: {}, cid }
    }
    if (message.attributes?.oneWay === true) {
      await send(socket, encodeFrame(frameOf(message), false))
      return { payload: undefined, headers: {}, cid }
    }
    const answer = await this.#request(socket, message)
    return answer.cid ? answer : { ...answer, cid }
  }

  /** Sends a payload and resolves with the payload of the answer. */
  async request<Answer = unknown>(
    payload: unknown,
    options: Omit<OutgoingMessage, 'payload'> = {},
  ): Promise<Answer> {
    if (this.#options.mode === 'raw') throw new SignalboxError('SIGNALBOX_USAGE', 'raw mode knows no answers')
    return (await this.send({ ...options, payload })).payload as Answer
  }

  #request(socket: WebSocket, message: OutgoingMessage): Promise<Outbound> {
    if (this.#pending.size >= this.#options.maxInFlight) {
      throw new SignalboxError(
        'SIGNALBOX_OVERLOADED',
        `more than ${this.#options.maxInFlight} requests wait for answers`,
      )
    }
    const id = ++this.#lastId
    const timeoutMs = message.timeoutMs ?? this.#options.timeoutMs
    const data = encodeFrame({ ...frameOf(message), id, timeoutMs }, false)
    return new Promise((resolve, reject) => {
      const timer = this.#context.clock.after(timeoutMs, () =>
        this.#giveUp(
          id,
          new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', `no answer within ${timeoutMs} ms`),
        ),
      )
      const pending: Pending = { resolve, reject, timer }
      const { signal } = message
      if (signal !== undefined) {
        const cancel = () => this.#giveUp(id, new SignalboxError('SIGNALBOX_CANCELLED'))
        signal.addEventListener('abort', cancel, { once: true })
        pending.stopListening = () => signal.removeEventListener('abort', cancel)
      }
      this.#pending.set(id, pending)
      send(socket, data).catch(error => this.#settle(id)?.reject(error))
    })
  }

  /** Fails a request here and tells the server that nobody waits for it any more. */
  #giveUp(id: number, error: SignalboxError): void {
    const pending = this.#settle(id)
    if (pending === undefined) return
    pending.reject(error)
    pending.stream?.fail(error)
    if (this.#socket?.readyState === WebSocket.OPEN)
      this.#socket.send(encodeFrame({ id, cancel: true }, false))
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    if (pending === undefined) return undefined
    this.#pending.delete(id)
    pending.timer.cancel()
    pending.stopListening?.()
    return pending
  }

  #message(bytes: Buffer, binary: boolean): void {
    if (this.#options.mode === 'raw') {
      this.#context.log.debug({ bytes: bytes.length }, 'a raw message from the server has no receiver')
      return
    }
    try {
      this.#answer(decodeFrame(bytes, binary, this.#options.maxDepth))
    } catch (error) {
      this.#context.log.warn({ err: error }, 'the server sent what is not an answer')
    }
  }

  #answer(frame: Record<string, unknown>): void {
    const id = frame.id as number
    const pending = this.#pending.get(id)
    // Answers to what was given up arrive too.
    if (pending === undefined) return
    if (frame.item === true) {
      this.#item(id, pending, frame)
      return
    }
    this.#settle(id)
    if (frame.error !== undefined) {
      const error = errorOf(frame.error)
      pending.reject(error)
      pending.stream?.fail(error)
    } else if (frame.end === true) {
      pending.stream?.end()
      pending.resolve({ ...outboundOf(frame), payload: emptyStream() })
    } else pending.resolve(outboundOf(frame))
  }

  #item(id: number, pending: Pending, frame: Record<string, unknown>): void {
    if (pending.stream === undefined) {
      // From the first item on the reader's pace counts, not the time limit of the answer.
      pending.timer.cancel()
      pending.stream = new AnswerStream(
        () => this.#socket?.pause(),
        () => this.#socket?.resume(),
        () => this.#giveUp(id, new SignalboxError('SIGNALBOX_CANCELLED')),
      )
      pending.resolve({ ...outboundOf(frame), payload: pending.stream })
    }
    pending.stream.push(frame.payload)
  }

  #openSocket(): WebSocket {
    if (this.#state === 'open' && this.#socket?.readyState === WebSocket.OPEN) return this.#socket
    throw notConnected()
  }

  #onClose(code: number, reason: string): void {
    const error = new SignalboxError(
      'SIGNALBOX_NOT_CONNECTED',
      `the server closed the WebSocket (${code} ${reason})`.trim(),
    )
    this.#failAll(error)
    if (this.#state === 'open') this.#context.lost(error)
  }

  #failAll(error: SignalboxError): void {
    for (const id of [...this.#pending.keys()]) {
      const pending = this.#settle(id)
      pending?.reject(error)
      pending?.stream?.fail(error)
    }
  }

  #opened(socket: WebSocket): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error) =>
        reject(this.#isClosed() ? closedMeanwhile() : connectError(error, this.endpoint()))
      // It stays: a socket whose handshake was refused fails once more when it is given up.
      socket.on('error', failed)
      socket.once('unexpected-response', (request, response) => {
        reject(refused(response.statusCode ?? 0, this.endpoint()))
        request.destroy()
      })
      socket.once('open', () => resolve())
    })
  }

  async #clientOptions(): Promise<ClientOptions> {
    const { headers, tls, permessageDeflate, maxPayloadBytes, handshakeMs } = this.#options
    const options: ClientOptions = {
      headers,
      perMessageDeflate: permessageDeflate,
      maxPayload: maxPayloadBytes,
      handshakeTimeout: handshakeMs,
    }
    if (tls === undefined) return options
    options.rejectUnauthorized = tls.rejectUnauthorized
    if (tls.ca !== undefined) options.ca = await readPem(tls.ca)
    if (tls.cert !== undefined) options.cert = await readPem(tls.cert)
    if (tls.key !== undefined) options.key = await readPem(tls.key)
    return options
  }

  // The state changes while connect awaits; the compiler cannot know.
  #isClosed(): boolean {
    return this.#state === 'closed'
  }
}

function frameOf(message: OutgoingMessage): RequestFrame {
  const { payload, headers, cid } = message
  return { payload, ...(headers && { headers }), ...(cid !== undefined && { cid }) }
}

function outboundOf(frame: Record<string, unknown>): Outbound {
  const { payload, headers, status, cid } = frame
  const outbound: Outbound = {
    payload,
    headers: isHeaders(headers) ? headers : {},
    cid: typeof cid === 'string' ? cid : '',
  }
  if (typeof status === 'number') outbound.status = status
  return outbound
}

function errorOf(error: unknown): SignalboxError {
  const wire = error as Partial<WireError> | null
  if (typeof wire?.code === 'string' && typeof wire.message === 'string') return fromWire(wire as WireError)
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', 'the server sent an error that cannot be read')
}

async function* emptyStream(): AsyncGenerator<unknown> {
  // A stream that ended before its first item.
}

function connectError(error: Error, endpoint: string): SignalboxError {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const kind = TLS_CODES.test(code) ? 'SIGNALBOX_TLS_UNVERIFIED' : 'SIGNALBOX_CONNECT_FAILED'
  return new SignalboxError(kind, `no connection to ${endpoint}: ${error.message}`, { cause: error })
}

function refused(status: number, endpoint: string): SignalboxError {
  const credentials = status === 401 || status === 403
  const code = credentials ? 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS' : 'SIGNALBOX_CONNECT_FAILED'
  return new SignalboxError(code, `${endpoint} answered the handshake with status ${status}`, {
    details: { status },
  })
}

function closedMeanwhile(): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', 'the connection was closed while it was opening')
}
