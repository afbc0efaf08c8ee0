/** One client of the channel: its messages in order, within limits, and its answers. */
import type { WebSocket } from 'ws'
import { SignalboxError } from '../../core/errors.ts'
import type { Inbound, Outbound, Receive, TransportContext } from '../../core/transport.ts'
import type { WebSocketChannelSettings } from './options.ts'
import {
  type AnswerFrame,
  checkRequest,
  decodeFrame,
  encodeFrame,
  isId,
  publicError,
  type RequestFrame,
  type RequestId,
} from './protocol.ts'
import { bytesOf, closeIterator, closeSocket, GOING_AWAY, Heartbeat, sendStream } from './socket.ts'

/** What the handshake said. */
export interface Handshake {
  headers: Record<string, string>
  attributes: Record<string, unknown>
  target: string | undefined
  timeoutMs: number | undefined
}

/** What all sessions of a channel share. */
export interface SessionContext {
  options: WebSocketChannelSettings
  context: TransportContext
  receive: Receive
  /** Whether one more message may be handed over in this worker. */
  mayStart(): boolean
  started(): void
  settled(): void
}

/** The AbortController is made only for services that look at `signal`. */
class SocketInbound implements Inbound {
  payload: unknown
  headers: Record<string, string>
  attributes: Record<string, unknown>
  bytes: number
  target?: string
  cid?: string
  traceparent?: string
  timeoutMs?: number
  #controller: AbortController | undefined
  #reason: SignalboxError | undefined

  constructor(payload: unknown, handshake: Handshake, bytes: number) {
    this.payload = payload
    this.headers = handshake.headers
    this.attributes = handshake.attributes
    this.bytes = bytes
    if (handshake.target !== undefined) this.target = handshake.target
    if (handshake.timeoutMs !== undefined) this.timeoutMs = handshake.timeoutMs
  }

  /** Aborted when the client goes away or cancels. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#reason) this.#controller.abort(this.#reason)
    return this.#controller.signal
  }

  cancel(reason: SignalboxError): void {
    this.#reason ??= reason
    this.#controller?.abort(this.#reason)
  }
}

interface Waiting {
  bytes: Buffer
  binary: boolean
}

/** Lives as long as its socket. */
export class Session {
  readonly #socket: WebSocket
  readonly #handshake: Handshake
  readonly #shared: SessionContext
  readonly #heartbeat: Heartbeat
  readonly #limit: number
  // What one read of the socket brought may be many messages, and pausing does not take them back.
  readonly #waiting: Waiting[] = []
  readonly #running = new Set<SocketInbound>()
  readonly #streaming = new Set<SocketInbound>()
  readonly #byId = new Map<RequestId, SocketInbound>()
  #draining = false
  #onIdle: (() => void) | undefined

