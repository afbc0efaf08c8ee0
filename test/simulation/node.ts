/** A simulated process: a log on a simulated disk behind actors, which may die at any moment, and the way to it. */

import { opsActor } from '../../actors/messages/log-actor.ts'
import { logAddress, opsAddress } from '../../actors/messages/protocol.ts'
import { ActorSystem } from '../../core/actor/index.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Journal } from '../../core/store/journal.ts'
import { SimulatedDisk, SimulatedJournal } from '../../core/store/messages/journal-test-kit.ts'
import type { DeliveryState } from '../../core/store/messages/message.ts'
import { MessageLog } from '../../core/store/messages/message-log.ts'
import type { Plan } from './plan.ts'
import type { Truth } from './truth.ts'
import type { World } from './world.ts'

/** Makes something go wrong on purpose, to see that it is found. */
export interface Sabotage {
  journal?: (journal: SimulatedJournal, disk: SimulatedDisk) => Journal
  log?: (log: MessageLog) => MessageLog
}

const GATE = 'gate/simulated'
const QUEUE = opsAddress('queue', 'simulated')

export class SimulatedNode {
  readonly disk = new SimulatedDisk()
  readonly #world: World
  readonly #plan: Plan
  readonly #truth: Truth
  readonly #sabotage: Sabotage
  #process: Process | undefined
  /** While it is not chaotic, everything is written soon. */
  calm = false
  /** All subscriptions are there. */
  ready = false
  /** Nobody needs it any more. */
  done = false

  constructor(world: World, plan: Plan, truth: Truth, sabotage: Sabotage) {
    this.#world = world
    this.#plan = plan
    this.#truth = truth
    this.#sabotage = sabotage
  }

  get process(): Process | undefined {
    return this.#process?.log ? this.#process : undefined
  }

