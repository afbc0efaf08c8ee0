/** One subscription of a log: what it owes to its consumers, in which order, and what they have in hand. No input or output. */
import { SignalboxError } from '../../errors.ts'
import type { DeliveryState, Failure, SubscriptionSettings } from './message.ts'
import { type Lane, SeqFifo, TimeHeap } from './queues.ts'
import { SeqSet } from './seq-set.ts'

/** What a subscription needs to know of its log. */
export interface MessageSource {
  /** Messages in the order in which they became ready, one lane for each priority. */
  readonly lanes: readonly Lane[]
  has(seq: number): boolean
  keyOf(seq: number): string | undefined
  /** Whether it is too early for anybody. */
  isNotDue(seq: number): boolean
  priorityOf(seq: number): number
  /** A lease that was never given before, also not by a process that was killed. */
  newLease(): number
  /** Monotonic milliseconds. */
  now(): number
  /** Whether it is too late to deliver it. */
  isExpired(seq: number): boolean
}

interface Lease {
  token: number
  until: number
  consumer: string
  leaseMs: number
}

interface Failed {
  attempts: number
  /** Monotonic; not delivered before. */
  due: number
  failure: (Failure & { at: number }) | undefined
}

/** A message that nobody could handle. Why is in the journal. */
interface Dead {
  attempts: number
  position: number
  /** Of the record that says why. */
  bytes: number
}

/** The messages of one key: one is under way, the others wait for it. */
interface KeyQueue {
  holder: number
  waiting: SeqFifo
}

/** A message that a consumer has taken. */
export interface Taken {
  seq: number
  attempt: number
  lease: number
}

export interface SubscriptionCounts {
  ready: number
  leased: number
  delayed: number
  dead: number
}

export class Subscription {
  readonly name: string
  settings: SubscriptionSettings
  startSeq: number
  /** Messages that are done with, or were never for it. */
  readonly settled = new SeqSet()
  readonly dead = new Map<number, Dead>()
  readonly failed = new Map<number, Failed>()
  /** Messages that are not settled, dead ones too. */
  owed = 0
  /** Called when a message may have become ready. */
  onReady: (() => void) | undefined
  readonly #source: MessageSource
  readonly #cursors: number[]
  /** What the lanes do not give any more, one line for each priority. */
  readonly #again: SeqFifo[]
  #againCount = 0
  readonly #delayed = new TimeHeap()
  readonly #leases = new Map<number, Lease>()
  /** No lease ends before; some that would have may be settled already. */
  #firstLeaseEnd = Number.POSITIVE_INFINITY
  readonly #keys = new Map<string, KeyQueue>()
  /** Settled as soon as the journal has it. */
  readonly #settling = new Set<number>()

  constructor(name: string, settings: SubscriptionSettings, startSeq: number, source: MessageSource) {
    this.name = name
    this.settings = settings
    this.startSeq = startSeq
    this.#source = source
    this.#cursors = source.lanes.map(lane => lane.end)
    this.#again = source.lanes.map(() => new SeqFifo())
  }

  /** Whether it has yet to settle a message. */
  owes(seq: number): boolean {
    return seq >= this.startSeq && this.#source.has(seq) && !this.settled.has(seq)
  }

  /** Whether a message with these headers is for it. */
  matches(headers: Readonly<Record<string, string>>): boolean {
    const { filter } = this.settings
    if (filter === undefined) return true
    return Object.entries(filter).every(([name, wanted]) => {
      const value = Object.hasOwn(headers, name) ? headers[name] : undefined
      if (value === undefined) return false
      return typeof wanted === 'string' ? value === wanted : wanted.includes(value)
    })
  }

  /** The lane index up to which this subscription has taken everything up. */
  cursor(lane: number): number {
    return this.#cursors[lane]!
  }

