/** Who uses a simulated node: publishers, consumers, an operator, all over a link that delays, reorders and loses. */

import type { DeliveredMessage, LogRequest } from '../../actors/messages/protocol.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { NewMessage } from '../../core/store/messages/message.ts'
import type { Lease, MessageLog } from '../../core/store/messages/message-log.ts'
import type { SimulatedNode } from './node.ts'
import type { Plan } from './plan.ts'
import { bytesOf, contentOf, type Truth } from './truth.ts'
import type { World } from './world.ts'

const COLORS = ['red', 'blue', 'green']

export interface Parts {
  world: World
  plan: Plan
  truth: Truth
  node: SimulatedNode
}

/** The way of one client to the node. What it sends keeps its order; what several send does not. */
export class Link {
  readonly #parts: Parts
  #lastAt = 0
  /** Calls that have not ended. */
  static pending = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async call<T>(request: LogRequest | 'fail', timeoutMs = 2_000): Promise<T> {
    Link.pending++
    try {
      await this.#travel()
      const { process } = this.#parts.node
      if (!process) throw new SignalboxError('SIGNALBOX_WORKER_LOST', 'no process is there')
      const reply = await process.ask(request, timeoutMs)
      await this.#travel()
      return reply as T
    } finally {
      Link.pending--
    }
  }

  async #travel(): Promise<void> {
    const { world, plan, node } = this.#parts
    const { delayMs, lossRate } = plan.link
    // A lease must be longer than a way there and back, or nothing is ever settled.
    const longestMs = node.calm ? Math.min(delayMs, 1) : delayMs
    const at = Math.max(this.#lastAt, world.time + world.random() * longestMs)
    this.#lastAt = at
    const lost = !node.calm && world.chance(lossRate)
    await world.sleep(at - world.time)
    if (lost) throw new SignalboxError('SIGNALBOX_WORKER_LOST', 'the link lost it')
  }
}

/** Publishes messages of its own; what was not acknowledged is sent again when it has an id. */
export class Publisher {
  static numbers = 0
  readonly #parts: Parts
  readonly #link: Link
  readonly #name: string
  readonly #ids: string[] = []
  #count = 0

  constructor(parts: Parts, name: string) {
    this.#parts = parts
    this.#name = name
    this.#link = new Link(parts)
  }

  async run(isOver: () => boolean): Promise<void> {
    const { world, plan } = this.#parts
    while (!isOver()) {
      await world.sleep(world.random() * plan.paceMs)
      const messages = Array.from({ length: world.chance(0.3) ? world.int(2, 4) : 1 }, () => this.#make())
      await this.#publish(messages, isOver)
    }
  }

  async #publish(messages: NewMessage[], isOver: () => boolean): Promise<void> {
    const { world } = this.#parts
    for (let tries = 0; tries < 5; tries++) {
      const numbers = messages.map(({ content }) => contentOf(content).number).join(' ')
      try {
        const receipts = await this.#link.call<object>({ op: 'publish', messages })
        world.note(`${this.#name} published ${numbers}: ${JSON.stringify(receipts)}`)
        return
      } catch (thrown) {
        world.note(
          `${this.#name} not published ${numbers}: ${toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED').code}`,
        )
      }
      // Only what has an id can be sent again.
      if (isOver() || messages.some(({ id }) => id === undefined)) return
      await world.sleep(world.random() * 20)
      messages = messages.map(message => ({ ...message, content: this.#content() }))
    }
  }

  #content(): Buffer {
    return bytesOf({ number: ++Publisher.numbers, version: 0 })
  }

  #make(): NewMessage {
    const { world, plan } = this.#parts
    const again = this.#ids.length > 0 && world.chance(0.1)
    const id = again
      ? world.pick(this.#ids)
      : world.chance(0.6)
        ? `${this.#name}-${++this.#count}`
        : undefined
    if (id !== undefined && !again) this.#ids.push(id)
    return {
      content: this.#content(),
      id,
      headers: { color: world.pick(COLORS) },
      ...(world.chance(plan.keyed)
        ? { key: `k${world.int(1, 3)}` }
        : world.chance(0.5) && { priority: world.int(0, 9) }),
      ...(world.chance(plan.delayed) && { delayMs: world.int(0, 200) }),
      ...(world.chance(plan.expiring) && { expiresInMs: world.int(20, 500) }),
    }
  }
}

/** Takes messages, and does with them whatever consumers do. */
export class Consumer {
  readonly #parts: Parts
  readonly #link: Link
  readonly #name: string
  readonly #subscription: string

  constructor(parts: Parts, name: string, subscription: string) {
    this.#parts = parts
    this.#name = name
    this.#subscription = subscription
    this.#link = new Link(parts)
  }

  async run(isOver: () => boolean): Promise<void> {
    const { world } = this.#parts
    const subscription = this.#subscription
    while (!isOver()) {
      try {
        const taken = await this.#link.call<DeliveredMessage[]>({
          op: 'take',
          subscription,
          max: world.int(1, 8),
          consumer: this.#name,
          // One that waits may keep a gate of one place shut for longer than a lease.
          waitMs: this.#parts.node.calm ? 0 : world.pick([0, 50, 300]),
        })
        if (taken.length === 0) await world.sleep(world.random() * 20)
        await this.#handle(taken)
      } catch (thrown) {
        const { code } = toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED')
        world.note(`${this.#name}: ${code}`)
        await world.sleep(5 + world.random() * 20)
      }
    }
  }