  /** Starts a process on what is on the disk. */
  async start(): Promise<void> {
    if (this.#process) return
    this.#truth.starting()
    const process = new Process(this.#world, this.#plan, this.disk)
    this.#process = process
    try {
      await process.open(this.#truth, this.#sabotage, () => (this.calm ? 1 : this.#plan.diskMs))
      for (const [name, settings] of Object.entries(this.#plan.subscriptions)) {
        if (!process.alive) return
        this.#truth.subscribing(name)
        await process.log!.subscribe(name, settings, { at: 'beginning' })
        this.#truth.subscribed(name)
      }
      this.ready = true
      this.#world.note('node started')
    } catch (thrown) {
      const { code } = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
      this.#world.note(`node not started: ${code}`)
      if (!process.alive) return
      if (code !== 'SIGNALBOX_STORE_UNAVAILABLE') this.#truth.violation(`does not open: ${String(thrown)}`)
      this.crash()
      this.#world.after(20, () => void this.start())
    }
  }

  crash(): void {
    if (!this.#process) return
    this.#world.note('node dies')
    this.#process.die()
    this.#process = undefined
    this.ready = false
    this.#truth.crashed()
  }
}

export class Process {
  readonly #world: World
  readonly #plan: Plan
  readonly #disk: SimulatedDisk
  readonly system: ActorSystem
  readonly journal: SimulatedJournal
  /** What the outside sees of the log: each operation is reported. */
  log: MessageLog | undefined
  raw: MessageLog | undefined
  alive = true
  readonly #pending = new Set<(error: SignalboxError) => void>()
  #writing = false
  #diskMs = () => 0

  constructor(world: World, plan: Plan, disk: SimulatedDisk) {
    this.#world = world
    this.#plan = plan
    this.#disk = disk
    const clock = world.clock(() => this.alive)
    this.system = new ActorSystem({
      clock,
      random: world.random,
      turnTime: () => world.time,
      supervision: { intensity: 1_000_000 },
    })
    this.journal = new SimulatedJournal(disk, () => this.#write(), plan.segmentBytes)
  }

  async open(truth: Truth, sabotage: Sabotage, diskMs: () => number): Promise<void> {
    this.#diskMs = diskMs
    const journal = sabotage.journal?.(this.journal, this.#disk) ?? this.journal
    const log = await MessageLog.open({
      journal,
      settings: this.#plan.settings,
      clock: this.system.clock,
      random: this.#world.random,
      cacheBytes: 200,
      onError: error => this.#world.note(`log: ${error.code}`),
    })
    if (!this.alive) return
    this.raw = sabotage.log?.(log) ?? log
    this.log = observed(this.raw, truth, () => this.alive)
    this.system.spawn(
      QUEUE,
      opsActor(this.log, this.system.clock, () => ({})),
    )
    const { capacity, concurrency, overflow } = this.#plan.gate
    this.system.spawn(GATE, {
      mailboxCapacity: capacity,
      concurrency,
      overflow,
      restart: 'permanent',
      behaviour: () => ({
        receive: async (payload, envelope, context) => {
          if (payload === 'fail') throw new Error('simulated failure of an actor')
          try {
            envelope.resolve(await context.ask(QUEUE, payload, { parent: envelope }))
          } catch (error) {
            envelope.reject(toSignalboxError(error, 'SIGNALBOX_SERVICE_FAILED'))
          }
        },
      }),
    })
  }

  /** Asks through the gate. Rejects when the process dies. */
  ask(request: unknown, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const end = (error: SignalboxError) => {
        this.#pending.delete(end)
        reject(error)
      }
      this.#pending.add(end)
      this.system.ask(GATE, request, { timeoutMs }).then(
        reply => {
          this.#pending.delete(end)
          if (this.alive) resolve(reply)
        },
        error => {
          if (this.alive) end(toSignalboxError(error, 'SIGNALBOX_SERVICE_FAILED'))
        },
      )
    })
  }

  die(): void {
    this.alive = false
    this.journal.crash(this.#world.random)
    const lost = new SignalboxError('SIGNALBOX_WORKER_LOST', `${logAddress('queue', 'simulated')} is gone`)
    for (const end of [...this.#pending]) end(lost)
  }

  /** What is known of every message of a subscription: what a restart must know as well. */
  static async dump(log: MessageLog, name: string, withSettled: boolean): Promise<string[]> {
    const lines: string[] = []
    for (let after: number | undefined = 0; after !== undefined; ) {
      const page = await log.browse({ subscription: name, after, limit: 1_000 })
      for (const { message, state, attempts } of page.messages) {
        const known = lasting(state)
        if (known === 'settled' && !withSettled) continue
        lines.push(`${message.seq} ${known} ${attempts} ${message.content.toString('latin1', 0, 12)}`)
      }
      after = page.next
    }
    return lines
  }

  #write(): void {
    if (this.#writing) return
    this.#writing = true
    this.#world.after(this.#world.random() * this.#diskMs(), () => {
      this.#writing = false
      if (!this.alive) return
      this.journal.step(this.#world.int(1, this.journal.waiting))
      if (this.journal.waiting > 0) this.#write()
    })
  }
}

function lasting(state: DeliveryState): string {
  return state === 'dead' || state === 'settled' ? state : 'owed'
}

/** A log that tells the checker of what it does. */
function observed(log: MessageLog, truth: Truth, isAlive: () => boolean): MessageLog {
  const calls: Partial<MessageLog> = {
    async publish(messages) {
      const attempts = truth.publishing(messages)
      const receipts = await log.publish(messages)
      if (isAlive()) truth.published(attempts, receipts)
      return receipts
    },
    async take(name, max, consumer, leaseMs) {
      const taken = await log.take(name, max, consumer, leaseMs)
      if (isAlive()) truth.taken(name, taken)
      return taken
    },
    async settle(name, leases) {
      truth.settling(name, leases)
      const late = await log.settle(name, leases)
      if (isAlive()) truth.settled(name, leases, late)
      return late
    },
    fail(name, lease, failure, options) {
      if (options?.dead) truth.givingUp(name, lease.seq)
      return log.fail(name, lease, failure, options)
    },
  }
  return new Proxy(log, {
    get(target, name) {
      if (Object.hasOwn(calls, name)) return calls[name as keyof MessageLog]
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
