/** What both sides do with a socket: keep-alive, back-pressure of what is sent. */
import type { RawData, WebSocket } from 'ws'
import type { Clock, Timer } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Logger } from '../../core/telemetry/log.ts'

/** Close codes of RFC 6455, 7.4.1. */
export const GOING_AWAY = 1001
export const NORMAL_CLOSURE = 1000

/** The bytes of a message, whichever way ws has them. */
export function bytesOf(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)
}

/** Pings a peer and cuts it when it does not answer: a dead peer is otherwise noticed only when TCP gives up. */
export class Heartbeat {
  readonly #socket: WebSocket
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #timeoutMs: number
  #timer: Timer | undefined
  #stopped = false

  constructor(socket: WebSocket, clock: Clock, intervalMs: number, timeoutMs: number) {
    this.#socket = socket
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#timeoutMs = timeoutMs
    socket.on('pong', () => this.#arm())
    socket.once('close', () => this.stop())
    this.#arm()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  #arm(): void {
    this.#timer?.cancel()
    if (this.#stopped) return
    this.#timer = this.#clock.after(this.#intervalMs, () => {
      if (this.#socket.readyState !== this.#socket.OPEN) return
      this.#timer = this.#clock.after(this.#timeoutMs, () => this.#expired())
      this.#socket.ping()
    })
  }

  #expired(): void {
    // A socket that we do not read cannot show us its pong.
    if (this.#socket.isPaused) this.#arm()
    else this.#socket.terminate()
  }
}

/** Sends one message; resolves when the operating system took it, so that many can be sent at the peer's pace. */
export function send(socket: WebSocket, data: string | Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    if (socket.readyState !== socket.OPEN) return reject(notConnected())
    socket.send(data, error => (error ? reject(notConnected(error)) : resolve()))
  })
}

/** So many items of a stream are sent before others get their turn: writes that succeed at once would starve them. */
const ITEMS_PER_TURN = 64

/**
 * Sends the items of a stream at the pace of the peer. Rejects with the reason of the signal when nobody wants more,
 * also while the source waits for its next item.
 */
export async function sendStream(
  socket: WebSocket,
  source: AsyncIterable<unknown>,
  encode: (item: unknown) => string | Buffer,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]()
  let onAbort: (() => void) | undefined
  const aborted = () => onAbort?.()
  signal.addEventListener('abort', aborted)
  const next = () =>
    new Promise<IteratorResult<unknown>>((resolve, reject) => {
      onAbort = () => reject(signal.reason)
      iterator.next().then(resolve, reject)
    })
  try {
    for (let count = 1; ; count++) {
      signal.throwIfAborted()
      const { done, value } = await next()
      if (done) return
      await send(socket, encode(value))
      if (count % ITEMS_PER_TURN === 0) await new Promise(resolve => setImmediate(resolve))
    }
  } finally {
    signal.removeEventListener('abort', aborted)
    closeIterator(iterator, log)
  }
}

/**
 * Tells a source that nobody reads it. A generator that waits for something answers only when it goes on, so nobody
 * waits for it; what it throws then concerns an answer that is over.
 */
export function closeIterator(iterator: AsyncIterator<unknown>, log: Logger): void {
  iterator.return?.().catch(error => log.debug({ err: error }, 'a stream failed when it was closed'))
}

/** Closes politely; cuts the socket when the peer does not answer in time. Resolves when it is closed. */
export function closeSocket(
  socket: WebSocket,
  code: number,
  reason: string,
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  if (socket.readyState === socket.CLOSED) return Promise.resolve()
  return new Promise(resolve => {
    const timer = clock.after(timeoutMs, () => socket.terminate())
    socket.once('close', () => {
      timer.cancel()
      resolve()
    })
    if (socket.readyState === socket.OPEN) socket.close(code, reason)
    else if (socket.readyState === socket.CONNECTING) socket.terminate()
    // The answer to the close has to be read.
    if (socket.isPaused) socket.resume()
  })
}

export function notConnected(cause?: unknown): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_NOT_CONNECTED',
    'the WebSocket is not open',
    cause === undefined ? {} : { cause },
  )
}
