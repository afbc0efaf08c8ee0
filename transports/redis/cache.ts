/** Values by key, as JSON. */
import type { Redis } from 'ioredis'
import { SignalboxError } from '../../core/errors.ts'
import type { RedisClient } from './client.ts'
import type { RedisConnectionSettings } from './options.ts'
import { writePayload } from './payload.ts'

/** Makes a value that is not there yet. */
export type Maker<T> = () => Promise<T> | T

interface Slot<T> {
  get(): Promise<T | undefined>
  set(value: T): Promise<void>
}

const SCAN_COUNT = 500

/** A cache in the keys of a connection. */
export class Cache {
  readonly #settings: RedisConnectionSettings
  /** Values that are being made, by key. */
  readonly #making = new Map<string, Promise<unknown>>()

  constructor(settings: RedisConnectionSettings) {
    this.#settings = settings
  }

  async get<T>(client: RedisClient, key: string): Promise<T | undefined> {
    const text = await client.get(key)
    if (text === null) return undefined
    try {
      return JSON.parse(text) as T
    } catch (cause) {
      const message = `key ${key} holds no JSON: somebody else has written it; read it with client.get`
      throw new SignalboxError('SIGNALBOX_FORMAT_INVALID', message, { cause })
    }
  }

  async set(client: RedisClient, key: string, value: unknown, ttlMs: number | undefined): Promise<void> {
    const text: string | undefined = JSON.stringify(value)
    if (text === undefined) {
      const message = `key ${key}: ${typeof value} cannot be kept; delete the key instead`
      throw new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', message)
    }
    const { bytes } = writePayload(text, undefined, this.#settings.maxPayloadBytes)
    if (ttlMs === undefined) await client.set(key, bytes)
    else await client.set(key, bytes, 'PX', ttlMs)
  }

  async getOrSet<T>(key: string, make: Maker<T>, slot: Slot<T>): Promise<T> {
    const making = this.#making.get(key) as Promise<T> | undefined
    if (making) return making
    const made = (async () => {
      const kept = await slot.get()
      if (kept !== undefined) return kept
      const value = await make()
      await slot.set(value)
      return value
    })()
    this.#making.set(key, made)
    try {
      return await made
    } finally {
      this.#making.delete(key)
    }
  }

  /** One command for each key: those of a cluster are on different nodes. They leave together. */
  async delete(client: RedisClient, keys: readonly string[]): Promise<number> {
    const counts = await Promise.all(keys.map(key => client.unlink(key)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async deleteByPrefix(client: RedisClient, prefix: string): Promise<number> {
    let count = 0
    let some: string[] = []
    const flush = async () => {
      count += await this.delete(client, some)
      some = []
    }
    for await (const key of this.scan(client, prefix)) if (some.push(key) >= SCAN_COUNT) await flush()
    await flush()
    return count
  }

  /** Keys without the prefix of the connection. SCAN gives some twice; they come once. */
  async *scan(client: RedisClient, prefix: string): AsyncGenerator<string> {
    const { keyPrefix } = this.#settings
    const pattern = `${(keyPrefix + prefix).replaceAll(/[\\*?[\]^]/g, '\\$&')}*`
    // ioredis has no common type for the two; a node of a cluster is a Redis.
    const nodes: Redis[] = client.isCluster
      ? (client as { nodes(role: 'master'): Redis[] }).nodes('master')
      : [client as Redis]
    for (const node of nodes) {
      const seen = new Set<string>()
      let cursor = '0'
      do {
        const [next, keys] = await node.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT)
        cursor = next
        for (const key of keys) {
          if (seen.has(key)) continue
          seen.add(key)
          yield key.slice(keyPrefix.length)
        }
      } while (cursor !== '0')
    }
  }
}
