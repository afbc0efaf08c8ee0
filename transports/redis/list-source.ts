/** Messages of a list: moved to a list of those under way, removed from it after success. */
import type { Timer } from '../../core/clock.ts'
import type { SignalboxError } from '../../core/errors.ts'
import type { OpenClient, RedisClient } from './client.ts'
import { releaseConsumerName, takeConsumerName } from './consumer-name.ts'
import { deadLetterKey, writeDeadLetter } from './dead-letter.ts'
import { Deliveries, type Delivery } from './delivery.ts'
import type { ListSettings } from './options.ts'
import { readPayload } from './payload.ts'
import { companion, openSourceClient, type Source, type SourceContext } from './source.ts'

const CARE_PER_CLAIM = 3
/** How many messages are asked for at once. */
const MAX_BATCH = 64

/**
 * Takes from one list. Each worker has a list of its own for what is under way, and says in a sorted set when it was
 * last alive; what belongs to a worker that is gone goes back.
 */
export class ListSource implements Source {
  readonly #context: SourceContext
  readonly #settings: ListSettings
  readonly #deliveries: Deliveries
  readonly #key: string
  readonly #consumer: string
  /** Sorted set of workers by the time they were last alive, in milliseconds of the server's clock. */
  readonly #workers: string
  #reader: OpenClient | undefined
  #commands: OpenClient | undefined
  #timer: Timer | undefined
  #stopped = false
  #taking: Promise<void> | undefined
  #lastId = 0

  constructor(context: SourceContext, settings: ListSettings) {
    const { options, receive, clock, log, name } = context
    this.#context = context
    this.#settings = settings
    this.#key = options.keyPrefix + settings.name
    this.#consumer = takeConsumerName(undefined, name)
    this.#workers = companion(this.#key, 'workers')
    this.#deliveries = new Deliveries({ ...settings, maxInFlight: options.maxInFlight }, receive, clock, log)
  }

  async open(): Promise<void> {
    this.#commands = await openSourceClient(this.#context, {})
    await this.#alive(this.#commands.client)
    // What this worker had when its link was lost.
    await this.#giveBack(this.#commands.client, this.#consumer)
    await this.#recover(this.#commands.client)
    this.#reader = await openSourceClient(this.#context, { blockMs: this.#context.options.blockMs })
    this.#taking = this.#run(this.#reader.client)
    this.#careLater()
  }

