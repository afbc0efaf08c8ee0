/** Live events of messages, for whoever asks. Nothing is made while nobody does. */
import { matchesGlob } from 'node:path'
import { SignalboxError } from '../errors.ts'
import { parseOptions, type Static, Type } from '../schema.ts'
import { mask } from './mask.ts'

/** What happened to a message. Plain data. */
export interface TailEvent {
  event: 'received' | 'answered' | 'handled' | 'failed' | 'sent' | 'kept' | 'consumed'
  kind: 'channel' | 'service' | 'connection' | 'queue' | 'topic' | 'consumer'
  /** Milliseconds since the epoch. */
  at: number
  cid: string | undefined
  /** Where it came from, as an address, where that is known. */
  from: string | undefined
  to: string | undefined
  /** `ok` or the code of the error; undefined for what has only begun. */
  outcome: string | undefined
  durationMs: number | undefined
  bytes: number | undefined
  /** Only when the filter asks for bodies: masked and cut. */
  body?: string
}

/** What a listener wants to see. */
export const TailFilter = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        maxLength: 256,
        description: 'Glob for an address, e.g. service/orders.*; either end of the message.',
      }),
    ),
    cid: Type.Optional(Type.String({ maxLength: 256, description: 'One correlation id.' })),
    outcome: Type.Optional(
      Type.String({ maxLength: 128, description: '`ok`, `error` for any error, or the code of an error.' }),
    ),
    bodies: Type.Optional(
      Type.Boolean({ default: false, description: 'Show payloads: secrets masked, cut.' }),
    ),
    maxBodyBytes: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_536,
        default: 1_024,
        description: 'Characters of a payload that are shown.',
      }),
    ),
    buffer: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000,
        default: 1_000,
        description: 'Events that wait to be fetched; more are skipped and counted.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type TailFilter = Static<typeof TailFilter>

/** What a listener has not seen yet. */
export interface TailBatch {
  events: TailEvent[]
  /** Events that came while the buffer was full, since the last batch. */
  skipped: number
}

const MAX_LISTENERS = 32
/** A listener that fetches nothing for this long is gone. */
const IDLE_MS = 30_000

interface Listener {
  filter: TailFilter
  events: TailEvent[]
  skipped: number
  idle: NodeJS.Timeout
}

export class TailHub {
  /** Whether anybody listens: the one test that a message costs otherwise. */
  listening = false
  readonly #listeners = new Map<number, Listener>()
  readonly #changed: () => void
  readonly #idleMs: number
  #ids = 0

  /** `changed` is called when the first listener comes and when the last one goes. */
  constructor(changed: () => void = () => {}, idleMs: number = IDLE_MS) {
    this.#changed = changed
    this.#idleMs = idleMs
  }

  /** Begins to gather events. Throws SIGNALBOX_OPTIONS_INVALID for a bad filter, SIGNALBOX_OVERLOADED past 32. */
  open(filter: unknown): number {
    const valid = parseOptions<TailFilter>(TailFilter, filter, 'tail filter')
    if (this.#listeners.size >= MAX_LISTENERS) {
      throw new SignalboxError('SIGNALBOX_OVERLOADED', `${MAX_LISTENERS} listeners tail this worker already`)
    }
    const id = this.#ids++
    const idle = setTimeout(() => this.close(id), this.#idleMs).unref()
    this.#listeners.set(id, { filter: valid, events: [], skipped: 0, idle })
    this.#refresh()
    return id
  }

  /** What came since the last time. Throws SIGNALBOX_NOT_FOUND when the listener was closed, or idle for 30 s. */
  read(id: number): TailBatch {
    const listener = this.#listeners.get(id)
    if (!listener) throw new SignalboxError('SIGNALBOX_NOT_FOUND', `there is no tail ${id}: open one again`)
    listener.idle.refresh()
    const { events, skipped } = listener
    listener.events = []
    listener.skipped = 0
    return { events, skipped }
  }

  /** Ends a listener. Idempotent. */
  close(id: number): void {
    clearTimeout(this.#listeners.get(id)?.idle)
    if (this.#listeners.delete(id)) this.#refresh()
  }

  /** Hands an event to those who want it; `payload` is looked at only for bodies. Never throws. */
  emit(event: TailEvent, payload?: unknown): void {
    for (const listener of this.#listeners.values()) {
      const { filter } = listener
      if (!wants(filter, event)) continue
      if (listener.events.length >= filter.buffer!) listener.skipped++
      else
        listener.events.push(
          filter.bodies ? { ...event, body: bodyOf(payload, filter.maxBodyBytes!) } : event,
        )
    }
  }

  #refresh(): void {
    const listening = this.#listeners.size > 0
    if (listening === this.listening) return
    this.listening = listening
    this.#changed()
  }
}

function wants({ name, cid, outcome }: TailFilter, event: TailEvent): boolean {
  if (cid !== undefined && event.cid !== cid) return false
  if (outcome !== undefined && !matchesOutcome(outcome, event.outcome)) return false
  if (name === undefined) return true
  return matches(event.from, name) || matches(event.to, name)
}

function matchesOutcome(wanted: string, outcome: string | undefined): boolean {
  if (wanted === 'error') return outcome !== undefined && outcome !== 'ok'
  return outcome === wanted
}

function matches(address: string | undefined, glob: string): boolean {
  return address !== undefined && (address === glob || matchesGlob(address, glob))
}

/** Payload as text: JSON with secrets masked, bytes as UTF-8 when they are JSON, otherwise only their number. */
function bodyOf(payload: unknown, max: number): string {
  const text = textOf(payload)
  return text.length <= max ? text : `${text.slice(0, max)}... (${text.length} characters)`
}

function textOf(payload: unknown): string {
  try {
    if (payload instanceof Uint8Array || typeof payload === 'string') return rawText(payload)
    return JSON.stringify(mask(payload)) ?? String(payload)
  } catch (error) {
    return `(cannot be shown: ${(error as Error).message})`
  }
}

/** Text that is no JSON may hold a secret anywhere: only its length is said. */
function rawText(payload: Uint8Array | string): string {
  const size = payload.length
  const unit = typeof payload === 'string' ? 'characters of text' : 'bytes'
  if (size > 65_536) return `(${size} ${unit})`
  const text =
    typeof payload === 'string' ? payload : Buffer.from(payload.buffer, payload.byteOffset, size).toString()
  if (!/^\s*[[{]/.test(text)) return `(${size} ${unit})`
  return JSON.stringify(mask(JSON.parse(text)))
}
