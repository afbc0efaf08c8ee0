/** The Redis connection: the full client, and what integrations need most as typed operations. */
import { idSource } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import type { Connection, Outbound, OutgoingMessage, TransportContext } from '../../core/transport.ts'
import { BlockingLinks } from './blocking-links.ts'
import { Cache, type Maker } from './cache.ts'
import { endpointOf, type OpenClient, openClient, type RedisClient } from './client.ts'
import { type Commands, execute, type Reply } from './commands.ts'
import { commandError } from './failure.ts'
import { type HeldLock, withLock } from './lock.ts'
import type { RedisConnectionSettings } from './options.ts'
import { type EntryHeaders, writeEntry, writePayload } from './payload.ts'

const nextCid = idSource()
const DEFAULT_PAYLOAD_FIELD = 'payload'

/** Options of any operation. */
export interface CallOptions {
  /** Longest time of the call in milliseconds; default: that of a command. */
  timeoutMs?: number
  /** The caller gives up. A command that has left may be executed all the same. */
  signal?: AbortSignal
}

/** Options of {@link RedisConnection.xadd}. */
export interface AddOptions extends CallOptions, EntryHeaders {
  /** About how many entries the stream keeps; older ones are trimmed. Default: all. */
  maxLen?: number
  /** Field of the payload. Default `payload`. */
  payloadField?: string
}

/** Options of {@link RedisConnection.push}. */
export interface PushOptions extends CallOptions {
  /** Default `right`: a channel takes from the left. */
  end?: 'left' | 'right'
}

/** Options of {@link RedisConnection.pop}. */
export interface PopOptions extends CallOptions {
  /** How long to wait for a message, in milliseconds. Default 0: not at all. */
  waitMs?: number
  /** Default `left`. */
  end?: 'left' | 'right'
}

/** Options of {@link RedisConnection.set} and {@link RedisConnection.getOrSet}. */
export interface CacheOptions extends CallOptions {
  /** After how many milliseconds the value is forgotten. Default: never. */
  ttlMs?: number
}

/** Options of {@link RedisConnection.lock}. */
export interface LockOptions extends CallOptions {
  /** After how many milliseconds without a renewal the lock is free again. Default 20,000. */
  ttlMs?: number
  /** How long to wait for it, in milliseconds. Default 0: not at all. */
  waitMs?: number
}

/**
 * One link to a server, the master of a Sentinel group, or a cluster. Operations reject with SIGNALBOX_NOT_CONNECTED,
 * SIGNALBOX_TIMEOUT_DEADLINE, SIGNALBOX_CANCELLED, SIGNALBOX_OVERLOADED (too many wait for replies), or
 * SIGNALBOX_OPERATION_REFUSED with the words of the server. Nothing is sent twice, and nothing waits for a link that is
 * lost.
 *
 * ```ts
 * const cache = this.connection<RedisConnection>('cache')
 * const rate = await cache.getOrSet('rate:EUR', () => fetchRate('EUR'), { ttlMs: 60_000 })
 * await cache.client.zincrby('hits', 1, 'EUR')
 * ```
 */
export class RedisConnection implements Connection {
  readonly #options: RedisConnectionSettings
  readonly #context: TransportContext
  readonly #closing = new AbortController()
  readonly #cache: Cache
  readonly #blocking: BlockingLinks
  #state: 'idle' | 'open' | 'closed' = 'idle'
  #opened: OpenClient | undefined
  #inFlight = 0

  constructor(options: RedisConnectionSettings, context: TransportContext) {
    this.#options = options
    this.#context = context
    this.#cache = new Cache(options)
    this.#blocking = new BlockingLinks(options, this.#clientName('-pop'), this.#closing.signal)
  }

