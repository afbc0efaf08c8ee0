/** Entries of a stream, as a consumer of a group: acknowledged after success, claimed when another consumer is gone. */
import type { Timer } from '../../core/clock.ts'
import type { SignalboxError } from '../../core/errors.ts'
import type { Inbound } from '../../core/transport.ts'
import type { OpenClient } from './client.ts'
import { releaseConsumerName, takeConsumerName } from './consumer-name.ts'
import { deadLetterKey, writeDeadLetter } from './dead-letter.ts'
import { Deliveries, type Delivery } from './delivery.ts'
import type { StreamSettings } from './options.ts'
import { readEntry } from './payload.ts'
import { openSourceClient, type Source, type SourceContext } from './source.ts'
import { type Entry, StreamGroup } from './stream-group.ts'

/** A consumer is looked after this often within the time after which it counts as gone. */
const CARE_PER_CLAIM = 3
/** How many times as long a consumer without entries is away before its name is removed. */
const GONE_FACTOR = 10
const FIRST = '0-0'

/** Reads one stream. */
export class StreamSource implements Source {
  readonly #context: SourceContext
  readonly #settings: StreamSettings
  readonly #deliveries: Deliveries
  readonly #key: string
  readonly #consumer: string
  readonly #payloadField: Buffer
  #reader: OpenClient | undefined
  #commands: OpenClient | undefined
  #group: StreamGroup | undefined
  #timer: Timer | undefined
  #stopped = false
  #reading: Promise<void> | undefined

  constructor(context: SourceContext, settings: StreamSettings) {
    const { options, receive, clock, log, name } = context
    this.#context = context
    this.#settings = settings
    this.#key = options.keyPrefix + settings.name
    this.#payloadField = Buffer.from(settings.payloadField)
    this.#consumer = takeConsumerName(settings.consumer, name)
    this.#deliveries = new Deliveries({ ...settings, maxInFlight: options.maxInFlight }, receive, clock, log)
  }

