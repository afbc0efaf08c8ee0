/** The messages of a log and who owes what: in memory, changed only by steps that are on disk. No input or output. */
import type { Clock, Random } from '../../clock.ts'
import { IndexTable } from './index-table.ts'
import {
  DEFAULT_SUBSCRIPTION,
  type LogSettings,
  PRIORITIES,
  type StoredMessage,
  type SubscriptionSettings,
} from './message.ts'
import { Lane, SeqFifo, TimeHeap } from './queues.ts'
import { RecentIds } from './recent-ids.ts'
import { RECORD, type readStep, type Steps, type SubscriptionSnapshot } from './record.ts'
import { SeqSet } from './seq-set.ts'
import { type MessageSource, Subscription } from './subscription.ts'

type Ranges = readonly (readonly [number, number])[]

export class LogState implements MessageSource {
  readonly table = new IndexTable()
  readonly lanes: Lane[] = Array.from({ length: PRIORITIES }, () => new Lane())
  readonly subs = new Map<string, Subscription>()
  readonly ids = new RecentIds()
  /** Messages that everyone has settled, in that order. */
  readonly kept = new SeqFifo()
  nextSeq = 1
  /** Every message before it is on disk or refused; those from it on are not. */
  writtenSeq = 1
  /** Messages that somebody has yet to settle. */
  owedMessages = 0
  owedBytes = 0
  readonly #clock: Clock
  /** Subscriptions that are still to come in the journal that is read. */
  readonly #announced = new Map<string, Subscription>()
  /** Subscriptions that have ended in the journal that is read. */
  readonly #ended = new Set<string>()
  readonly #keys = new Map<number, string>()
  /** Messages that nobody gets before their time; monotonic. */
  readonly #due = new Map<number, number>()
  readonly #dueHeap = new TimeHeap()
  readonly #expires = new Map<number, number>()
  readonly #expiryHeap = new TimeHeap()
  /** Messages that are being written. */
  #claimedMessages = 0
  #claimedBytes = 0
  #leases: number

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    // Leases of a process that was killed may still be about.
    this.#leases = Math.floor(random() * LEASE_STARTS) * LEASES_EACH
  }

  has(seq: number): boolean {
    return this.table.has(seq)
  }

  keyOf(seq: number): string | undefined {
    return this.#keys.size === 0 ? undefined : this.#keys.get(seq)
  }

  priorityOf(seq: number): number {
    return this.table.priority(seq)
  }

  newLease(): number {
    return ++this.#leases
  }

  now(): number {
    return this.#clock.monotonic()
  }

  isExpired(seq: number): boolean {
    if (this.#expires.size === 0) return false
    const at = this.#expires.get(seq)
    return at !== undefined && at <= this.#clock.monotonic()
  }

  isNotDue(seq: number): boolean {
    return this.#due.has(seq)
  }

  isLeased(seq: number): boolean {
    for (const sub of this.subs.values()) if (sub.isLeased(seq)) return true
    return false
  }

  get notDue(): number {
    return this.#due.size
  }

  notDueFor(sub: Subscription): number {
    let count = 0
    for (const seq of this.#due.keys()) if (sub.owes(seq) && !sub.dead.has(seq)) count++
    return count
  }

  /** With what is being written. */
  get claimedMessages(): number {
    return this.owedMessages + this.#claimedMessages
  }

  get claimedBytes(): number {
    return this.owedBytes + this.#claimedBytes
  }

  reserve(messages: number, bytes: number): void {
    this.#claimedMessages += messages
    this.#claimedBytes += bytes
  }

  /** `since`: when it was published, monotonic. */
  publish(message: StoredMessage, position: number, bytes: number, since: number): void {
    const { seq, id, publishedAt } = message
    this.#insert(message, position, bytes, wall => since + wall - publishedAt)
    this.writtenSeq = Math.max(this.writtenSeq, seq + 1)
    if (id !== undefined) this.ids.place(id, seq, position)
    for (const sub of this.subs.values()) {
      if (seq < sub.startSeq) continue
      if (sub.matches(message.headers)) this.#owe(sub, seq)
      else sub.settled.add(seq)
    }
    this.#line(seq, message.priority)
    if (this.table.owed(seq) === 0) this.kept.push(seq)
  }

  /** Begins a subscription, or changes one. `skip`: messages that are not for it. */
  subscribe(name: string, settings: SubscriptionSettings, startSeq: number, skip: Ranges): void {
    const there = this.subs.get(name)
    if (there) {
      there.settings = settings
      return
    }
    const sub = new Subscription(name, settings, startSeq, this)
    this.subs.set(name, sub)
    sub.settled.addRanges(skip)
    const old: number[] = []
    for (const seq of this.table.seqs(startSeq)) {
      if (!sub.owes(seq)) continue
      this.#owe(sub, seq)
      old.push(seq)
    }
    if (old.length > 0) sub.enqueue(old)
  }

  /** Gives the messages that nobody owes any more. */
  unsubscribe(sub: Subscription): number[] {
    if (!this.isCurrent(sub)) return []
    this.subs.delete(sub.name)
    const released: number[] = []
    for (const seq of this.table.seqs(sub.startSeq)) {
      if (!sub.settled.has(seq) && this.#unowe(seq)) released.push(seq)
    }
    return released
  }

  /** True when nobody owes the message any more. */
  settle(sub: Subscription, seq: number): boolean {
    return this.isCurrent(sub) && sub.settle(seq) && this.#unowe(seq)
  }

  /** Whether it has not been ended meanwhile. */
  isCurrent(sub: Subscription): boolean {
    return this.subs.get(sub.name) === sub
  }

  revive(sub: Subscription, seq: number): void {
    if (this.isCurrent(sub) && this.table.has(seq) && sub.revive(seq)) this.#oweMore(seq)
  }

  /** Gives the messages that nobody owes any more. */
  seek(sub: Subscription, to: number, skip: Ranges): number[] {
    const released: number[] = []
    const again: number[] = []
    const notWanted = new SeqSet()
    notWanted.addRanges(skip)
    for (const seq of this.table.seqs()) {
      if (seq < to || notWanted.has(seq)) {
        if (sub.owes(seq)) {
          if (this.settle(sub, seq)) released.push(seq)
        } else sub.settled.add(seq)
      } else if (sub.settled.has(seq) || seq < sub.startSeq) again.push(seq)
    }
    sub.startSeq = Math.min(sub.startSeq, to)
    for (const seq of again) {
      sub.settled.delete(seq)
      sub.owed++
      this.#oweMore(seq)
    }
    if (again.length > 0) sub.enqueue(again)
    return released
  }

  /** The message is gone; the bytes it had. */
  release(seq: number): number {
    if (!this.table.has(seq)) return 0
    const bytes = this.table.bytesOf(seq)
    if (this.table.owed(seq) > 0) {
      this.owedMessages--
      this.owedBytes -= bytes
    }
    for (const sub of this.subs.values()) if (seq >= sub.startSeq) sub.forget(seq)
    this.table.delete(seq)
    this.#keys.delete(seq)
    this.#due.delete(seq)
    this.#expires.delete(seq)
    return bytes
  }

  /** The message is at a new place. */
  moved(seq: number, position: number, bytes: number): void {
    if (!this.table.has(seq)) return
    const [publishedAt, priority] = [this.table.publishedAt(seq), this.table.priority(seq)]
    if (this.table.owed(seq) > 0) this.owedBytes += bytes - this.table.bytesOf(seq)
    this.table.put(seq, { position, publishedAt, bytes, priority })
  }

  /** Monotonic time at which something has to be done. */
  nextTime(): number | undefined {
    let next = least(this.#dueHeap.next, this.#expiryHeap.next)
    for (const sub of this.subs.values()) next = least(next, sub.nextTime)
    return next
  }

  /** Puts in line the messages whose time has come. */
  wakeDue(): void {
    const now = this.now()
    for (let seq = this.#dueHeap.pop(now); seq !== undefined; seq = this.#dueHeap.pop(now)) {
      if (this.#due.delete(seq) && this.table.has(seq)) this.#push(seq, this.table.priority(seq))
    }
  }

  /** Messages that are too old, unless a consumer has them in hand. */
  takeExpired(): number[] {
    const now = this.now()
    const expired: number[] = []
    // Most are consumed long before their time.
    if (this.#expiryHeap.length > 4_096 && this.#expiryHeap.length > 4 * this.#expires.size) {
      this.#expiryHeap.reset(this.#expires)
    }
    for (let seq = this.#expiryHeap.pop(now); seq !== undefined; seq = this.#expiryHeap.pop(now)) {
      if (!this.#expires.has(seq) || !this.table.has(seq)) continue
      if (this.isLeased(seq)) this.#expiryHeap.push(now + IN_HAND_MS, seq)
      else expired.push(seq)
    }
    return expired
  }

  /** They could not be dropped; they are given again. */
  expireLater(seqs: readonly number[]): void {
    for (const seq of seqs) this.#expiryHeap.push(this.now() + IN_HAND_MS, seq)
  }

  /** Lets go of the parts of the lanes that every subscription is through with. */
  trimLanes(): void {
    this.lanes.forEach((lane, i) => {
      let least = lane.end
      for (const sub of this.subs.values()) least = Math.min(least, sub.cursor(i))
      lane.forget(least)
    })
  }

  replayMessage(message: StoredMessage, position: number, bytes: number, isNew: boolean): void {
    const { seq, id, publishedAt } = message
    this.nextSeq = Math.max(this.nextSeq, seq + 1)
    const now = this.#clock.now()
    this.#insert(message, position, bytes, wall => this.#monotonic(wall, publishedAt, now))
    if (!isNew) return
    // A clock that was put back does not make it younger than new.
    if (id !== undefined) this.ids.add(id, seq, this.now() - Math.max(0, now - publishedAt), position)
    for (const sub of this.subs.values()) if (!sub.matches(message.headers)) sub.settled.add(seq)
  }

  replayStep(
    { type, step }: ReturnType<typeof readStep>,
    place: { position: number; bytes: number },
    now: number,
  ): void {
    switch (type) {
      case RECORD.settle: {
        const sub = this.#replayed(step.sub)
        if (sub) for (const seq of step.seqs) sub.settle(seq)
        return
      }
      case RECORD.fail: {
        const due = step.dueAt === undefined ? undefined : this.#monotonic(step.dueAt, step.failure.at, now)
        this.#replayed(step.sub)?.replayFail(step.seq, step.attempts, due, step.failure, place)
        return
      }
      case RECORD.drop:
        for (const [first, last] of step.ranges) for (let seq = first; seq <= last; seq++) this.release(seq)
        return
      case RECORD.revive:
        for (const seq of step.seqs) this.#replayed(step.sub)?.replayRevive(seq)
        return
      case RECORD.subscribe:
        this.#replaySubscribe(step)
        return
      case RECORD.unsubscribe:
        this.subs.delete(step.sub)
        this.#announced.delete(step.sub)
        this.#ended.add(step.sub)
        return
      case RECORD.seek:
        this.#replaySeek(step.sub, step.seq, step.skip ?? [])
        return
      case RECORD.settled:
        this.#replayed(step.sub)?.settled.addRanges(step.ranges)
        return
      case RECORD.snapshot:
        this.nextSeq = Math.max(this.nextSeq, step.nextSeq)
        this.#replaySubs(step, now)
    }
  }

  /** Works out what is owed, once every record has been seen. */
  finishReplay(settings: LogSettings): void {
    this.writtenSeq = this.nextSeq
    this.ids.trim(this.now(), settings)
    this.#announced.clear()
    this.#ended.clear()
    for (const sub of this.subs.values()) sub.finishReplay()
    this.owedMessages = this.owedBytes = 0
    const released: number[] = []
    for (const seq of this.table.seqs()) {
      for (const sub of this.subs.values()) if (sub.owes(seq)) this.#owe(sub, seq)
      if (this.table.owed(seq) === 0) {
        if (settings.keep === undefined) {
          released.push(seq)
          continue
        }
        this.kept.push(seq)
      }
      this.#line(seq, this.table.priority(seq))
    }
    for (const seq of released) this.release(seq)
  }

  /** Everything but the messages. */
  snapshot(): Steps[typeof RECORD.snapshot] {
    const subs = Array.from(this.subs.values(), sub => this.#snapshotOf(sub))
    return { at: this.#clock.now(), firstSeq: this.firstSeq(), nextSeq: this.nextSeq, subs }
  }

  #snapshotOf(sub: Subscription): SubscriptionSnapshot {
    const first = this.firstSeq()
    const { name, settings, startSeq } = sub
    const [wall, monotonic] = [this.#clock.now(), this.now()]
    const failed = Array.from(sub.failed, ([seq, { attempts, due }]): [number, number, number] => [
      seq,
      attempts,
      Math.round(wall + due - monotonic),
    ])
    sub.settled.addBelow(first)
    return { name, settings, startSeq, settled: this.#done(sub, first), failed }
  }

  /** Messages from `from` on that a subscription has settled, or that are gone, as pairs of first and last. */
  #done(sub: Subscription, from: number): [number, number][] {
    const done: [number, number][] = []
    let next = from
    for (const seq of this.table.seqs(from)) {
      if (sub.settled.has(seq)) continue
      if (seq > next) done.push([next, seq - 1])
      next = seq + 1
    }
    if (next < this.writtenSeq) done.push([next, this.writtenSeq - 1])
    return done
  }

  /** The number of the oldest message that is there, or of the next one to be written. */
  firstSeq(): number {
    for (const seq of this.table.seqs()) return seq
    return this.writtenSeq
  }

  /** Numbers from `from` on that no message has any more, as pairs of first and last. */
  gaps(from: number): [number, number][] {
    const gaps: [number, number][] = []
    let next = from
    for (const seq of this.table.seqs(from)) {
      if (seq > next) gaps.push([next, seq - 1])
      next = seq + 1
    }
    if (next < this.writtenSeq) gaps.push([next, this.writtenSeq - 1])
    return gaps
  }

  #replaySubs({ at, firstSeq, subs }: Steps[typeof RECORD.snapshot], now: number): void {
    const before = new Map([...this.#announced, ...this.subs])
    this.#announced.clear()
    this.subs.clear()
    this.#ended.clear()
    for (const { name, settings, startSeq, settled, failed } of subs) {
      const sub = new Subscription(name, settings, startSeq, this)
      // What is older was gone, though it may be in the journal yet.
      sub.settled.addBelow(firstSeq)
      sub.settled.addRanges(settled)
      // Why a message is dead is told by a record of its own.
      for (const [seq, dead] of before.get(name)?.dead ?? [])
        if (!sub.settled.has(seq)) sub.dead.set(seq, dead)
      for (const [seq, attempts, dueAt] of failed) {
        const due = this.#monotonic(dueAt, at, now)
        sub.failed.set(seq, { attempts, due, failure: before.get(name)?.failed.get(seq)?.failure })
      }
      this.subs.set(name, sub)
    }
  }

  /** A subscription that a record speaks of; one whose beginning is not in the journal any more comes in a snapshot. */
  #replayed(name: string): Subscription | undefined {
    const there = this.subs.get(name) ?? this.#announced.get(name)
    if (there || this.#ended.has(name)) return there
    const sub = new Subscription(name, DEFAULT_SUBSCRIPTION, Number.POSITIVE_INFINITY, this)
    this.#announced.set(name, sub)
    return sub
  }

  #replaySubscribe({ name, settings, startSeq, skip = [] }: Steps[typeof RECORD.subscribe]): void {
    const there = this.subs.get(name)
    if (there) {
      there.settings = settings
      return
    }
    // One that is changed before the snapshot that tells of it goes on as it is.
    const sub = this.#announced.get(name) ?? new Subscription(name, settings, startSeq, this)
    sub.settings = settings
    sub.startSeq = startSeq
    sub.settled.addRanges(skip)
    this.subs.set(name, sub)
    this.#announced.delete(name)
    this.#ended.delete(name)
  }

  #replaySeek(name: string, to: number, skip: Ranges): void {
    const sub = this.#replayed(name)
    if (!sub) return
    sub.settled.deleteFrom(to)
    sub.settled.addBelow(to)
    sub.settled.addRanges(skip)
    sub.startSeq = Math.min(sub.startSeq, to)
    for (const outcome of [sub.failed, sub.dead]) {
      for (const seq of outcome.keys()) if (sub.settled.has(seq)) outcome.delete(seq)
    }
  }

  #insert(
    { seq, publishedAt, priority, key, dueAt, expiresAt }: StoredMessage,
    position: number,
    bytes: number,
    monotonic: (wall: number) => number,
  ): void {
    this.table.put(seq, { position, publishedAt, bytes, priority })
    if (key !== undefined) this.#keys.set(seq, key)
    const due = dueAt === undefined ? 0 : monotonic(dueAt)
    if (dueAt !== undefined && due > this.now()) this.#due.set(seq, due)
    if (expiresAt !== undefined) {
      const at = monotonic(expiresAt)
      this.#expires.set(seq, at)
      this.#expiryHeap.push(at, seq)
    }
  }

  /** A wall-clock time that was set at `from`, on the monotonic clock; a clock put back does not lengthen it. */
  #monotonic(wall: number, from: number, now: number): number {
    return this.now() + Math.max(0, Math.min(wall - now, wall - from))
  }

  #line(seq: number, priority: number): void {
    const due = this.#due.get(seq)
    if (due === undefined) this.#push(seq, priority)
    else this.#dueHeap.push(due, seq)
  }

  #push(seq: number, priority: number): void {
    this.lanes[priority]!.push(seq)
    for (const sub of this.subs.values()) if (sub.owes(seq)) sub.onReady?.()
  }

  #owe(sub: Subscription, seq: number): void {
    sub.owed++
    this.#oweMore(seq)
  }

  #oweMore(seq: number): void {
    if (this.table.owe(seq, 1) > 1) return
    this.owedMessages++
    this.owedBytes += this.table.bytesOf(seq)
  }

  /** True when nobody owes it any more. */
  #unowe(seq: number): boolean {
    if (this.table.owe(seq, -1) > 0) return false
    this.owedMessages--
    this.owedBytes -= this.table.bytesOf(seq)
    return true
  }
}

/** Lease numbers start at one of so many places, and fit a double. */
const LEASE_STARTS = 2 ** 21
const LEASES_EACH = 2 ** 31

/** A message past its time is looked at again after this long while a consumer has it. */
const IN_HAND_MS = 1_000

/** The smaller of two, where there are two. */
export function least(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined) return b
  return b === undefined ? a : Math.min(a, b)
}