  async connect(): Promise<void> {
    if (this.#state !== 'idle') throw new SignalboxError('SIGNALBOX_USAGE', 'a connection connects once')
    this.#state = 'open'
    const { keyPrefix } = this.#options
    const use = { name: this.#clientName(''), ...(keyPrefix !== '' && { keyPrefix }) }
    const opened = await openClient(this.#options, use, this.#closing.signal)
    this.#opened = opened
    void opened.lost.then(error => this.#context.lost(error))
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    this.#closing.abort()
    this.#opened?.close()
    this.#blocking.close()
  }

  async ping(): Promise<void> {
    await this.#run({}, client => client.ping())
  }

  endpoint(): string {
    return endpointOf(this.#options)
  }

  /**
   * The client of ioredis itself, for every command there is. The key prefix of the options is put before keys; time
   * limits hold; errors are those of the client. Throws SIGNALBOX_NOT_CONNECTED.
   */
  get client(): RedisClient {
    if (this.#state === 'open' && this.#opened) return this.#opened.client
    throw new SignalboxError('SIGNALBOX_NOT_CONNECTED', `${this.endpoint()} is not connected`)
  }

  /**
   * Sends one message where its attributes say: `stream` (with `maxLen`), `channel` or `list` (with `end`). Headers
   * and correlation id travel in streams only. Resolves when the server has it, with an empty payload; the headers of
   * the answer have the `entry-id`, the number of `receivers`, or the `length` of the list.
   */
  async send(message: OutgoingMessage): Promise<Outbound> {
    const { payload, attributes = {}, cid = nextCid(), headers } = message
    const { stream, channel, list, maxLen, end } = attributes
    const names = [stream, channel, list].filter(name => name !== undefined)
    if (names.length !== 1 || typeof names[0] !== 'string' || names[0] === '')
      throw usage('attributes must have one of stream, channel and list, a name')
    const call = callOptions(message)
    const answer = (about: Record<string, string>): Outbound => ({ payload: undefined, headers: about, cid })
    if (channel !== undefined)
      return answer({ receivers: String(await this.publish(names[0], payload, call)) })
    if (list !== undefined) {
      if (end !== undefined && end !== 'left' && end !== 'right') throw usage("end must be 'left' or 'right'")
      const length = await this.push(names[0], payload, { ...call, ...(end !== undefined && { end }) })
      return answer({ length: String(length) })
    }
    if (maxLen !== undefined && !(Number.isSafeInteger(maxLen) && (maxLen as number) > 0))
      throw usage('maxLen must be a positive whole number')
    const limit = maxLen === undefined ? {} : { maxLen: maxLen as number }
    const id = await this.xadd(names[0], payload, { ...call, ...limit, cid, headers })
    return answer({ 'entry-id': id })
  }

  /** Publishes to a channel; at most once. Resolves with the number of receivers of this node. */
  async publish(channel: string, payload: unknown, options: CallOptions = {}): Promise<number> {
    const { bytes } = writePayload(payload, undefined, this.#options.maxPayloadBytes)
    // The client puts no prefix before channels.
    return this.#run(options, client => client.publish(this.#options.keyPrefix + channel, bytes))
  }

  /** Adds an entry to a stream. Resolves with its id. */
  async xadd(stream: string, payload: unknown, options: AddOptions = {}): Promise<string> {
    const { maxLen, payloadField = DEFAULT_PAYLOAD_FIELD } = options
    const fields = writeEntry(payload, options, payloadField, this.#options.maxPayloadBytes)
    const trim = maxLen === undefined ? [] : ['MAXLEN', '~', maxLen]
    return this.#run(options, async client => (await client.xadd(stream, ...trim, '*', ...fields))!)
  }

  /** Puts a message on a list. Resolves with the length of the list. */
  async push(list: string, payload: unknown, options: PushOptions = {}): Promise<number> {
    const { bytes } = writePayload(payload, undefined, this.#options.maxPayloadBytes)
    return this.#run(options, client =>
      options.end === 'left' ? client.lpush(list, bytes) : client.rpush(list, bytes),
    )
  }

  /**
   * Takes a message from a list; undefined when there is none. It is gone from the list before the caller has it: for
   * messages that must not be lost there are channels.
   */
  async pop(list: string, options: PopOptions = {}): Promise<Buffer | undefined> {
    const { waitMs = 0, end = 'left' } = options
    const once = (client: RedisClient) => (end === 'left' ? client.lpopBuffer(list) : client.rpopBuffer(list))
    const taken = await this.#run(options, once)
    if (taken !== null || waitMs <= 0) return taken ?? undefined
    const limit = options.timeoutMs ?? waitMs + this.#options.commandTimeoutMs
    return this.#run({ ...options, timeoutMs: limit }, () =>
      this.#blocking.pop(list, end, waitMs, options.signal),
    )
  }

  /** The value of a key that {@link set} has written; undefined when there is none. */
  async get<T = unknown>(key: string, options: CallOptions = {}): Promise<T | undefined> {
    return this.#run(options, client => this.#cache.get<T>(client, key))
  }

  /** Keeps a value, as JSON. */
  async set(key: string, value: unknown, options: CacheOptions = {}): Promise<void> {
    await this.#run(options, client => this.#cache.set(client, key, value, options.ttlMs))
  }

  /**
   * The value of a key, made and kept when there is none. Callers of this worker that want the same key at the same
   * time wait for one making; a failure is that of all of them, and is not kept.
   */
  async getOrSet<T>(key: string, make: Maker<T>, options: CacheOptions = {}): Promise<T> {
    return this.#cache.getOrSet(key, make, {
      get: () => this.get<T>(key, options),
      set: value => this.set(key, value, options),
    })
  }

  /** Deletes keys. Resolves with the number of those that were there. */
  async delete(keys: string | readonly string[], options: CallOptions = {}): Promise<number> {
    return this.#run(options, client => this.#cache.delete(client, typeof keys === 'string' ? [keys] : keys))
  }

  /**
   * Deletes all keys that begin so; with SCAN, so that the server serves others meanwhile. Keys that come up while it
   * runs may stay. Resolves with the number of those that were there.
   */
  async deleteByPrefix(prefix: string, options: CallOptions = {}): Promise<number> {
    if (prefix === '') throw usage('deleteByPrefix wants a prefix: an empty one would be every key')
    return this.#run(options, client => this.#cache.deleteByPrefix(client, prefix))
  }

  /** Names of all keys that begin so, each once, as SCAN finds them. */
  async *scan(prefix: string): AsyncGenerator<string> {
    try {
      yield* this.#cache.scan(this.client, prefix)
    } catch (error) {
      throw commandError(error, this.endpoint())
    }
  }

  /**
   * Runs `work` while holding a lock, which is renewed as long as it takes and freed afterwards. The signal of the lock
   * is aborted when it was lost: somebody else may hold it then. Rejects with SIGNALBOX_CONFLICT when it is taken.
   * One server keeps it: after a failover two may hold it, so what must not happen twice needs a fence of its own.
   */
  async lock<T>(name: string, work: (lock: HeldLock) => Promise<T>, options: LockOptions = {}): Promise<T> {
    const { clock } = this.#context
    const run = <R>(command: (client: RedisClient) => Promise<R>) => this.#run({}, command)
    return withLock(run, clock, name, work, options)
  }

  /** Several commands at once, all or none of them executed (MULTI). In a cluster all keys must be in one slot. */
  async transaction(build: (commands: Commands) => unknown, options: CallOptions = {}): Promise<Reply[]> {
    return this.#run(options, client => execute(client.multi(), build))
  }

  /** Several commands in one go. Rejects with the first error; the others are executed all the same. */
  async pipeline(build: (commands: Commands) => unknown, options: CallOptions = {}): Promise<Reply[]> {
    return this.#run(options, client => execute(client.pipeline(), build))
  }

  async #run<T>(
    { signal, timeoutMs }: CallOptions,
    command: (client: RedisClient) => Promise<T>,
  ): Promise<T> {
    const { client } = this
    if (signal?.aborted) throw cancelled(signal)
    if (this.#inFlight >= this.#options.maxInFlight)
      throw new SignalboxError(
        'SIGNALBOX_OVERLOADED',
        `${this.#inFlight} operations wait for ${this.endpoint()}`,
      )
    this.#inFlight++
    try {
      if (signal === undefined && timeoutMs === undefined) return await command(client)
      return await this.#limited(command(client), signal, timeoutMs)
    } catch (error) {
      throw commandError(error, this.endpoint())
    } finally {
      this.#inFlight--
    }
  }

  async #limited<T>(
    reply: Promise<T>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
  ): Promise<T> {
    const { promise: over, reject } = Promise.withResolvers<never>()
    const onAbort = () => reject(cancelled(signal!))
    const late = () =>
      reject(
        new SignalboxError('SIGNALBOX_TIMEOUT_DEADLINE', `${this.endpoint()}: no reply in ${timeoutMs} ms`),
      )
    const timer = timeoutMs === undefined ? undefined : this.#context.clock.after(timeoutMs, late)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([reply, over])
    } finally {
      timer?.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #clientName(suffix: string): string {
    return `signalbox-${this.#context.name.replaceAll(/[^!-~]/g, '_')}${suffix}`
  }
}

function callOptions({ timeoutMs, signal }: OutgoingMessage): CallOptions {
  return { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) }
}

function cancelled(signal: AbortSignal): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', undefined, { cause: signal.reason })
}

function usage(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_USAGE', `redis: ${message}`)
}