  async open(): Promise<void> {
    const { group, start, deleteSettled } = this.#settings
    this.#commands = await openSourceClient(this.#context, {})
    const membership = { key: this.#key, group, consumer: this.#consumer }
    this.#group = new StreamGroup(this.#commands.client, membership, deleteSettled)
    await this.#group.ensure(start)
    this.#reader = await openSourceClient(this.#context, { blockMs: this.#context.options.blockMs })
    this.#reading = this.#run(this.#group, this.#reader)
    this.#careLater(0)
  }

  async drain(): Promise<void> {
    this.#stop()
    this.#reader?.close()
    await this.#reading
    await this.#deliveries.drain()
    if (!this.#group || this.#context.signal.aborted) return
    try {
      if ((await this.#group.giveBack(this.#settings.claimIdleMs)) === 0) await this.#group.leave()
    } catch (error) {
      // Others claim it all the same, when it has been idle for long enough.
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

  async #run(group: StreamGroup, reader: OpenClient): Promise<void> {
    try {
      await this.#resume(group)
      while (!this.#stopped) {
        await this.#deliveries.room()
        if (this.#stopped) return
        const entries = await this.#read(group, reader)
        if (this.#stopped) return
        for (const entry of entries) this.#start(entry, 1)
      }
    } catch (error) {
      if (!this.#stopped) this.#context.broken(error as Error)
    }
  }

  async #read(group: StreamGroup, reader: OpenClient): Promise<Entry[]> {
    try {
      const { blockMs, maxInFlight } = this.#context.options
      // Half of what there is room for: the other half is on its way while this one is worked on.
      const count = Math.min(this.#deliveries.free, Math.ceil(maxInFlight / 2))
      return await group.read(reader.client, count, blockMs)
    } catch (error) {
      if (this.#stopped || !isNoGroup(error)) throw error
      // All that is in the new one came after.
      await group.ensure('0')
      return []
    }
  }

  /** Goes on with what this worker had taken before the link was lost. */
  async #resume(group: StreamGroup): Promise<void> {
    for (let after = FIRST; !this.#stopped; ) {
      await this.#deliveries.room()
      const entries = await group.own(after, this.#deliveries.free)
      if (entries.length === 0) return
      await this.#adopt(group, entries)
      after = entries.at(-1)!.id
    }
  }

  async #adopt(group: StreamGroup, entries: readonly Entry[]): Promise<void> {
    const current = new Set(Array.from(this.#deliveries.current, ({ id }) => id))
    const fresh = entries.filter(({ id }) => !current.has(id))
    const attempts = fresh.length === 0 ? [] : await group.attempts(fresh.map(({ id }) => id))
    if (this.#stopped) return
    for (const [i, entry] of fresh.entries()) this.#start(entry, attempts[i]!)
  }

  #start(entry: Entry, attempts: number): void {
    if (entry.fields !== undefined) {
      this.#deliveries.start(new StreamDelivery(this, entry.id, entry.fields, attempts))
      return
    }
    this.#context.log.warn(
      { stream: this.#key, entry: entry.id },
      'an entry was trimmed before it was handled',
    )
    this.#group!.settle(entry.id).catch(error => this.#context.broken(error))
  }

  /** @internal For {@link StreamDelivery}. */
  messageOf({ id, attempts }: StreamDelivery, fields: readonly Buffer[]): Inbound {
    const { name: stream, group } = this.#settings
    const message = readEntry(fields, this.#payloadField, this.#context.options) as Inbound
    message.attributes = { destination: stream, stream, group, id, attempt: attempts }
    return message
  }

  /** @internal */
  get group(): StreamGroup {
    return this.#group!
  }

  /** @internal */
  async bury(
    { id, attempts }: StreamDelivery,
    fields: readonly Buffer[],
    reason: SignalboxError,
  ): Promise<void> {
    const { client } = this.#commands!
    const { options, clock } = this.#context
    const key = deadLetterKey(this.#key, options.keyPrefix, this.#settings)
    const letter = { fields, source: this.#key, id, attempts, reason, at: clock.now() }
    await writeDeadLetter(client, key, this.#settings.deadLetter.maxLen, letter)
    await this.#group!.settle(id)
  }

  #careLater(pauseMs = Math.max(10, this.#settings.claimIdleMs / CARE_PER_CLAIM)): void {
    if (this.#stopped) return
    this.#timer = this.#context.clock.after(pauseMs, () => {
      this.#care().then(
        () => this.#careLater(),
        error => {
          // The one who reads makes the group again.
          if (isNoGroup(error)) this.#careLater()
          else if (!this.#stopped) this.#context.broken(error as Error)
        },
      )
    })
  }

  /** Keeps what is under way, and takes over what belongs to consumers that are gone. */
  async #care(): Promise<void> {
    const group = this.#group!
    const { claimIdleMs, consumer } = this.#settings
    await group.touch(Array.from(this.#deliveries.current, ({ id }) => id))
    for (let cursor = FIRST; !this.#stopped && this.#deliveries.free > 0; ) {
      const claimed = await group.claim(claimIdleMs, cursor, this.#deliveries.free)
      await this.#adopt(group, claimed.entries)
      cursor = claimed.cursor
      if (cursor === FIRST) break
    }
    const host = this.#consumer.slice(0, this.#consumer.indexOf(`-${process.pid}-`))
    await group.removeGone(`${consumer ?? host}-`, GONE_FACTOR * claimIdleMs)
  }
}

/** One entry under way. */
class StreamDelivery implements Delivery {
  readonly id: string
  attempts: number
  readonly #source: StreamSource
  readonly #fields: readonly Buffer[]

  constructor(source: StreamSource, id: string, fields: readonly Buffer[], attempts: number) {
    this.#source = source
    this.id = id
    this.#fields = fields
    this.attempts = attempts
  }

  message(): Inbound {
    return this.#source.messageOf(this, this.#fields)
  }

  settle(): Promise<void> {
    return this.#source.group.settle(this.id)
  }

  bury(reason: SignalboxError): Promise<void> {
    return this.#source.bury(this, this.#fields, reason)
  }

  again(): Promise<void> {
    return this.#source.group.attempted(this.id, this.attempts)
  }
}

/** Somebody deleted the stream, and its groups with it. */
function isNoGroup(error: unknown): boolean {
  return (error as Error).message.startsWith('NOGROUP')
}