  /** Puts messages in line that the lanes do not give any more. */
  enqueue(seqs: Iterable<number>): void {
    for (const seq of seqs) {
      // It may be gone since; and what is too early comes in its lane when it is time.
      if (!this.#source.has(seq) || this.#source.isNotDue(seq)) continue
      this.#again[this.#source.priorityOf(seq)]!.push(seq)
      this.#againCount++
    }
    this.onReady?.()
  }

  /** Takes up to `max` messages for a consumer. */
  take(max: number, consumer: string, leaseMs = this.settings.leaseMs): Taken[] {
    const taken: Taken[] = []
    const now = this.#source.now()
    while (taken.length < max) {
      const seq = this.#next()
      if (seq === undefined) break
      if (!this.#isDeliverable(seq, now) || !this.#holdKey(seq)) continue
      const token = this.#source.newLease()
      const until = now + leaseMs
      this.#leases.set(seq, { token, until, consumer, leaseMs })
      if (until < this.#firstLeaseEnd) this.#firstLeaseEnd = until
      taken.push({ seq, attempt: (this.failed.get(seq)?.attempts ?? 0) + 1, lease: token })
    }
    return taken
  }

  /** The consumer is done; false when the lease was not its own any more. Then one of the next three has to follow. */
  beginSettle(seq: number, token: number): boolean {
    if (this.#leases.get(seq)?.token !== token) return false
    this.#leases.delete(seq)
    this.#settling.add(seq)
    return true
  }

  /** It is on disk. False when it had been settled or dropped before. */
  settle(seq: number): boolean {
    this.#settling.delete(seq)
    this.#leases.delete(seq)
    const owed = this.owes(seq)
    this.settled.add(seq)
    if (owed) this.owed--
    this.#done(seq)
    return owed
  }

  /** It could not be written: the message is delivered again. */
  undoSettle(seq: number): void {
    this.#settling.delete(seq)
    this.enqueue([seq])
  }

  /** The delivery failed, on disk. `due` is monotonic; undefined makes it a dead letter. */
  fail(
    seq: number,
    attempts: number,
    due: number | undefined,
    why: Failure & { at: number },
    place: { position: number; bytes: number },
  ): void {
    this.#settling.delete(seq)
    if (!this.owes(seq)) return
    if (due === undefined) {
      this.failed.delete(seq)
      this.dead.set(seq, { attempts, ...place })
      this.#releaseKey(seq)
      return
    }
    this.failed.set(seq, { attempts, due, failure: why })
    this.#delayed.push(due, seq)
  }

  /** What a journal that is read again says of a delivery that failed; the message may not have been seen yet. */
  replayFail(
    seq: number,
    attempts: number,
    due: number | undefined,
    why: Failure & { at: number },
    place: { position: number; bytes: number },
  ): void {
    // Settled meanwhile, so it did not fail.
    if (this.settled.has(seq)) return
    if (due === undefined) {
      this.failed.delete(seq)
      this.dead.set(seq, { attempts, ...place })
    } else this.failed.set(seq, { attempts, due, failure: why })
  }

  /** Works out what is owed, once the journal has been read. */
  finishReplay(): void {
    this.owed = 0
    for (const seq of this.dead.keys()) if (!this.owes(seq)) this.dead.delete(seq)
    for (const seq of this.failed.keys()) if (!this.owes(seq)) this.failed.delete(seq)
  }

  /** Back in line at once, and the attempt does not count. False when the lease was not its own any more. */
  giveBack(seq: number, token: number): boolean {
    if (this.#leases.get(seq)?.token !== token) return false
    this.#leases.delete(seq)
    this.enqueue([seq])
    return true
  }

  /** False when the lease was not its own any more. */
  extend(seq: number, token: number, leaseMs: number): boolean {
    const lease = this.#leases.get(seq)
    if (lease?.token !== token) return false
    lease.until = this.#source.now() + leaseMs
    this.#firstLeaseEnd = Math.min(this.#firstLeaseEnd, lease.until)
    return true
  }

  /** What a consumer has in hand. */
  leasesOf(consumer: string): Taken[] {
    const taken: Taken[] = []
    for (const [seq, lease] of this.#leases) {
      if (lease.consumer === consumer) taken.push(this.#taken(seq, lease))
    }
    return taken
  }

  /** Leases that are over. Each has to be failed by its owner, with the lease that is given. */
  overdue(): Taken[] {
    const now = this.#source.now()
    const over: Taken[] = []
    if (this.#firstLeaseEnd > now) return over
    this.#firstLeaseEnd = Number.POSITIVE_INFINITY
    for (const [seq, lease] of this.#leases) {
      if (lease.until <= now) over.push(this.#taken(seq, lease))
      else if (lease.until < this.#firstLeaseEnd) this.#firstLeaseEnd = lease.until
    }
    return over
  }

  /** Puts in line what has waited long enough. */
  wake(): void {
    const now = this.#source.now()
    const due: number[] = []
    for (let seq = this.#delayed.pop(now); seq !== undefined; seq = this.#delayed.pop(now)) due.push(seq)
    if (due.length > 0) this.enqueue(due)
  }

  /** When {@link wake} or {@link overdue} have something to do; monotonic. */
  get nextTime(): number | undefined {
    const next = Math.min(this.#delayed.next ?? Number.POSITIVE_INFINITY, this.#firstLeaseEnd)
    return next === Number.POSITIVE_INFINITY ? undefined : next
  }

  /** A dead or settled message is owed again, as if it were new. True when it was settled. */
  revive(seq: number): boolean {
    const wasSettled = this.replayRevive(seq)
    if (wasSettled) this.owed++
    this.enqueue([seq])
    return wasSettled
  }

  /** What a journal that is read again says of it. */
  replayRevive(seq: number): boolean {
    const wasSettled = this.settled.has(seq)
    this.settled.delete(seq)
    this.dead.delete(seq)
    this.failed.delete(seq)
    return wasSettled
  }

  /** The message is gone from the log; call before it is. */
  forget(seq: number): void {
    if (this.owes(seq)) this.owed--
    this.#leases.delete(seq)
    this.#settling.delete(seq)
    this.#done(seq)
  }

  stateOf(seq: number): DeliveryState {
    if (!this.owes(seq)) return 'settled'
    if (this.dead.has(seq)) return 'dead'
    if (this.#leases.has(seq) || this.#settling.has(seq)) return 'leased'
    if ((this.failed.get(seq)?.due ?? 0) > this.#source.now()) return 'delayed'
    const key = this.#source.keyOf(seq)
    const held = key === undefined ? undefined : this.#keys.get(key)
    return held !== undefined && held.holder !== seq ? 'waiting' : 'ready'
  }

  isLeased(seq: number): boolean {
    return this.#leases.has(seq) || this.#settling.has(seq)
  }

  /** Messages waiting for one of the same key count as ready. */
  counts(notDue: number): SubscriptionCounts {
    const leased = this.#leases.size + this.#settling.size
    const now = this.#source.now()
    let delayed = notDue
    for (const [seq, { due }] of this.failed)
      if (due > now && this.owes(seq) && !this.#source.isNotDue(seq)) delayed++
    const dead = this.dead.size
    return { ready: Math.max(0, this.owed - leased - delayed - dead), leased, delayed, dead }
  }

  #taken(seq: number, { token }: Lease): Taken {
    return { seq, attempt: (this.failed.get(seq)?.attempts ?? 0) + 1, lease: token }
  }

  #next(): number | undefined {
    const { lanes } = this.#source
    for (let priority = lanes.length - 1; priority >= 0; priority--) {
      if (this.#againCount > 0) {
        const again = this.#again[priority]!.shift()
        if (again !== undefined) {
          this.#againCount--
          return again
        }
      }
      const lane = lanes[priority]!
      const cursor = Math.max(this.#cursors[priority]!, lane.start)
      if (cursor >= lane.end) continue
      this.#cursors[priority] = cursor + 1
      return lane.get(cursor)
    }
    return undefined
  }

  #isDeliverable(seq: number, now: number): boolean {
    if (!this.owes(seq) || this.dead.has(seq) || this.isLeased(seq)) return false
    if (this.#source.isExpired(seq)) return false
    const failed = this.failed.get(seq)
    if (failed === undefined || failed.due <= now) return true
    this.#holdKey(seq)
    this.#delayed.push(failed.due, seq)
    return false
  }

  /** False when an earlier message of the same key is under way; it waits for that one then. */
  #holdKey(seq: number): boolean {
    const key = this.#source.keyOf(seq)
    if (key === undefined) return true
    const held = this.#keys.get(key)
    if (held === undefined) {
      this.#keys.set(key, { holder: seq, waiting: new SeqFifo() })
      return true
    }
    if (held.holder === seq) return true
    held.waiting.push(seq)
    return false
  }

  #done(seq: number): void {
    this.failed.delete(seq)
    this.dead.delete(seq)
    this.#releaseKey(seq)
  }

  #releaseKey(seq: number): void {
    const key = this.#source.keyOf(seq)
    const held = key === undefined ? undefined : this.#keys.get(key)
    if (held?.holder !== seq) return
    for (let next = held.waiting.shift(); next !== undefined; next = held.waiting.shift()) {
      if (next === seq || !this.owes(next) || this.dead.has(next)) continue
      held.holder = next
      this.enqueue([next])
      return
    }
    this.#keys.delete(key!)
  }
}

/** The error for a settlement that came too late. */
export function leaseLost(seq: number): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_LEASE_LOST',
    `message ${seq} is not in the hands of this consumer any more: its lease ended, or it was settled before`,
    { details: { seq } },
  )
}