  constructor(socket: WebSocket, handshake: Handshake, shared: SessionContext) {
    const { options, context } = shared
    this.#socket = socket
    this.#handshake = handshake
    this.#shared = shared
    this.#limit = options.mode === 'raw' ? 1 : options.maxInFlightPerConnection
    this.#heartbeat = new Heartbeat(socket, context.clock, options.pingIntervalMs, options.pongTimeoutMs)
    socket.on('message', (data, binary) => this.#message(bytesOf(data), binary))
    // What a client does wrong (too large, not UTF-8) closes its socket with the right code; ws does that.
    socket.on('error', error => context.log.debug({ err: error }, 'a WebSocket client failed'))
    socket.once('close', () => this.#closed())
  }

  /** Handles waiting messages as far as the limits allow. */
  pump(): void {
    while (
      this.#waiting.length > 0 &&
      !this.#draining &&
      this.#running.size < this.#limit &&
      this.#shared.mayStart()
    ) {
      const { bytes, binary } = this.#waiting.shift()!
      this.#handle(bytes, binary)
    }
    if (this.#draining || this.#socket.readyState !== this.#socket.OPEN) return
    // Not before something waits: a socket that is not read does not show that its client has left.
    if (this.#waiting.length > 0) this.#socket.pause()
    else this.#socket.resume()
  }

  /** Takes no more messages, ends streams, waits for what else is under way, says goodbye. */
  async drain(): Promise<void> {
    this.#draining = true
    this.#waiting.length = 0
    for (const inbound of this.#streaming) inbound.cancel(stopping())
    if (this.#running.size > 0) {
      await new Promise<void>(resolve => {
        this.#onIdle = resolve
      })
    }
    const { options, context } = this.#shared
    await closeSocket(this.#socket, GOING_AWAY, 'going away', context.clock, options.closeTimeoutMs)
  }

  terminate(): void {
    this.#heartbeat.stop()
    this.#socket.terminate()
  }

  #message(bytes: Buffer, binary: boolean): void {
    if (this.#draining) return
    this.#waiting.push({ bytes, binary })
    this.pump()
  }

  #closed(): void {
    this.#waiting.length = 0
    for (const inbound of this.#running)
      inbound.cancel(new SignalboxError('SIGNALBOX_CANCELLED', 'the client went away'))
  }

  #handle(bytes: Buffer, binary: boolean): void {
    if (this.#shared.options.mode === 'raw') {
      const payload = binary ? bytes : bytes.toString()
      this.#run(new SocketInbound(payload, this.#handshake, bytes.length), undefined, binary)
      return
    }
    let decoded: Record<string, unknown> | undefined
    try {
      decoded = decodeFrame(bytes, binary, this.#shared.options.maxDepth)
      this.#request(checkRequest(decoded), bytes.length, binary)
    } catch (error) {
      this.#send({ id: isId(decoded?.id) ? decoded.id : null, error: publicError(error) }, binary)
    }
  }

  #request(frame: RequestFrame, bytes: number, binary: boolean): void {
    const { id, headers, cid, traceparent, timeoutMs } = frame
    if (frame.cancel) {
      this.#byId
        .get(id!)
        ?.cancel(new SignalboxError('SIGNALBOX_CANCELLED', 'the client cancelled the request'))
      return
    }
    if (id !== undefined && this.#byId.has(id)) {
      throw new SignalboxError('SIGNALBOX_CONFLICT', 'a request with this id is still under way')
    }
    const inbound = new SocketInbound(frame.payload, this.#handshake, bytes)
    if (headers !== undefined) inbound.headers = { ...this.#handshake.headers, ...lowerCase(headers) }
    if (cid !== undefined) inbound.cid = cid
    if (traceparent !== undefined) inbound.traceparent = traceparent
    // A client may ask for less time than the route gives, never for more.
    if (timeoutMs !== undefined) inbound.timeoutMs = Math.min(timeoutMs, inbound.timeoutMs ?? timeoutMs)
    this.#run(inbound, id, binary)
  }

  #run(inbound: SocketInbound, id: RequestId | undefined, binary: boolean): void {
    this.#running.add(inbound)
    if (id !== undefined) this.#byId.set(id, inbound)
    this.#shared.started()
    void this.#serve(inbound, id, binary).finally(() => {
      this.#running.delete(inbound)
      if (id !== undefined) this.#byId.delete(id)
      this.#shared.settled()
      if (this.#running.size === 0) this.#onIdle?.()
      this.pump()
    })
  }

  async #serve(inbound: SocketInbound, id: RequestId | undefined, binary: boolean): Promise<void> {
    const { receive, options, context } = this.#shared
    try {
      const outbound = await receive(inbound)
      if (options.mode === 'raw') await this.#answerRaw(outbound, inbound)
      else await this.#answer(outbound, inbound, id, binary)
    } catch (error) {
      if (!(error instanceof SignalboxError))
        context.log.error({ err: error }, 'a message failed unexpectedly')
      if (options.mode === 'raw') this.#sendData(JSON.stringify({ error: publicError(error) }))
      else if (id !== undefined) this.#send({ id, error: publicError(error) }, binary)
      else context.log.debug({ err: error }, 'a message that wants no answer failed')
    }
  }

  async #answer(
    outbound: Outbound,
    inbound: SocketInbound,
    id: RequestId | undefined,
    binary: boolean,
  ): Promise<void> {
    const { payload, headers, status, cid } = outbound
    if (isStream(payload)) {
      if (id === undefined) {
        closeIterator(payload[Symbol.asyncIterator](), this.#shared.context.log)
        return
      }
      const encode = (item: unknown) => encodeFrame({ id, item: true, payload: item }, binary)
      await this.#stream(payload, inbound, encode)
      this.#send({ id, end: true, cid }, binary)
    } else if (id !== undefined) {
      const frame: AnswerFrame = { id, payload, cid }
      for (const _ in headers) {
        frame.headers = headers
        break
      }
      if (status !== undefined) frame.status = status
      this.#send(frame, binary)
    }
  }

  async #answerRaw({ payload }: Outbound, inbound: SocketInbound): Promise<void> {
    if (payload === undefined) return
    if (isStream(payload)) await this.#stream(payload, inbound, rawData)
    else this.#sendData(rawData(payload))
  }

  async #stream(
    source: AsyncIterable<unknown>,
    inbound: SocketInbound,
    encode: (item: unknown) => string | Buffer,
  ): Promise<void> {
    this.#streaming.add(inbound)
    if (this.#draining) inbound.cancel(stopping())
    try {
      await sendStream(this.#socket, source, encode, inbound.signal, this.#shared.context.log)
    } finally {
      this.#streaming.delete(inbound)
    }
  }

  #send(frame: AnswerFrame, binary: boolean): void {
    this.#sendData(encodeFrame(frame, binary))
  }

  #sendData(data: string | Buffer): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    this.#socket.send(data)
    if (this.#socket.bufferedAmount > this.#shared.options.maxBufferedBytes) {
      this.#shared.context.log.warn(
        { bufferedBytes: this.#socket.bufferedAmount },
        'a WebSocket client reads too slowly and was cut',
      )
      this.#socket.terminate()
    }
  }
}

function rawData(payload: unknown): string | Buffer {
  if (typeof payload === 'string') return payload
  if (payload instanceof Uint8Array)
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  return JSON.stringify(payload) ?? 'null'
}

function stopping(): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_ACTOR_STOPPED',
    'the channel stops; ask again for the rest of the stream',
  )
}

function isStream(payload: unknown): payload is AsyncIterable<unknown> {
  return typeof payload === 'object' && payload !== null && Symbol.asyncIterator in payload
}

function lowerCase(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
