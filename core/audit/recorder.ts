/**
 * What a thread records of the messages that pass it. The hooks in channels, connections, queues and services test
 * `recorder`, which is undefined while nothing is recorded. Records are written as bytes when a step has ended and
 * leave in chunks; nothing waits for that. When the log does not keep up the newest records are dropped and counted.
 */
import { type Clock, systemClock, type Timer } from '../clock.ts'
import { toSignalboxError } from '../errors.ts'
import { ChunkWriter } from './chunk.ts'
import type { AuditEntry, AuditKind } from './entry.ts'
import type { AuditPolicy } from './policy.ts'

/** Sends a chunk to the log; resolves when the log has taken it. The same one may be sent again after a failure. */
export type SendChunk = (chunk: Buffer) => Promise<unknown>

export interface RecorderOptions {
  policy: AuditPolicy
  /** The thread, unique over its restarts. */
  source: string
  /** As people see it, `node/slot`. */
  worker: string
  send: SendChunk
  clock?: Clock
  /** Called at most once a minute with what stands in the way. */
  onTrouble?: (error: Error, dropped: number) => void
  /** How long a record waits for others. Default 50 ms. */
  flushMs?: number
  /** Chunks are sent when they have so many bytes. Default 64 KiB. */
  chunkBytes?: number
  /** Chunks that wait to be sent hold so many bytes; above, records are dropped. Default 4 MiB. */
  maxWaitingBytes?: number
}

/** A step as its hook knows it; the policy decides what is kept of it. */
export interface Step extends Omit<AuditEntry, 'at' | 'durationMs' | 'headers' | 'body'> {
  /** On `performance.now()` of this thread. */
  startedAt: number
  /** Likewise; default: now. */
  endMs?: number | undefined
  headers?: Readonly<Record<string, string>> | undefined
  payload?: unknown
  /** What a service sees of the channel, kept with the body. */
  attributes?: Record<string, unknown> | undefined
}

/** How this thread fares, as plain data. */
export interface RecorderCounts {
  recorded: number
  dropped: number
  waitingBytes: number
}

const FLUSH_MS = 50
const CHUNK_BYTES = 64 * 1024
const MAX_WAITING_BYTES = 4 * 1024 * 1024
const RETRY_MS = { first: 50, most: 2_000 }
const TROUBLE_MS = 60_000

/** Undefined while this thread records nothing. */
export let recorder: Recorder | undefined

/** Begins or ends the recording of this thread. */
export function setRecorder(next: Recorder | undefined): void {
  recorder = next
}

export class Recorder {
  readonly policy: AuditPolicy
  /** Whether calls of services are recorded. */
  readonly services: boolean
  recorded = 0
  dropped = 0
  readonly #options: RecorderOptions
  readonly #clock: Clock
  readonly #chunk: ChunkWriter
  readonly #maxWaitingBytes: number
  readonly #waiting: Buffer[] = []
  #waitingBytes = 0
  #timer: Timer | undefined
  #sending: Promise<void> | undefined
  /** Those that wait for what is being sent. */
  #onFailure: (() => void)[] = []
  #reported = 0
  #troubleAt = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(options: RecorderOptions) {
    this.policy = options.policy
    this.services = options.policy.settings.services
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#maxWaitingBytes = options.maxWaitingBytes ?? MAX_WAITING_BYTES
    this.#chunk = new ChunkWriter(options.source, options.worker, options.chunkBytes ?? CHUNK_BYTES)
  }

  /** Records a step that has just ended. Never throws: what cannot be recorded is counted as dropped. */
  record(step: Step): void {
    if (!this.policy.includes(step.address)) return
    try {
      this.#add(this.#entryOf(step))
    } catch {
      this.dropped++
    }
  }

  counts(): RecorderCounts {
    return {
      recorded: this.recorded,
      dropped: this.dropped,
      waitingBytes: this.#waitingBytes + this.#chunk.bytes,
    }
  }

  /** Sends what there is, and resolves when the log has taken it, or has refused or not been reached. */
  async flush(): Promise<void> {
    this.#cut()
    if (!this.#sending) return
    const failed = Promise.withResolvers<void>()
    this.#onFailure.push(failed.resolve)
    await Promise.race([this.#sending, failed.promise])
  }

  /** Sends what is left, once; what does not go is dropped. Later records are dropped as well. */
  async close(): Promise<void> {
    this.#closed = true
    await this.flush()
  }

  #entryOf(step: Step): AuditEntry {
    const { startedAt, endMs, headers, payload, attributes } = step
    const entry = step as unknown as AuditEntry
    const now = endMs ?? performance.now()
    entry.at = performance.timeOrigin + startedAt
    entry.durationMs = now - startedAt
    entry.headers = this.policy.headersOf(headers)
    if (this.#keepsBody(step.kind, step.error)) entry.body = this.policy.masker.encode(payload, attributes)
    return entry
  }

  #keepsBody(kind: AuditKind, error: string | undefined): boolean {
    const { bodies } = this.policy.settings
    if (bodies === 'none' || kind === 'replay') return false
    return bodies === 'all' || error !== undefined
  }

  #add(entry: AuditEntry): void {
    if (this.#closed || this.#waitingBytes >= this.#maxWaitingBytes) {
      this.dropped++
      return
    }
    if (!this.#chunk.add(entry)) {
      this.#cut()
      this.#chunk.add(entry)
    }
    this.recorded++
    this.#timer ??= this.#clock.after(this.#options.flushMs ?? FLUSH_MS, () => this.#cut())
  }

  #cut(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#chunk.count === 0) return
    const chunk = this.#chunk.take(this.dropped - this.#reported)
    this.#reported = this.dropped
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined
      this.#onFailure = []
    })
  }

  /** One after the other, so that the log can tell by its number a chunk that it has already. */
  async #send(): Promise<void> {
    let failures = 0
    for (let chunk = this.#waiting[0]; chunk !== undefined; chunk = this.#waiting[0]) {
      try {
        await this.#options.send(chunk)
        failures = 0
        this.#waiting.shift()
        this.#waitingBytes -= chunk.length
      } catch (error) {
        this.#trouble(error)
        for (const told of this.#onFailure.splice(0)) told()
        // At the end there is nobody left to wait for.
        if (this.#closed) return
        const pauseMs = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** failures++)
        await new Promise<void>(resolve => this.#clock.after(pauseMs, resolve))
      }
    }
  }

  /** A log that is not there yet is nothing to speak of until records are lost. */
  #trouble(error: unknown): void {
    const now = this.#clock.monotonic()
    if (this.dropped === 0 || now - this.#troubleAt < TROUBLE_MS) return
    this.#troubleAt = now
    this.#options.onTrouble?.(toSignalboxError(error, 'SIGNALBOX_STORE_UNAVAILABLE'), this.dropped)
  }
}
