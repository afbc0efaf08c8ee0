/**
 * A log of durable messages: the state machine of a queue (one subscription) and of a topic (any number). Every step
 * is a record of the journal first, and happens when the journal has it on disk; what is delivered but not settled is
 * kept in memory alone and delivered again after a crash.
 */
import { backoffMs } from '../../actor/supervision.ts'
import { type Clock, type Random, systemClock, type Timer } from '../../clock.ts'
import { SignalboxError, toSignalboxError } from '../../errors.ts'
import { nearest } from '../../schema.ts'
import type { Receipt } from '../../service/service.ts'
import type { Journal } from '../journal.ts'
import { ContentCache } from './content-cache.ts'
import { Housekeeping } from './housekeeping.ts'
import { LogState, least } from './log-state.ts'
import {
  DEFAULT_LOG,
  DEFAULT_PRIORITY,
  DEFAULT_SUBSCRIPTION,
  type Delivery,
  type DeliveryState,
  type Failure,
  type LogSettings,
  type MessageView,
  type NewMessage,
  PRIORITIES,
  type StartAt,
  type StoredMessage,
  type SubscriptionSettings,
} from './message.ts'
import { RECORD, readMessage, readStep, writeMessage, writeStep } from './record.ts'
import { leaseLost, Subscription, type SubscriptionCounts, type Taken } from './subscription.ts'
import { Writer } from './writer.ts'

export interface MessageLogOptions {
  journal: Journal
  settings?: Partial<LogSettings> | undefined
  clock?: Clock | undefined
  random?: Random | undefined
  /** Bytes of messages kept in memory for those who read them soon. Default 8 MiB. */
  cacheBytes?: number | undefined
  /** Told when something fails that no caller waits for. */
  onError?: ((error: SignalboxError) => void) | undefined
}

/** What a consumer settles. */
export interface Lease {
  seq: number
  lease: number
}

/** Which messages {@link MessageLog.browse} gives. */
export interface BrowseOptions {
  /** As this subscription sees them. */
  subscription: string
  states?: readonly DeliveryState[] | undefined
  /** Only messages behind this one. */
  after?: number | undefined
  /** At most so many, 1 to 1,000. Default 100. */
  limit?: number | undefined
  /** Called with each message that is otherwise wanted. */
  where?: ((message: StoredMessage) => boolean) | undefined
  /** So many messages are read at most. Default 10,000. */
  maxReads?: number | undefined
}

export interface BrowsePage {
  messages: MessageView[]
  /** Give this as `after` to go on; undefined at the end. */
  next: number | undefined
}

export interface LogCounts {
  /** Messages that somebody has not settled, and their bytes. */
  messages: number
  bytes: number
  /** Messages that are kept to be replayed. */
  kept: number
  /** Messages whose time has not come. */
  notDue: number
  published: number
  duplicates: number
  expired: number
  dropped: number
  subscriptions: Record<string, SubscriptionCounts & { delivered: number; settled: number; failures: number }>
}

interface Traffic {
  delivered: number
  settled: number
  failures: number
}

const BROWSE_BATCH = 256
/** How often messages that are only kept are looked at. */
const KEPT_TICK_MS = 1_000
const asError = (thrown: unknown) => toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')

export class MessageLog {
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #random: Random
  readonly #state: LogState
  readonly #writer: Writer
  readonly #cache: ContentCache
  readonly #housekeeping: Housekeeping
  readonly #onError: (error: SignalboxError) => void
  readonly #traffic = new Map<string, Traffic>()
  /** Messages that are being dropped for others. */
  readonly #leaving = { seqs: new Set<number>(), count: 0, bytes: 0 }
  #settings: LogSettings
  #timer: Timer | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #closed = false
  #published = 0
  #duplicates = 0
  #expired = 0
  #dropped = 0

  /** Reads the journal again and goes on where it ended. Throws SIGNALBOX_STORE_DAMAGED, _FOREIGN. */
  static async open(options: MessageLogOptions): Promise<MessageLog> {
    const log = new MessageLog(options)
    await log.#replay()
    return log
  }

