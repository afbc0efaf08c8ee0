/**
 * The checker: sees every operation at the log, before and after, and knows what may follow from it. What it knows
 * outlives the simulated processes.
 */
import type { Receipt } from '../../core/service/service.ts'
import type { Delivery, MessageView, NewMessage } from '../../core/store/messages/message.ts'
import type { Lease } from '../../core/store/messages/message-log.ts'
import { MAX_ATTEMPTS, type Plan } from './plan.ts'
import type { World } from './world.ts'

/** One attempt to publish one message, as it reached the log. */
interface Attempt {
  number: number
  message: NewMessage
  /** Position among everything that happened at the log. */
  tick: number
  at: number
  seq: number | undefined
  acked: boolean
  /** The latest content that an editor was told is kept. */
  version: number
  /** The wall clock was set, and then the process died: what depends on the wall clock has changed. */
  timeless: boolean
}

interface Sub {
  /** Messages published after this are for it; undefined while it does not exist for sure. */
  from: number | undefined
  /** Messages published before may have been taken away from it. */
  excusedTo: number
  settled: Set<number>
  handled: Set<number>
  /** First deliveries of each key, in order. */
  lastOfKey: Map<string, number>
  /** Messages that were put back in line by hand have no place in the order. */
  loose: Set<number>
  /** What was delivered last of each key. */
  under: Map<string, { seq: number; attempt: Attempt; count: number }>
  /** Messages that a consumer gave up for good. */
  hopeless: Set<number>
  /** Messages are being put back: what is settled meanwhile may come again. */
  reviving: number
}

export interface Content {
  number: number
  version: number
}

export function contentOf(bytes: Uint8Array): Content {
  const [number, version] = Buffer.from(bytes).toString().split('/') as [string, string]
  return { number: Number(number), version: Number(version) }
}

export function bytesOf({ number, version }: Content): Buffer {
  return Buffer.from(`${number}/${version}/`.padEnd(60, '.'))
}

export class Truth {
  readonly violations: string[] = []
  readonly #world: World
  readonly #plan: Plan
  readonly #attempts = new Map<number, Attempt>()
  readonly #bySeq = new Map<number, Attempt>()
  readonly #subs = new Map<string, Sub>()
  readonly #droppedSeqs = new Set<number>()
  /** Numbers that a publisher was told are those of its message. */
  readonly #promised = new Set<number>()
  /** Subscriptions and messages that were delivered before. */
  readonly #wasFirst = new Set<string>()
  #tick = 0
  #jumpedAt = -1
  readonly counts = { published: 0, delivered: 0, settled: 0, dead: 0, crashes: 0 }

  constructor(world: World, plan: Plan) {
    this.#world = world
    this.#plan = plan
  }

  violation(text: string): void {
    this.violations.push(`${this.#world.time.toFixed(1)} ${text}`)
  }

  publishing(messages: readonly NewMessage[]): Attempt[] {
    const tick = ++this.#tick
    return messages.map(message => {
      const { number } = contentOf(message.content)
      const at = this.#world.time
      const attempt = { number, message, tick, at, seq: undefined, acked: false, version: 0, timeless: false }
      this.#attempts.set(number, attempt)
      return attempt
    })
  }

  published(attempts: readonly Attempt[], receipts: readonly Receipt[]): void {
    receipts.forEach(({ seq, duplicate }, i) => {
      const attempt = attempts[i]!
      this.#promised.add(seq)
      if (duplicate) {
        const earlier = this.#bySeq.get(seq)
        if (earlier && earlier.message.id !== attempt.message.id) {
          this.violation(
            `message ${attempt.number} is said to be a duplicate of ${seq}, which has another id`,
          )
        }
        return
      }
      this.counts.published++
      attempt.acked = true
      this.#known(seq, attempt)
    })
  }

  subscribing(_name: string): void {
    this.#tick++
  }

  subscribed(name: string): void {
    const there = this.#subs.get(name)
    if (there?.from !== undefined) return
    this.#subs.set(name, newSub(++this.#tick))
  }

  /** A subscription ends; what is returned takes that back, when it stays. */
  unsubscribing(name: string): () => void {
    const there = this.#subs.get(name)
    this.#subs.set(name, newSub(undefined))
    return () => {
      if (!there) return
      this.#subs.set(name, there)
      // What was settled meanwhile has been told to another.
      this.#revived(there, undefined)
      there.excusedTo = ++this.#tick
    }
  }

  /** Before and after everything that may take messages away from a subscription. */
  excuse(name: string): void {
    const sub = this.#subs.get(name)
    if (sub) sub.excusedTo = ++this.#tick
  }

  dropping(seqs: readonly number[]): void {
    for (const seq of seqs) this.#droppedSeqs.add(seq)
  }