  async #handle(taken: readonly DeliveredMessage[]): Promise<void> {
    const { world, node } = this.#parts
    const done: Lease[] = []
    for (const { seq, lease, attempt } of taken) {
      const fate = node.calm ? 0 : world.random()
      world.note(`${this.#name} has ${seq} for attempt ${attempt}, fate ${fate.toFixed(3)}`)
      if (fate < 0.6) done.push({ seq, lease })
      else await this.#mishandle({ seq, lease }, fate)
    }
    if (world.chance(0.5)) await world.sleep(world.random() * 10)
    await this.#settle(done)
  }

  async #mishandle(lease: Lease, fate: number): Promise<void> {
    const { world } = this.#parts
    const subscription = this.#subscription
    const failure = { code: 'SIGNALBOX_SERVICE_FAILED', message: 'simulated' }
    if (fate < 0.75) {
      await this.#link.call({ op: 'fail', subscription, lease, failure })
    } else if (fate < 0.8) {
      await this.#link.call({ op: 'fail', subscription, lease, failure, dead: true })
    } else if (fate < 0.86) {
      await this.#link.call({ op: 'giveBack', subscription, leases: [lease] })
    } else if (fate < 0.92) {
      await this.#link.call({ op: 'extend', subscription, lease, leaseMs: world.int(1, 300) })
      await world.sleep(world.random() * 200)
      await this.#settle([lease])
    } else if (fate < 0.96) {
      // So long that the message may be another's by then.
      await world.sleep(world.random() * 400)
      await this.#settle([lease])
    }
    // Or nothing is heard of it any more.
  }

  async #settle(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return
    const subscription = this.#subscription
    const late = await this.#link.call<Lease[]>({ op: 'settle', subscription, leases: [...leases] })
    this.#parts.world.note(
      `${this.#name} settled ${leases.map(({ seq }) => seq).join(' ')}, late ${late.map(({ seq }) => seq).join(' ')}`,
    )
  }
}

/** Looks into the log and changes what is there. */
export class Operator {
  readonly #parts: Parts
  #versions = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async run(isOver: () => boolean): Promise<void> {
    const { world, node, plan } = this.#parts
    const acts = [this.#purge, this.#drop, this.#revive, this.#edit, this.#seek, this.#begin, this.#abandon]
    while (!isOver()) {
      await world.sleep(20 + world.random() * 200)
      const log = node.process?.log
      if (!log || !node.ready) continue
      const act = world.pick(acts)
      const name = world.pick(Object.keys(plan.subscriptions))
      world.note(`operator: ${act.name} ${name}`)
      // It waits for the disk of a process that may die: nobody tells it then.
      void act.call(this, log, name).catch(thrown => {
        world.note(`operator: ${toSignalboxError(thrown, 'SIGNALBOX_SERVICE_FAILED').code}`)
      })
    }
  }

  async #purge(log: MessageLog, name: string): Promise<void> {
    const { world, truth } = this.#parts
    truth.excuse(name)
    await log.purge(name, world.chance(0.3) ? ['dead'] : undefined)
    truth.excuse(name)
  }

  async #drop(log: MessageLog, name: string): Promise<void> {
    const { messages } = await log.browse({ subscription: name, limit: 3 })
    const seqs = messages.map(({ message }) => message.seq)
    this.#parts.truth.dropping(seqs)
    await log.drop(seqs)
  }

  async #revive(log: MessageLog, name: string): Promise<void> {
    const { messages } = await log.browse({ subscription: name, limit: 20, states: ['dead', 'settled'] })
    const seqs = messages.map(({ message }) => message.seq)
    await this.#parts.truth.reviving(name, seqs, () => log.revive(name, seqs))
  }

  async #edit(log: MessageLog, name: string): Promise<void> {
    const { messages } = await log.browse({ subscription: name, limit: 5 })
    if (messages.length === 0) return
    const { seq, content } = this.#parts.world.pick(messages).message
    const version = ++this.#versions
    await log.edit(seq, { content: bytesOf({ number: contentOf(content).number, version }) })
    this.#parts.truth.edited(seq, version)
  }

  async #seek(log: MessageLog, name: string): Promise<void> {
    const { world, truth } = this.#parts
    const to = world.pick([
      { at: 'beginning' } as const,
      { at: 'end' } as const,
      { at: 'seq', seq: world.int(0, 200) } as const,
    ])
    truth.excuse(name)
    await truth.reviving(name, undefined, () => log.seek(name, to))
    truth.excuse(name)
  }

  /** Ends a subscription, and begins it again. */
  async #begin(log: MessageLog, name: string): Promise<void> {
    const { world, truth, plan } = this.#parts
    const stays = truth.unsubscribing(name)
    await log.unsubscribe(name).catch(error => {
      stays()
      throw error
    })
    const start = world.pick([{ at: 'end' }, { at: 'beginning' }] as const)
    for (let began = false; !began; ) {
      truth.subscribing(name)
      began = await log.subscribe(name, plan.subscriptions[name], start).then(
        () => true,
        () => world.sleep(10).then(() => false),
      )
    }
    truth.subscribed(name)
  }

  async #abandon(log: MessageLog, name: string): Promise<void> {
    const failure = { code: 'SIGNALBOX_WORKER_LOST', message: 'simulated' }
    await log.abandon(name, `${name}-1`, failure)
  }
}
