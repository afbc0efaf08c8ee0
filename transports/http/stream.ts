/** Streams as answers: raw bytes or text, JSON lines, or Server-Sent Events, at the pace of the client. */
import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import { encodeEvent, SSE_COMMENT } from './sse.ts'
import { drained } from './writer.ts'

export type StreamKind = 'events' | 'lines' | 'raw'

/** What a stream needs from the channel. */
export interface StreamSettings {
  clock: Clock
  log: Logger
  sseKeepAliveMs: number
  /** Writes status and headers, when the first item told what the stream consists of. */
  writeHead(kind: StreamKind, contentType: string): void
  /** Describes an error for an event stream whose head is out. */
  describe(error: unknown): string
}

/** So many items are sent before other requests get their turn: writes that succeed at once would starve them. */
const ITEMS_PER_TURN = 64
const END = Symbol('end')

/** Whether a payload is a stream. */
export function isStream(payload: unknown): payload is AsyncIterable<unknown> {
  return typeof payload === 'object' && payload !== null && Symbol.asyncIterator in payload
}

/** Sends one stream. It ends with the source, with the client, or with {@link StreamSender.stop}. */
export class StreamSender {
  readonly #iterator: AsyncIterator<unknown>
  readonly #response: ServerResponse
  readonly #settings: StreamSettings
  #stopped = false
  #count = 0
  #onStop: (() => void) | undefined
  #keepAlive: Timer | undefined

  constructor(source: AsyncIterable<unknown>, response: ServerResponse, settings: StreamSettings) {
    this.#iterator = source[Symbol.asyncIterator]()
    this.#response = response
    this.#settings = settings
    response.once('close', () => this.stop())
  }

  /** Ends the stream early: the source is closed, the answer ends. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#onStop?.()
  }

  /**
   * Sends all. Rejects with what the source threw before the first item, so that it becomes an error answer; a
   * failure after that breaks the answer off, so that the client cannot take it for complete.
   * @param contentType Media type, when service or route set one.
   */
  async send(events: boolean, contentType: string | undefined): Promise<void> {
    try {
      if (events) await this.#sendEvents()
      else await this.#sendItems(contentType)
    } finally {
      this.#keepAlive?.cancel()
      this.#closeSource()
    }
  }

  async #sendEvents(): Promise<void> {
    this.#settings.writeHead('events', 'text/event-stream')
    this.#response.flushHeaders()
    this.#armKeepAlive()
    try {
      for (let item = await this.#next(); item !== END; item = await this.#next())
        await this.#write(encodeEvent(item))
    } catch (error) {
      await this.#write(`event: error\n${encodeEvent(this.#settings.describe(error))}`)
    }
    this.#response.end()
  }

  async #sendItems(contentType: string | undefined): Promise<void> {
    let item = await this.#next()
    const { kind, type } = kindOf(item)
    if (this.#response.destroyed) return
    this.#settings.writeHead(kind, contentType ?? type)
    try {
      for (; item !== END; item = await this.#next()) await this.#write(encodeItem(item, kind))
      // Stopped by a drain: the answer is not complete, and must not look so.
      if (this.#stopped) this.#breakOff()
      else this.#response.end()
    } catch (error) {
      this.#breakOff()
      throw error
    }
  }

  /** Sends what is written and closes without the last chunk, so that the client sees that something is missing. */
  #breakOff(): void {
    this.#response.socket?.destroySoon()
  }

  /** The next item, or END when the source ended or nobody wants more. */
  #next(): Promise<unknown> {
    if (this.#stopped) return Promise.resolve(END)
    // A race against one long-lived promise would keep a reaction for each item; this keeps one in all.
    return new Promise((resolve, reject) => {
      this.#onStop = () => resolve(END)
      this.#iterator.next().then(result => resolve(result.done ? END : result.value), reject)
    })
  }

  async #write(chunk: string | Uint8Array): Promise<void> {
    if (++this.#count % ITEMS_PER_TURN === 0) await new Promise(resolve => setImmediate(resolve))
    if (this.#response.destroyed || this.#response.write(chunk)) return
    await drained(this.#response)
  }

  #armKeepAlive(): void {
    this.#keepAlive = this.#settings.clock.after(this.#settings.sseKeepAliveMs, () => {
      if (this.#response.destroyed || this.#stopped) return
      if (!this.#response.writableNeedDrain) this.#response.write(SSE_COMMENT)
      this.#armKeepAlive()
    })
  }

  #closeSource(): void {
    closeIterator(this.#iterator, this.#settings.log)
  }
}

/** Tells a source that nobody reads it, for an answer that has no use for its stream. */
export function discardStream(source: AsyncIterable<unknown>, log: Logger): void {
  closeIterator(source[Symbol.asyncIterator](), log)
}

function closeIterator(iterator: AsyncIterator<unknown>, log: Logger): void {
  // A generator that waits for something answers `return` only when it goes on, so nobody waits for it here.
  iterator.return?.().catch(error => log.debug({ err: error }, 'a stream failed when it was closed'))
}

function kindOf(item: unknown): { kind: StreamKind; type: string } {
  if (typeof item === 'string') return { kind: 'raw', type: 'text/plain; charset=utf-8' }
  if (item instanceof Uint8Array || item === END) return { kind: 'raw', type: 'application/octet-stream' }
  return { kind: 'lines', type: 'application/x-ndjson' }
}

function encodeItem(item: unknown, kind: StreamKind): string | Uint8Array {
  if (kind === 'lines') return `${JSON.stringify(item) ?? 'null'}\n`
  if (typeof item === 'string' || item instanceof Uint8Array) return item
  throw new SignalboxError(
    'SIGNALBOX_ANSWER_INVALID',
    'a stream that starts with text or bytes must go on so',
  )
}
