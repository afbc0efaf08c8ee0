/** The commands of one consumer in a consumer group. */
import type { RedisClient } from './client.ts'

/** An entry: its id, and names and values in turn; undefined when the stream no longer has it. */
export interface Entry {
  id: string
  fields: readonly Buffer[] | undefined
}

type RawEntry = [id: Buffer, fields: Buffer[] | null]

/** How many entries one command is about at most. */
const MAX_BATCH = 512

/** Which consumer of which group of which stream. */
export interface Membership {
  key: string
  group: string
  consumer: string
}

/** A consumer of a group. */
export class StreamGroup {
  readonly #client: RedisClient
  readonly #me: Membership
  readonly #deleteSettled: boolean
  /** Entries to be acknowledged with the next command. */
  #settling: string[] = []
  #settled: Promise<void> | undefined

  constructor(client: RedisClient, membership: Membership, deleteSettled: boolean) {
    this.#client = client
    this.#me = membership
    this.#deleteSettled = deleteSettled
  }

  /** Makes the group, and the stream with it, where they are missing. */
  async ensure(start: string): Promise<void> {
    const { key, group } = this.#me
    try {
      await this.#client.xgroup('CREATE', key, group, start, 'MKSTREAM')
    } catch (error) {
      if (!(error as Error).message.startsWith('BUSYGROUP')) throw error
    }
  }

  /** Waits for new entries; none when `blockMs` passed. `reader` has no other work. */
  async read(reader: RedisClient, count: number, blockMs: number): Promise<Entry[]> {
    const { key, group, consumer } = this.#me
    const limit = Math.min(count, MAX_BATCH)
    const reply = await reader.xreadgroupBuffer(
      'GROUP', group, consumer, 'COUNT', limit, 'BLOCK', blockMs, 'STREAMS', key, '>',
    ) // biome-ignore format: one command
    return entriesOf(reply)
  }

  /** Entries after `id` that this consumer took before and did not settle. */
  async own(id: string, count: number): Promise<Entry[]> {
    const { key, group, consumer } = this.#me
    const limit = Math.min(count, MAX_BATCH)
    const reply = await this.#client.xreadgroupBuffer(
      'GROUP', group, consumer, 'COUNT', limit, 'STREAMS', key, id,
    ) // biome-ignore format: one command
    return entriesOf(reply)
  }

  /** Takes over what others have not settled for `idleMs`, from `cursor` on. Cursor `0-0`: that was all. */
  async claim(idleMs: number, cursor: string, count: number): Promise<{ cursor: string; entries: Entry[] }> {
    const { key, group, consumer } = this.#me
    const limit = Math.min(count, MAX_BATCH)
    const reply = await this.#client.callBuffer(
      'xautoclaim',
      key,
      group,
      consumer,
      idleMs,
      cursor,
      'COUNT',
      limit,
    )
    const [next, entries] = reply as unknown as [Buffer, RawEntry[]]
    // Before Redis 7 what was trimmed from the stream is in the list, as nil.
    return { cursor: String(next), entries: entries.filter(Boolean).map(entryOf) }
  }

  /** How often each of these was delivered. */
  async attempts(ids: readonly string[]): Promise<number[]> {
    const { key, group } = this.#me
    const pipeline = this.#client.pipeline()
    for (const id of ids) pipeline.xpending(key, group, id, id, 1)
    const replies = (await pipeline.exec()) ?? []
    return replies.map(([error, reply]) => {
      if (error) throw error
      return (reply as [string, string, number, number][])[0]?.[3] ?? 1
    })
  }

  /** The entry is settled. Those of one turn go in one command. */
  settle(id: string): Promise<void> {
    this.#settling.push(id)
    this.#settled ??= new Promise((resolve, reject) => {
      setImmediate(() => this.#flush().then(resolve, reject))
    })
    return this.#settled
  }

  /** These are still being worked on: nobody else is to claim them. */
  async touch(ids: readonly string[]): Promise<void> {
    const { key, group, consumer } = this.#me
    for (const some of chunks(ids))
      await this.#client.call('xclaim', key, group, consumer, 0, ...some, 'JUSTID')
  }

  /** Notes that an entry is delivered for the time `attempts`. */
  async attempted(id: string, attempts: number): Promise<void> {
    const { key, group, consumer } = this.#me
    await this.#client.call('xclaim', key, group, consumer, 0, id, 'RETRYCOUNT', attempts, 'JUSTID')
  }

  /** Lets others claim at once what this consumer took and has not settled. Returns how much that is. */
  async giveBack(idleMs: number): Promise<number> {
    const { key, group, consumer } = this.#me
    let given = 0
    for (let from = '-'; ; ) {
      const reply = await this.#client.xpending(key, group, from, '+', MAX_BATCH, consumer)
      const ids = (reply as [string][]).map(([id]) => id)
      if (ids.length === 0) return given
      await this.#client.call('xclaim', key, group, consumer, 0, ...ids, 'IDLE', idleMs, 'JUSTID')
      given += ids.length
      from = `(${ids.at(-1)}`
    }
  }

  /** Leaves the group. Only for a consumer that has nothing: the group forgets what it had. */
  async leave(): Promise<void> {
    const { key, group, consumer } = this.#me
    await this.#client.xgroup('DELCONSUMER', key, group, consumer)
  }

  /** Removes consumers with this begin of a name that have nothing and were not seen for `idleMs`. */
  async removeGone(prefix: string, idleMs: number): Promise<void> {
    const { key, group, consumer } = this.#me
    const infos = (await this.#client.xinfo('CONSUMERS', key, group)) as unknown[][]
    for (const info of infos) {
      const about = Object.fromEntries(pairs(info)) as { name: string; pending: number; idle: number }
      const gone = about.name !== consumer && about.name.startsWith(prefix) && about.idle > idleMs
      if (gone && about.pending === 0) await this.#client.xgroup('DELCONSUMER', key, group, about.name)
    }
  }

  async #flush(): Promise<void> {
    const { key, group } = this.#me
    const ids = this.#settling
    this.#settling = []
    this.#settled = undefined
    await Promise.all([
      this.#client.xack(key, group, ...ids),
      ...(this.#deleteSettled ? [this.#client.xdel(key, ...ids)] : []),
    ])
  }
}

function entriesOf(reply: unknown): Entry[] {
  const streams = reply as [Buffer, RawEntry[]][] | null
  return streams?.[0]?.[1].map(entryOf) ?? []
}

function entryOf([id, fields]: RawEntry): Entry {
  return { id: id.toString('latin1'), fields: fields ?? undefined }
}

function* chunks<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += MAX_BATCH) yield items.slice(i, i + MAX_BATCH)
}

function* pairs(flat: readonly unknown[]): Generator<[string, unknown]> {
  for (let i = 0; i + 1 < flat.length; i += 2) yield [String(flat[i]), flat[i + 1]]
}