  /** Messages are put back in line; `undefined`: any of them. Resolves with `work`. */
  async reviving(
    name: string,
    seqs: readonly number[] | undefined,
    work: () => Promise<unknown>,
  ): Promise<void> {
    const sub = this.#subs.get(name)
    if (!sub) return
    sub.reviving++
    this.#revived(sub, seqs)
    try {
      // When the process dies before, this never ends; the next start makes up for it.
      await work()
    } finally {
      this.#revived(sub, seqs)
      sub.reviving--
    }
  }

  #revived(sub: Sub, seqs: readonly number[] | undefined): void {
    for (const seq of seqs ?? this.#bySeq.keys()) {
      sub.settled.delete(seq)
      sub.loose.add(seq)
    }
    // Whatever comes now may be older than what came.
    if (seqs === undefined) sub.lastOfKey.clear()
  }

  edited(seq: number, version: number): void {
    const attempt = this.#bySeq.get(seq)
    if (attempt) attempt.version = Math.max(attempt.version, version)
  }

  taken(name: string, deliveries: readonly Delivery[]): void {
    const sub = this.#subs.get(name)
    if (!sub) return
    let priority = 9
    for (const delivery of deliveries) {
      const { seq } = delivery.message
      this.counts.delivered++
      if (delivery.message.priority > priority) {
        this.violation(`${name}: message ${seq} of priority ${delivery.message.priority} behind ${priority}`)
      }
      priority = delivery.message.priority
      this.#delivered(name, sub, delivery)
    }
  }

  #delivered(name: string, sub: Sub, { message, attempt: count }: Delivery): void {
    const { seq, content } = message
    const what = `${name}: message ${seq}`
    const { number, version } = contentOf(content)
    const attempt = this.#attempts.get(number)
    if (!attempt) {
      this.violation(`${what} was never published`)
      return
    }
    this.#known(seq, attempt)
    const { message: sent } = attempt
    if (message.id !== sent.id || message.key !== sent.key) this.violation(`${what} has another id or key`)
    if (version < attempt.version)
      this.violation(`${what} has version ${version}, ${attempt.version} was kept`)
    if (sub.settled.has(seq)) this.violation(`${what} was delivered after it was settled`)
    if (count < 1 || count > MAX_ATTEMPTS) this.violation(`${what} was delivered for attempt ${count}`)
    if (!wants(this.#plan, name, message.headers)) this.violation(`${what} is not for it`)
    this.#checkTime(what, attempt)
    this.#checkOrder(what, sub, attempt, seq)
    this.#checkAlone(what, sub, attempt, seq, count)
  }

  #checkTime(what: string, attempt: Attempt): void {
    const age = this.#world.time - attempt.at
    const { delayMs = 0 } = attempt.message
    const life = this.#lifeOf(attempt)
    if (attempt.timeless) return
    if (age < delayMs - 1) this.violation(`${what} was delivered after ${age} of ${delayMs} ms`)
    // It may have been taken in the same moment, and a restart knows whole milliseconds.
    if (age > life + 1 + this.#plan.diskMs) this.violation(`${what} was delivered ${age} ms old, of ${life}`)
  }

  #checkOrder(what: string, sub: Sub, attempt: Attempt, seq: number): void {
    const { key, delayMs } = attempt.message
    if (key === undefined || delayMs !== undefined || sub.loose.has(seq)) return
    // One that had expired may have time again when the wall clock was put back.
    if (this.#lifeOf(attempt) !== Infinity) return
    const last = sub.lastOfKey.get(key) ?? 0
    if (seq < last && !sub.handled.has(seq) && !this.#wasFirst.has(what)) {
      this.violation(`${what} of key ${key} came first behind ${last}`)
    }
    this.#wasFirst.add(what)
    sub.lastOfKey.set(key, Math.max(last, seq))
  }

  /** Of one key one message at a time. */
  #checkAlone(what: string, sub: Sub, attempt: Attempt, seq: number, count: number): void {
    const { key } = attempt.message
    if (key === undefined) return
    const before = sub.under.get(key)
    sub.under.set(key, { seq, attempt, count })
    if (before === undefined || before.seq === seq || before.count >= MAX_ATTEMPTS) return
    if (sub.handled.has(before.seq) || sub.hopeless.has(before.seq) || sub.loose.has(before.seq)) return
    if (this.#droppedSeqs.has(before.seq) || before.attempt.tick < sub.excusedTo) return
    if (this.#plan.settings.overflow === 'dropOldest' || this.#lifeOf(before.attempt) !== Infinity) return
    this.violation(`${what} of key ${key} was delivered while ${before.seq} was under way`)
  }

  /** A consumer gives one up for good. */
  givingUp(name: string, seq: number): void {
    this.#subs.get(name)?.hopeless.add(seq)
  }

  #lifeOf({ message }: Attempt): number {
    return Math.min(message.expiresInMs ?? Infinity, this.#plan.settings.maxAgeMs ?? Infinity)
  }

  settling(name: string, leases: readonly Lease[]): void {
    const sub = this.#subs.get(name)
    if (sub) for (const { seq } of leases) sub.handled.add(seq)
  }

  settled(name: string, leases: readonly Lease[], late: readonly Lease[]): void {
    const sub = this.#subs.get(name)
    if (!sub) return
    const missed = new Set(late.map(({ seq }) => seq))
    for (const { seq } of leases) {
      if (missed.has(seq)) continue
      this.counts.settled++
      if (sub.from !== undefined && sub.reviving === 0) sub.settled.add(seq)
    }
  }

  jumped(): void {
    this.#jumpedAt = ++this.#tick
  }

  /** What was written is read by the wall clock as it is now. */
  starting(): void {
    this.#tick++
    for (const attempt of this.#attempts.values()) if (attempt.tick < this.#jumpedAt) attempt.timeless = true
    for (const sub of this.#subs.values()) {
      if (sub.reviving > 0) this.#revived(sub, undefined)
      sub.reviving = 0
    }
  }

  crashed(): void {
    this.counts.crashes++
    // A message that was delayed may come before those that overtook it.
    for (const sub of this.#subs.values()) sub.under.clear()
  }

  #known(seq: number, attempt: Attempt): void {
    const other = this.#bySeq.get(seq)
    if (other && other !== attempt) this.violation(`${seq} is message ${other.number} and ${attempt.number}`)
    if (attempt.seq !== undefined && attempt.seq !== seq) {
      this.violation(`message ${attempt.number} is kept twice, as ${attempt.seq} and ${seq}`)
    }
    if (attempt.seq === undefined) this.#checkDuplicate(attempt, seq)
    attempt.seq = seq
    this.#bySeq.set(seq, attempt)
  }

  /** No id twice within the window. */
  #checkDuplicate(attempt: Attempt, seq: number): void {
    const { id } = attempt.message
    const windowMs = this.#plan.settings.dedupWindowMs!
    if (id === undefined) return
    for (const other of this.#bySeq.values()) {
      if (other.message.id !== id || other === attempt || other.timeless || attempt.timeless) continue
      const apart = Math.abs(other.at - attempt.at)
      // A restart knows whole milliseconds, and messages wait for the one before them.
      if (apart + 1 + 2 * this.#plan.diskMs >= windowMs) continue
      if (other.seq !== undefined)
        this.violation(`id ${id} is kept as ${other.seq} and ${seq}, ${apart} ms apart`)
    }
  }

  /** What has to hold when everything has been handled. */
  finished(name: string, dead: readonly MessageView[]): void {
    const sub = this.#subs.get(name)
    if (!sub) return
    const deadSeqs = new Set<number>()
    for (const { message, attempts, failure } of dead) {
      this.counts.dead++
      deadSeqs.add(message.seq)
      if (!failure?.code || !failure.message || attempts < 1) {
        this.violation(`${name}: dead letter ${message.seq} has no reason`)
      }
    }
    for (const seq of this.#promised) {
      if (!this.#bySeq.has(seq) && this.#mustCome(name, sub)) {
        this.violation(`${name}: ${seq}, of which a duplicate was acknowledged, never came`)
      }
    }
    for (const [seq, attempt] of this.#bySeq) {
      if (!this.#promised.has(seq) || sub.handled.has(seq) || deadSeqs.has(seq)) continue
      if (this.#isExcused(name, sub, attempt, seq)) continue
      this.violation(`${name}: acknowledged message ${seq} (${attempt.number}) is lost`)
    }
  }

  /** Whether nothing can explain that a message nobody knows the attempt of did not come. */
  #mustCome(name: string, sub: Sub): boolean {
    const { settings, expiring } = this.#plan
    if (name !== 'all' || sub.from !== 1 || sub.excusedTo > 0 || this.#droppedSeqs.size > 0) return false
    return settings.overflow !== 'dropOldest' && settings.maxAgeMs === undefined && expiring === 0
  }

  #isExcused(name: string, sub: Sub, attempt: Attempt, seq: number): boolean {
    const { message, at } = attempt
    if (sub.from === undefined || attempt.tick < Math.max(sub.from, sub.excusedTo)) return true
    if (!wants(this.#plan, name, message.headers) || this.#droppedSeqs.has(seq)) return true
    if (this.#plan.settings.overflow === 'dropOldest') return true
    const life = this.#lifeOf(attempt)
    return this.#world.time - at >= life || (attempt.timeless && life !== Infinity)
  }
}

function newSub(from: number | undefined): Sub {
  return {
    from,
    excusedTo: 0,
    settled: new Set(),
    handled: new Set(),
    lastOfKey: new Map(),
    loose: new Set(),
    under: new Map(),
    hopeless: new Set(),
    reviving: 0,
  }
}

function wants(plan: Plan, name: string, headers: Readonly<Record<string, string>> = {}): boolean {
  const filter = plan.subscriptions[name]?.filter
  const color = filter?.color
  if (color === undefined) return true
  return typeof color === 'string' ? headers.color === color : color.includes(headers.color ?? '')
}
