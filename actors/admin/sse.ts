/** The live tail as Server-Sent Events (HTML standard, 9.2): bounded for each client, whatever its speed. */
import type { ServerResponse } from 'node:http'
import type { Clock, Timer } from '../../core/clock.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import type { TailEvent } from './operator.ts'

export interface TailOptions {
  clock: Clock
  log: Logger
  /** Pause between comments that keep an idle stream open, in milliseconds. */
  heartbeatMs: number
  /** A client that takes nothing for so long is cut, in milliseconds. */
  writeMs: number
  /** Events beyond this many bytes waiting for the client are counted and left out. */
  maxBufferedBytes: number
}

/** Writes events to one client until it leaves or {@link TailStream.end} is called. */
export class TailStream {
  readonly #response: ServerResponse
  readonly #options: TailOptions
  #stop: (() => void) | undefined
  #heartbeat: Timer | undefined
  #skipped = 0
  #stuckSinceMs: number | undefined
  #stuckBytes = 0
  #ended = false

  constructor(response: ServerResponse, options: TailOptions) {
    this.#response = response
    this.#options = options
  }

  /** Begins. `subscribe` returns what stops the events. */
  start(subscribe: (listener: (event: TailEvent) => void) => () => void): void {
    this.#response.once('close', () => this.#finish())
    this.#response.on('drain', () => this.#tellSkipped())
    // Tells the client at once that it is connected.
    this.#response.write(': connected\n\n')
    this.#stop = subscribe(event => this.#event(event))
    this.#schedule()
  }

  /** Ends the stream, e.g. because the server closes. */
  end(): void {
    if (this.#ended) return
    this.#finish()
    this.#response.end('event: end\ndata: {}\n\n')
  }

  #event(event: TailEvent): void {
    if (this.#ended) return
    const text = this.#encode(event)
    if (text === undefined) return
    if (this.#response.writableLength + text.length > this.#options.maxBufferedBytes) this.#skipped++
    else this.#response.write(text)
  }

  #encode(event: TailEvent): string | undefined {
    try {
      return `event: message\ndata: ${JSON.stringify(event)}\n\n`
    } catch (error) {
      this.#options.log.warn(
        { err: error, address: event.address },
        'an event of the tail cannot be written as JSON',
      )
      this.#skipped++
      return undefined
    }
  }

  #tellSkipped(): void {
    if (this.#skipped === 0 || this.#ended) return
    this.#response.write(`event: skipped\ndata: ${JSON.stringify({ count: this.#skipped })}\n\n`)
    this.#skipped = 0
  }

  #schedule(): void {
    const { clock, heartbeatMs } = this.#options
    this.#heartbeat = clock.after(heartbeatMs, () => {
      if (this.#isStuck()) {
        this.#response.destroy()
        return
      }
      if (this.#response.writableLength === 0) {
        this.#tellSkipped()
        this.#response.write(':\n\n')
      }
      this.#schedule()
    })
  }

  /** Whether the client has taken nothing of what waits for it for `writeMs`. */
  #isStuck(): boolean {
    const waiting = this.#response.writableLength
    const now = this.#options.clock.monotonic()
    if (waiting === 0 || waiting < this.#stuckBytes || this.#stuckSinceMs === undefined) {
      this.#stuckSinceMs = waiting === 0 ? undefined : now
      this.#stuckBytes = waiting
      return false
    }
    this.#stuckBytes = waiting
    return now - this.#stuckSinceMs >= this.#options.writeMs
  }

  #finish(): void {
    if (this.#ended) return
    this.#ended = true
    this.#heartbeat?.cancel()
    this.#stop?.()
  }
}