  private constructor(options: MessageLogOptions) {
    const { journal, clock = systemClock, random = Math.random, cacheBytes = 8 * 1024 * 1024 } = options
    this.#journal = journal
    this.#clock = clock
    this.#random = random
    this.#settings = { ...DEFAULT_LOG, ...options.settings }
    this.#onError = options.onError ?? (() => {})
    this.#state = new LogState(clock, random)
    this.#writer = new Writer(journal)
    this.#cache = new ContentCache(cacheBytes)
    this.#housekeeping = new Housekeeping({
      journal,
      state: this.#state,
      writer: this.#writer,
      window: () => this.#settings,
      onError: error => this.#onError(error),
      ended: () => this.#arm(),
    })
  }

  get settings(): LogSettings {
    return this.#settings
  }

  /** Takes new limits; messages that are there stay. */
  configure(settings: Partial<LogSettings>): void {
    this.#settings = { ...DEFAULT_LOG, ...settings }
    this.#trimKept()
  }

  /**
   * Keeps messages: all of one call or none. When it has resolved they are on disk. Rejects with
   * SIGNALBOX_MESSAGE_INVALID, SIGNALBOX_LOG_FULL, or the error of the journal.
   */
  async publish(messages: readonly NewMessage[]): Promise<Receipt[]> {
    messages.forEach(checkMessage)
    for (;;) {
      // Whether a message is a duplicate shows when the one before it is on disk, or was refused.
      const pending = this.#pendingIds(messages)
      if (pending.length === 0) break
      await Promise.allSettled(pending)
    }
    const since = this.#clock.monotonic()
    const known = new Map<string, number>()
    const receipts: Receipt[] = []
    const fresh: NewMessage[] = []
    let seq = this.#state.nextSeq
    for (const message of messages) {
      const { id } = message
      const earlier = id === undefined ? undefined : (known.get(id) ?? this.#ids(id, since)?.seq)
      receipts.push({ seq: earlier ?? seq, duplicate: earlier !== undefined })
      if (earlier !== undefined) continue
      fresh.push(message)
      if (id !== undefined) known.set(id, seq)
      seq++
    }
    this.#duplicates += messages.length - fresh.length
    if (fresh.length > 0) {
      this.#makeRoom(fresh)
      const now = this.#clock.now()
      await this.#write(
        fresh.map(message => this.#stored(message, now)),
        since,
      )
    }
    return receipts
  }

  #ids(id: string, now: number) {
    return this.#state.ids.find(id, now, this.#settings)
  }

  #pendingIds(messages: readonly NewMessage[]): Promise<void>[] {
    const now = this.#clock.monotonic()
    const pending: Promise<void>[] = []
    for (const { id } of messages) {
      const durable = id === undefined ? undefined : this.#ids(id, now)?.durable
      if (durable) pending.push(durable)
    }
    return pending
  }

  /** Begins a subscription, or changes one that is there, which stays where it is. */
  async subscribe(
    name: string,
    settings: Partial<SubscriptionSettings> = {},
    start: StartAt = { at: 'end' },
  ): Promise<void> {
    const complete = { ...DEFAULT_SUBSCRIPTION, ...settings }
    await this.#writer.exclusive(async append => {
      const there = this.#state.subs.get(name)
      const startSeq = there ? there.startSeq : this.#startSeq(start)
      const skip = there ? [] : await this.#skipped(complete, startSeq)
      await append([writeStep(RECORD.subscribe, { name, settings: complete, startSeq, skip })])
      this.#state.subscribe(name, complete, startSeq, skip)
    })
    this.#trimKept()
    this.#arm()
  }

  /** Ends a subscription; what it has not settled is not owed any more. */
  async unsubscribe(name: string): Promise<void> {
    const sub = this.#sub(name)
    await this.#writer.write(writeStep(RECORD.unsubscribe, { sub: name }), () => {
      for (const seq of this.#state.unsubscribe(sub)) this.#letGo(seq)
      this.#traffic.delete(name)
    })
    this.#housekeeping.look()
  }

  /** Calls back when a subscription may have something to take; once for each call of this, at most. */
  onReady(name: string, listener: (() => void) | undefined): void {
    this.#sub(name).onReady = listener
  }

  /** Takes up to `max` messages for a consumer, with a lease each. Empty when there are none. */
  async take(name: string, max: number, consumer = '', leaseMs?: number): Promise<Delivery[]> {
    const sub = this.#sub(name)
    const taken = sub.take(max, consumer, leaseMs)
    // What was looked at and is not due yet waits for the clock.
    this.#arm()
    if (taken.length === 0) return []
    let deliveries: Delivery[]
    try {
      const messages = await this.#read(taken.map(({ seq }) => seq))
      deliveries = taken.map(({ attempt, lease }, i) => ({ message: messages[i]!, attempt, lease }))
    } catch (error) {
      deliveries = await this.#takeReadable(sub, taken, error)
    }
    this.#trafficOf(name).delivered += deliveries.length
    return deliveries
  }

  /**
   * Settles deliveries: they are done. Resolves when that is on disk, with those whose lease had ended before, which
   * are delivered again. When it rejects the messages are delivered again.
   */
  async settle(name: string, leases: readonly Lease[]): Promise<Lease[]> {
    const sub = this.#sub(name)
    const own: number[] = []
    const late: Lease[] = []
    for (const lease of leases) {
      if (sub.beginSettle(lease.seq, lease.lease)) own.push(lease.seq)
      else late.push(lease)
    }
    if (own.length > 0) {
      await this.#writer.settle(
        name,
        own,
        seq => this.#settled(sub, seq),
        seq => sub.undoSettle(seq),
      )
      this.#trafficOf(name).settled += own.length
      this.#trimKept()
      this.#housekeeping.look()
    }
    return late
  }

  /**
   * A delivery did not succeed: the message comes again after a pause, or is a dead letter when `dead` is set or
   * the attempts are used up. Resolves with what it has become. Rejects with SIGNALBOX_LEASE_LOST.
   */
  async fail(
    name: string,
    { seq, lease }: Lease,
    failure: Failure,
    options: { delayMs?: number | undefined; dead?: boolean | undefined } = {},
  ): Promise<'delayed' | 'dead'> {
    const sub = this.#sub(name)
    const attempts = (sub.failed.get(seq)?.attempts ?? 0) + 1
    if (!sub.beginSettle(seq, lease)) throw leaseLost(seq)
    const { retry } = sub.settings
    const dead = options.dead === true || attempts >= retry.maxAttempts
    const pauseMs = options.delayMs ?? backoffMs(retry, attempts, this.#random)
    const at = this.#clock.now()
    const why = { ...failure, at }
    const due = dead ? undefined : this.#clock.monotonic() + pauseMs
    const step = { sub: name, seq, attempts, failure: why, ...(!dead && { dueAt: at + pauseMs }) }
    const record = writeStep(RECORD.fail, step)
    const bytes = record.length
    await this.#writer.write(
      record,
      position => this.#state.isCurrent(sub) && sub.fail(seq, attempts, due, why, { position, bytes }),
      () => sub.undoSettle(seq),
    )
    this.#trafficOf(name).failures++
    this.#arm()
    return dead ? 'dead' : 'delayed'
  }

  /** Gives a message back unhandled: it is delivered again at once, and the attempt does not count. */
  giveBack(name: string, { seq, lease }: Lease): void {
    if (!this.#sub(name).giveBack(seq, lease)) throw leaseLost(seq)
  }

  /** Keeps a message longer. Throws SIGNALBOX_LEASE_LOST. */
  extend(name: string, { seq, lease }: Lease, leaseMs: number): void {
    if (!this.#sub(name).extend(seq, lease, leaseMs)) throw leaseLost(seq)
    this.#arm()
  }

  /** A consumer is gone: what it had in hand counts as failed. Resolves with how many that were. */
  async abandon(name: string, consumer: string, failure: Failure): Promise<number> {
    const taken = this.#sub(name).leasesOf(consumer)
    await this.#failAll(name, taken, failure)
    return taken.length
  }

  /**
   * Delivers dead letters, or settled messages that are still there, again; not those that the filter keeps out.
   * Resolves with how many.
   */
  async revive(name: string, seqs: readonly number[]): Promise<number> {
    const sub = this.#sub(name)
    // Alone: a message that is let go meanwhile must not come back.
    return this.#writer.exclusive(async append => {
      const there = seqs.filter(
        seq =>
          this.#state.table.has(seq) && seq >= sub.startSeq && (sub.dead.has(seq) || sub.settled.has(seq)),
      )
      const messages = sub.settings.filter ? await this.#read(there) : undefined
      const wanted = messages ? there.filter((_, i) => sub.matches(messages[i]!.headers)) : there
      if (wanted.length === 0 || !this.#state.isCurrent(sub)) return 0
      await append([writeStep(RECORD.revive, { sub: name, seqs: wanted })])
      for (const seq of wanted) this.#state.revive(sub, seq)
      return wanted.length
    })
  }

  /** Replaces the content and headers of a message that is not in a consumer's hands. */
  async edit(seq: number, change: Pick<NewMessage, 'content' | 'headers'>): Promise<void> {
    // Alone: a message that is dropped meanwhile must not come back.
    await this.#writer.exclusive(async append => {
      const [message] = await this.#read([this.#existing(seq)])
      if (this.#state.isLeased(seq)) {
        const held = `message ${seq} is being handled; edit it when it is not`
        throw new SignalboxError('SIGNALBOX_LEASE_LOST', held)
      }
      const { headers = message!.headers } = change
      const record = writeMessage(RECORD.copy, {
        ...message!,
        content: Buffer.from(change.content),
        headers,
      })
      this.#checkSize(record)
      const [position] = await append([record])
      this.#cache.delete(seq)
      this.#state.moved(seq, position!, record.length)
    })
  }

  /** Takes messages away for everybody. Resolves with how many that were. */
  async drop(seqs: readonly number[]): Promise<number> {
    const there = seqs.filter(seq => this.#state.table.has(seq))
    if (there.length === 0) return 0
    const count = await this.#drop(there)
    this.#dropped += count
    return count
  }

  /** Settles what a subscription has in the given states; not what consumers have in hand. Resolves with how many. */
  async purge(
    name: string,
    states: readonly DeliveryState[] = ['ready', 'waiting', 'delayed'],
  ): Promise<number> {
    const sub = this.#sub(name)
    const wanted = new Set(states)
    const seqs = [...this.#state.table.seqs(sub.startSeq)].filter(
      seq => wanted.has(this.#stateOf(sub, seq)) && !sub.isLeased(seq) && !sub.settled.has(seq),
    )
    for (let i = 0; i < seqs.length; i += 10_000) {
      const some = seqs.slice(i, i + 10_000)
      const step = { sub: name, seqs: some }
      await this.#writer.write(writeStep(RECORD.settle, step), () => {
        for (const seq of some) this.#settled(sub, seq)
      })
    }
    this.#housekeeping.look()
    return seqs.length
  }

  /** A subscription goes back, to replay what is kept, or forward, to skip what is there. */
  async seek(name: string, to: StartAt): Promise<void> {
    const sub = this.#sub(name)
    await this.#writer.exclusive(async append => {
      if (!this.#state.isCurrent(sub)) this.#sub(name)
      const seq = this.#startSeq(to)
      const skip = await this.#skipped(sub.settings, seq)
      await append([writeStep(RECORD.seek, { sub: name, seq, skip })])
      for (const settled of this.#state.seek(sub, seq, skip)) this.#letGo(settled)
    })
    sub.onReady?.()
    this.#housekeeping.look()
  }

  /** Messages in the order of their numbers, as a subscription sees them. */
  async browse(options: BrowseOptions): Promise<BrowsePage> {
    const { states, where, limit = 100, maxReads = 10_000 } = options
    const sub = this.#sub(options.subscription)
    const wanted = states && new Set(states)
    const page: MessageView[] = []
    let batch: number[] = []
    let reads = 0
    let last = options.after ?? 0
    const flush = async (): Promise<boolean> => {
      for (const view of await this.#views(sub, batch)) {
        if (where && !where(view.message)) continue
        page.push(view)
        if (page.length === limit) {
          last = view.message.seq
          return true
        }
      }
      batch = []
      return false
    }
    for (const seq of this.#state.table.seqs(last + 1)) {
      if (wanted && !wanted.has(this.#stateOf(sub, seq))) continue
      batch.push(seq)
      last = seq
      reads++
      if (batch.length < Math.min(BROWSE_BATCH, limit) && reads < maxReads) continue
      if ((await flush()) || reads >= maxReads) return { messages: page, next: last }
    }
    const full = batch.length > 0 && (await flush())
    return { messages: page, next: full ? last : undefined }
  }

  /** One message, as a subscription sees it; undefined when there is none. */
  async get(name: string, seq: number): Promise<MessageView | undefined> {
    const sub = this.#sub(name)
    if (!this.#state.table.has(seq)) return undefined
    const [view] = await this.#views(sub, [seq])
    return view
  }

  subscriptions(): { name: string; settings: SubscriptionSettings; startSeq: number }[] {
    return Array.from(this.#state.subs.values(), ({ name, settings, startSeq }) => ({
      name,
      settings,
      startSeq,
    }))
  }

  counts(): LogCounts {
    const state = this.#state
    const subscriptions: LogCounts['subscriptions'] = {}
    for (const [name, sub] of state.subs) {
      subscriptions[name] = { ...sub.counts(state.notDueFor(sub)), ...this.#trafficOf(name) }
    }
    return {
      messages: state.owedMessages,
      bytes: state.owedBytes,
      kept: state.table.count - state.owedMessages,
      notDue: state.notDue,
      published: this.#published,
      duplicates: this.#duplicates,
      expired: this.#expired,
      dropped: this.#dropped,
      subscriptions,
    }
  }

  /** When the oldest message that a subscription owes was published, milliseconds since the epoch. */
  oldest(name: string): number | undefined {
    const sub = this.#sub(name)
    for (const seq of this.#state.table.seqs(sub.startSeq)) {
      if (sub.owes(seq)) return this.#state.table.publishedAt(seq)
    }
    return undefined
  }

  /** Writes a consistent copy of everything that is confirmed to a folder that is new or empty, while it goes on. */
  backup(to: string): Promise<void> {
    return this.#journal.backup(to)
  }

  /** Finishes what is under way, then closes the journal. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#housekeeping.idle()
    await this.#writer.idle()
    await this.#journal.close()
  }

  async #replay(): Promise<void> {
    const state = this.#state
    const now = this.#clock.now()
    await this.#journal.replay((record, position) => {
      const type = record[0]!
      if (type === RECORD.publish || type === RECORD.copy) {
        const message = readMessage(record)
        state.replayMessage(message, position, record.length, type === RECORD.publish)
      } else state.replayStep(readStep(record), { position, bytes: record.length }, now)
    })
    state.finishReplay(this.#settings)
    this.#trimKept()
    this.#arm()
  }

  #stored(message: NewMessage, now: number): StoredMessage {
    const { maxAgeMs } = this.#settings
    const { delayMs, expiresInMs = maxAgeMs } = message
    const lifeMs = maxAgeMs === undefined ? expiresInMs : Math.min(expiresInMs!, maxAgeMs)
    return {
      seq: this.#state.nextSeq++,
      publishedAt: now,
      id: message.id,
      key: message.key,
      priority: message.key === undefined ? (message.priority ?? DEFAULT_PRIORITY) : DEFAULT_PRIORITY,
      headers: message.headers ?? {},
      dueAt: delayMs === undefined || delayMs <= 0 ? undefined : now + delayMs,
      expiresAt: lifeMs === undefined ? undefined : now + lifeMs,
      content: message.content as Buffer,
    }
  }

  async #write(messages: readonly StoredMessage[], since: number): Promise<void> {
    const records = messages.map(message => writeMessage(RECORD.publish, message))
    for (const record of records) this.#checkSize(record)
    const bytes = records.reduce((sum, record) => sum + record.length, 0)
    this.#state.reserve(messages.length, bytes)
    const written = this.#writer.writeAll(
      records,
      positions => {
        this.#state.reserve(-messages.length, -bytes)
        messages.forEach((message, i) => {
          this.#published++
          // The record is ours alone; the content given to publish may be changed by its owner.
          const record = records[i]!
          this.#cache.put(message.seq, record)
          this.#state.publish(message, positions[i]!, record.length, since)
        })
      },
      () => {
        this.#state.reserve(-messages.length, -bytes)
        for (const { id, seq } of messages) if (id !== undefined) this.#state.ids.forget(id, seq)
      },
    )
    for (const { id, seq } of messages) {
      if (id !== undefined) this.#state.ids.add(id, seq, since, written)
    }
    await written
    this.#state.ids.trim(this.#clock.monotonic(), this.#settings)
    this.#trimKept()
    this.#arm()
    this.#housekeeping.look()
  }

  /** Rejects, or drops the oldest, when there is no room for what comes. */
  #makeRoom(messages: readonly NewMessage[]): void {
    const { maxMessages, maxBytes, overflow } = this.#settings
    const bytes = messages.reduce((sum, { content }) => sum + content.length, 0)
    const over = () =>
      this.#state.claimedMessages + messages.length > maxMessages ||
      this.#state.claimedBytes + bytes > maxBytes
    if (!over()) return
    if (overflow === 'reject') {
      const { claimedMessages, claimedBytes } = this.#state
      const message = `it holds ${claimedMessages} messages of ${claimedBytes} bytes; its limits are ${maxMessages} and ${maxBytes}`
      throw new SignalboxError('SIGNALBOX_LOG_FULL', message, { retryAfterMs: 1_000 })
    }
    const oldest: number[] = []
    let tooMany = this.#state.claimedMessages + messages.length - this.#leaving.count - maxMessages
    let tooBig = this.#state.claimedBytes + bytes - this.#leaving.bytes - maxBytes
    for (const seq of tooMany > 0 || tooBig > 0 ? this.#state.table.seqs() : []) {
      const { table } = this.#state
      if (table.owed(seq) === 0 || this.#leaving.seqs.has(seq) || this.#state.isLeased(seq)) continue
      oldest.push(seq)
      tooMany--
      tooBig -= table.bytesOf(seq)
      if (tooMany <= 0 && tooBig <= 0) break
    }
    if (oldest.length > 0) void this.#overflow(oldest).catch(error => this.#onError(asError(error)))
  }

  /** Drops messages for others. */
  async #overflow(seqs: readonly number[]): Promise<void> {
    const leaving = this.#leaving
    let bytes = 0
    for (const seq of seqs) {
      leaving.seqs.add(seq)
      bytes += this.#state.table.bytesOf(seq)
    }
    leaving.count += seqs.length
    leaving.bytes += bytes
    this.#dropped += await this.#drop(seqs, () => {
      leaving.count -= seqs.length
      leaving.bytes -= bytes
      for (const seq of seqs) leaving.seqs.delete(seq)
    })
  }

  /** Resolves with how many were still there. `ended` is called when they are gone, or stay. */
  async #drop(seqs: readonly number[], ended?: () => void): Promise<number> {
    const ranges = seqs.map((seq): [number, number] => [seq, seq])
    let count = 0
    await this.#writer.write(
      writeStep(RECORD.drop, { ranges: joined(ranges) }),
      () => {
        for (const seq of seqs) {
          if (!this.#state.table.has(seq)) continue
          this.#release(seq)
          count++
        }
        ended?.()
      },
      ended,
    )
    this.#trimKept()
    this.#housekeeping.look()
    return count
  }

  #settled(sub: Subscription, seq: number): void {
    if (this.#state.settle(sub, seq)) this.#letGo(seq)
  }

  /** Nobody owes the message any more. */
  #letGo(seq: number): void {
    if (this.#settings.keep === undefined) this.#release(seq)
    else {
      this.#state.kept.push(seq)
      if (this.#state.kept.length === 1) this.#arm()
    }
  }

  /** The message is gone. */
  #release(seq: number): void {
    this.#cache.delete(seq)
    this.#housekeeping.released(this.#state.release(seq))
  }

  /** What is kept for replay is let go by age and size. */
  #trimKept(): void {
    // Nobody who writes alone may find others changing what there is.
    if (this.#writer.isHeld) return
    const { keep } = this.#settings
    const { kept, table } = this.#state
    const oldestAt = this.#clock.now() - (keep?.ageMs ?? 0)
    for (let seq = kept.peek(); seq !== undefined; seq = kept.peek()) {
      if (table.has(seq) && table.owed(seq) === 0) {
        const over = keep === undefined || table.bytes - this.#state.owedBytes > keep.bytes
        if (!over && table.publishedAt(seq) >= oldestAt) return
        this.#release(seq)
      }
      kept.shift()
    }
  }

  #checkSize(record: Buffer): void {
    if (record.length <= this.#journal.maxRecordBytes) return
    const message = `a message of ${record.length} bytes is over the limit of ${this.#journal.maxRecordBytes}`
    throw new SignalboxError('SIGNALBOX_MESSAGE_INVALID', message, { status: 413 })
  }

  /** The messages must be there when it is called. */
  async #read(seqs: readonly number[]): Promise<StoredMessage[]> {
    const { table } = this.#state
    const cached = seqs.map(seq => this.#cache.get(seq))
    const missing = seqs.filter((_, i) => cached[i] === undefined)
    const positions = missing.map(seq => table.position(seq))
    let records: Buffer[]
    try {
      records = missing.length === 0 ? [] : await this.#journal.read(positions)
    } catch (error) {
      // Those that were moved meanwhile may be read at their new places.
      const there = missing.every(seq => table.has(seq))
      if (!there || missing.every((seq, i) => table.position(seq) === positions[i])) throw error
      return this.#read(seqs)
    }
    let next = 0
    return cached.map(record => readMessage(record ?? records[next++]!))
  }

  async #views(sub: Subscription, seqs: readonly number[]): Promise<MessageView[]> {
    try {
      const messages = await this.#read(seqs)
      return await Promise.all(messages.map(message => this.#view(sub, message)))
    } catch (error) {
      if (asError(error).code !== 'SIGNALBOX_STORE_DAMAGED') throw error
      // One damaged record must not hide the others.
      if (seqs.length === 1) return [this.#damagedView(sub, seqs[0]!, error as SignalboxError)]
      const views: MessageView[] = []
      for (const seq of seqs) if (this.#state.table.has(seq)) views.push(...(await this.#views(sub, [seq])))
      return views
    }
  }

  #damagedView(sub: Subscription, seq: number, { code, message }: SignalboxError): MessageView {
    const { table } = this.#state
    return {
      message: {
        seq,
        publishedAt: table.publishedAt(seq),
        id: undefined,
        key: this.#state.keyOf(seq),
        priority: table.priority(seq),
        headers: {},
        dueAt: undefined,
        expiresAt: undefined,
        content: Buffer.alloc(0),
      },
      state: this.#stateOf(sub, seq),
      attempts: 0,
      failure: { code, message, at: this.#clock.now() },
    }
  }

  /** One by one, after reading them together failed: a damaged message becomes a dead letter and hurts no other. */
  async #takeReadable(sub: Subscription, taken: readonly Taken[], thrown: unknown): Promise<Delivery[]> {
    const first = asError(thrown)
    if (first.code !== 'SIGNALBOX_STORE_DAMAGED') {
      for (const { seq, lease } of taken) sub.giveBack(seq, lease)
      throw first
    }
    const readable: Delivery[] = []
    for (const { seq, attempt, lease } of taken) {
      if (!this.#state.table.has(seq)) continue
      try {
        const [message] = await this.#read([seq])
        readable.push({ message: message!, attempt, lease })
      } catch (error) {
        const { code, message } = asError(error)
        await this.#failAll(sub.name, [{ seq, attempt, lease }], { code, message }, true)
      }
    }
    return readable
  }

  /** Messages from a number on that are not for a subscription that begins there: gone, or kept out by its filter. */
  async #skipped({ filter }: SubscriptionSettings, from: number): Promise<[number, number][]> {
    const skipped = this.#state.gaps(from)
    if (filter === undefined) return skipped
    const probe = new Subscription('', { ...DEFAULT_SUBSCRIPTION, filter }, 0, this.#state)
    let batch: number[] = []
    const look = async () => {
      for (const { seq, headers } of await this.#read(batch))
        if (!probe.matches(headers)) skipped.push([seq, seq])
      batch = []
    }
    for (const seq of this.#state.table.seqs(from)) {
      batch.push(seq)
      if (batch.length === BROWSE_BATCH) await look()
    }
    if (batch.length > 0) await look()
    return joined(skipped)
  }

  async #view(sub: Subscription, message: StoredMessage): Promise<MessageView> {
    const { seq } = message
    const state = this.#stateOf(sub, seq)
    const dead = sub.dead.get(seq)
    if (dead === undefined) {
      const failed = sub.failed.get(seq)
      return { message, state, attempts: failed?.attempts ?? 0, failure: failed?.failure }
    }
    const [record] = await this.#journal.read([dead.position])
    const { step } = readStep(record!) as { step: { failure: Failure & { at: number } } }
    return { message, state, attempts: dead.attempts, failure: step.failure }
  }

  #stateOf(sub: Subscription, seq: number): DeliveryState {
    const state = sub.stateOf(seq)
    // A clock that was put back before a restart may make one wait that was delivered before.
    return state !== 'settled' && state !== 'dead' && this.#state.isNotDue(seq) ? 'delayed' : state
  }

  #existing(seq: number): number {
    if (this.#state.table.has(seq)) return seq
    throw new SignalboxError('SIGNALBOX_NOT_FOUND', `there is no message ${seq}`, { details: { seq } })
  }

  /** Call it while nothing is being written. */
  #startSeq(start: StartAt): number {
    const { table, writtenSeq } = this.#state
    const first = this.#state.firstSeq()
    switch (start.at) {
      case 'end':
        return writtenSeq
      case 'beginning':
        return first
      case 'seq':
        if (!Number.isFinite(start.seq)) throw usage(`start.seq must be a number, got ${start.seq}`)
        return Math.min(writtenSeq, Math.max(first, Math.floor(start.seq)))
      case 'time':
        for (const seq of table.seqs()) if (table.publishedAt(seq) >= start.time) return seq
        return writtenSeq
    }
  }

  #sub(name: string): Subscription {
    const sub = this.#state.subs.get(name)
    if (sub) return sub
    const near = nearest(name, [...this.#state.subs.keys()])
    const hint = near ? `; did you mean '${near}'?` : ''
    throw new SignalboxError('SIGNALBOX_SUBSCRIPTION_UNKNOWN', `there is no subscription '${name}'${hint}`)
  }

  #trafficOf(name: string): Traffic {
    const traffic = this.#traffic.get(name) ?? { delivered: 0, settled: 0, failures: 0 }
    this.#traffic.set(name, traffic)
    return traffic
  }

  async #failAll(name: string, taken: readonly Taken[], failure: Failure, dead = false): Promise<void> {
    await Promise.all(
      taken.map(lease =>
        this.fail(name, lease, failure, { dead }).catch(thrown => {
          const error = asError(thrown)
          // Settled meanwhile, which is as good.
          if (error.code !== 'SIGNALBOX_LEASE_LOST') throw error
        }),
      ),
    )
  }

  async #dropExpired(seqs: readonly number[]): Promise<void> {
    this.#expired += await this.#drop(seqs, () => {
      // What could not be dropped is looked at again.
      this.#state.expireLater(seqs.filter(seq => this.#state.table.has(seq)))
    })
  }

  /** Has the clock call when the next thing is due. */
  #arm(): void {
    if (this.#closed) return
    const next = this.#nextTime()
    if (next === undefined || next >= this.#timerAt) return
    this.#timer?.cancel()
    this.#timerAt = next
    this.#timer = this.#clock.after(Math.max(0, next - this.#clock.monotonic()), () => this.#tick())
  }

  #nextTime(): number | undefined {
    const next = least(this.#state.nextTime(), this.#housekeeping.nextTime)
    const { keep } = this.#settings
    const oldest = keep && this.#state.kept.peek()
    if (oldest === undefined || !this.#state.table.has(oldest)) return next
    const age = this.#clock.now() - this.#state.table.publishedAt(oldest)
    // Not each of them at its own moment.
    return least(next, this.#clock.monotonic() + Math.max(KEPT_TICK_MS, keep!.ageMs - age))
  }

  #tick(): void {
    this.#timerAt = Number.POSITIVE_INFINITY
    if (this.#closed) return
    const failing: Promise<void>[] = []
    for (const sub of this.#state.subs.values()) {
      sub.wake()
      const overdue = sub.overdue()
      const message = `no settlement within the lease of ${sub.settings.leaseMs} ms`
      if (overdue.length > 0)
        failing.push(this.#failAll(sub.name, overdue, { code: 'SIGNALBOX_LEASE_LOST', message }))
    }
    this.#state.wakeDue()
    const expired = this.#state.takeExpired()
    if (expired.length > 0) {
      failing.push(this.#dropExpired(expired))
    }
    for (const work of failing) work.catch(error => this.#onError(asError(error)))
    this.#trimKept()
    this.#housekeeping.look()
    this.#arm()
  }
}

function joined(ranges: [number, number][]): [number, number][] {
  const result: [number, number][] = []
  for (const [first, last] of ranges.sort((a, b) => a[0] - b[0])) {
    const before = result.at(-1)
    if (before && before[1] + 1 >= first) before[1] = Math.max(before[1], last)
    else result.push([first, last])
  }
  return result
}

function checkMessage({ id, key, priority, delayMs, expiresInMs, headers }: NewMessage): void {
  for (const [what, text] of [
    ['id', id],
    ['key', key],
  ] as const) {
    if (text === undefined) continue
    if (typeof text !== 'string' || text.length === 0 || text.length > 256) {
      throw invalid(`${what} must be a text of 1 to 256 characters`)
    }
  }
  if (priority !== undefined && !(Number.isInteger(priority) && priority >= 0 && priority < PRIORITIES)) {
    throw invalid(`priority must be a whole number from 0 to 9, got ${priority}`)
  }
  for (const [what, ms] of [
    ['delayMs', delayMs],
    ['expiresInMs', expiresInMs],
  ] as const) {
    if (ms !== undefined && !(ms >= 0 && ms <= MAX_MS)) {
      throw invalid(`${what} must be a number of milliseconds from 0 to ${MAX_MS}, got ${ms}`)
    }
  }
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (typeof value !== 'string') throw invalid(`header '${name}' must be a text`)
  }
}

/** Ten years. */
const MAX_MS = 315_576_000_000

function usage(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_USAGE', message)
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_MESSAGE_INVALID', message)
}