  async drain(): Promise<void> {
    this.#stop()
    this.#reader?.close()
    await this.#taking
    await this.#deliveries.drain()
    if (!this.#commands || this.#context.signal.aborted) return
    try {
      // The worker stays in the set: a message that was on its way when the link was cut is found there later.
      await this.#giveBack(this.#commands.client, this.#consumer)
    } catch (error) {
      this.#context.log.debug({ err: error }, 'what was taken could not be given back')
    }
  }

  async close(): Promise<void> {
    this.#stop()
    this.#reader?.close()
    await this.#deliveries.close()
    this.#commands?.close()
    releaseConsumerName(this.#consumer)
  }

  async ping(): Promise<void> {
    await this.#commands!.client.ping()
  }

  #stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  async #run(reader: RedisClient): Promise<void> {
    try {
      while (!this.#stopped) {
        await this.#deliveries.room()
        if (this.#stopped) return
        const taken = await this.#take(reader)
        if (this.#stopped) return
        for (const bytes of taken) this.#deliveries.start(this.#delivery(bytes))
      }
    } catch (error) {
      if (!this.#stopped) this.#context.broken(error as Error)
    }
  }

  /** As many as there are and have room; waits when there is none. */
  async #take(reader: RedisClient): Promise<Buffer[]> {
    const under = this.#under(this.#consumer)
    const [from, to] =
      this.#settings.from === 'left' ? (['LEFT', 'RIGHT'] as const) : (['RIGHT', 'LEFT'] as const)
    const pipeline = reader.pipeline()
    const wanted = Math.min(this.#deliveries.free, MAX_BATCH)
    for (let i = 0; i < wanted; i++) pipeline.lmoveBuffer(this.#key, under, from as 'LEFT', to as 'RIGHT')
    const taken = repliesOf<Buffer | null>(await pipeline.exec()).filter(bytes => bytes !== null)
    if (taken.length > 0 || this.#stopped) return taken
    const seconds = this.#context.options.blockMs / 1000
    const one = await reader.blmoveBuffer(this.#key, under, from as 'LEFT', to as 'RIGHT', seconds)
    return one === null ? [] : [one]
  }

  #delivery(bytes: Buffer): Delivery {
    const { options } = this.#context
    const list = this.#settings.name
    const { client } = this.#commands!
    const id = `${this.#consumer}/${++this.#lastId}`
    const settle = async () => void (await client.lrem(this.#under(this.#consumer), 1, bytes))
    const delivery: Delivery = {
      id,
      attempts: 1,
      message: () => ({
        ...readPayload(bytes, options),
        attributes: { destination: list, list, attempt: delivery.attempts },
      }),
      settle,
      bury: async reason => {
        await this.#bury(client, delivery, bytes, reason)
        await settle()
      },
    }
    return delivery
  }

  async #bury(
    client: RedisClient,
    { id, attempts }: Delivery,
    bytes: Buffer,
    reason: SignalboxError,
  ): Promise<void> {
    const { options, clock } = this.#context
    const key = deadLetterKey(this.#key, options.keyPrefix, this.#settings)
    const fields = ['payload', bytes]
    const letter = { fields, source: this.#key, id, attempts, reason, at: clock.now() }
    await writeDeadLetter(client, key, this.#settings.deadLetter.maxLen, letter)
  }

  #careLater(): void {
    if (this.#stopped) return
    const pauseMs = Math.max(10, this.#settings.claimIdleMs / CARE_PER_CLAIM)
    this.#timer = this.#context.clock.after(pauseMs, () => {
      this.#care().then(
        () => this.#careLater(),
        error => {
          if (!this.#stopped) this.#context.broken(error as Error)
        },
      )
    })
  }

  async #care(): Promise<void> {
    const { client } = this.#commands!
    await this.#alive(client)
    await this.#recover(client)
  }

  async #alive(client: RedisClient): Promise<void> {
    await client.zadd(this.#workers, await nowOf(client), this.#consumer)
  }

  /** Gives back what belongs to workers that are gone. */
  async #recover(client: RedisClient): Promise<void> {
    const goneAt = (await nowOf(client)) - this.#settings.claimIdleMs
    for (const worker of await client.zrangebyscore(this.#workers, '-inf', goneAt)) {
      if (worker === this.#consumer) continue
      const messages = await this.#giveBack(client, worker)
      if (messages > 0)
        this.#context.log.warn(
          { list: this.#key, worker, messages },
          'messages of a worker that is gone went back',
        )
      await client.zrem(this.#workers, worker)
    }
  }

  /** Puts back what is under way at a worker, in the old order. Returns how many they were. */
  async #giveBack(client: RedisClient, worker: string): Promise<number> {
    const under = this.#under(worker)
    const [from, to] =
      this.#settings.from === 'left' ? (['RIGHT', 'LEFT'] as const) : (['LEFT', 'RIGHT'] as const)
    let count = 0
    while ((await client.lmoveBuffer(under, this.#key, from as 'RIGHT', to as 'LEFT')) !== null) count++
    return count
  }

  #under(worker: string): string {
    return companion(this.#key, `under-way:${worker}`)
  }
}

/** The server's clock: those of the nodes may differ. */
async function nowOf(client: RedisClient): Promise<number> {
  const [seconds, microseconds] = await client.time()
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
}

function repliesOf<T>(replies: [Error | null, unknown][] | null): T[] {
  return (replies ?? []).map(([error, reply]) => {
    if (error) throw error
    return reply as T
  })
}
