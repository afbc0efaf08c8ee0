/** Schedules from a seed: crashes, a disk that fails, a wall clock that is set. No time runs twice, and none is left out without a reason. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { StateStore } from '../../actors/messages/state.ts'
import { Schedule } from '../../actors/schedules/schedule.ts'
import { SignalboxError } from '../../core/errors.ts'
import { World } from './world.ts'

const SEEDS = Math.ceil(Number(process.env.SIGNALBOX_SEEDS ?? 1_000) / 2)
const ONLY = process.env.SIGNALBOX_SEED
const ACTIVE_MS = 20_000

/** A store on a disk of its own: what was not confirmed when a process dies may be there or not. */
class SimulatedState implements StateStore {
  readonly values = new Map<string, unknown>()
  fails = false
  readonly #world: World
  #pending: (() => void)[] = []

  constructor(world: World) {
    this.#world = world
  }

  async get(collection: string, key: string) {
    const value = this.values.get(`${collection}/${key}`)
    return value === undefined ? undefined : (record(key, value) as never)
  }

  async list(collection: string, options?: { prefix?: string }) {
    const prefix = `${collection}/${options?.prefix ?? ''}`
    const keys = [...this.values.keys()].filter(key => key.startsWith(prefix)).sort()
    return keys.map(key => record(key.slice(collection.length + 1), this.values.get(key))) as never
  }

  async put(collection: string, key: string, value: unknown) {
    await this.#write(() => this.values.set(`${collection}/${key}`, structuredClone(value)))
    return record(key, value) as never
  }

  async delete(collection: string, key: string) {
    await this.#write(() => this.values.delete(`${collection}/${key}`))
    return true
  }

  async transact(changes: Parameters<StateStore['transact']>[0]) {
    await this.#write(() => {
      for (const change of changes) {
        if (change.type === 'append') throw new Error('a schedule keeps no log')
        const key = `${change.collection}/${change.key}`
        if (change.type === 'put') this.values.set(key, structuredClone(change.value))
        else this.values.delete(key)
      }
    })
    return []
  }

  /** The store as one process sees it: what it asks when it is dead is never answered. */
  process(own: { is: boolean }): StateStore {
    return new Proxy(this, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target) as (...parameters: unknown[]) => unknown
        return (...parameters: unknown[]) =>
          own.is ? value.apply(target, parameters) : new Promise(() => {})
      },
    })
  }

  crash(): void {
    const survivors = this.#world.int(0, this.#pending.length)
    for (const write of this.#pending.splice(0).slice(0, survivors)) write()
  }

  #write(write: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pending.push(write)
      this.#world.after(this.#world.random() * 20, () => {
        const at = this.#pending.indexOf(write)
        if (at === -1) return
        this.#pending.splice(at, 1)
        if (this.fails) return reject(new SignalboxError('SIGNALBOX_STORE_UNAVAILABLE', 'simulated'))
        write()
        resolve()
      })
    })
  }
}

function record(key: string, value: unknown) {
  return { key, value: structuredClone(value), revision: 1, changedAt: 0 }
}

async function simulate(seed: number): Promise<string[]> {
  const world = new World(seed)
  const violations: string[] = []
  const state = new SimulatedState(world)
  const chaos = { crash: world.chance(0.5), disk: world.chance(0.5), clock: world.chance(0.5) }
  const everyMs = world.pick([200, 1_000, 3_000])
  const catchUp = world.pick(['none', 'once', 'all'] as const)
  const overlap = world.pick(['skip', 'queue', 'allow'] as const)
  const options = { service: 's', everyMs, catchUp, overlap, history: 1_000 }
  const due = new Map<number, number>()
  const numbers = new Set<number>()
  const startedAt = world.wall
  let alive = { is: true }
  const open = async () => {
    const own = { is: true }
    alive = own
    const schedule = new Schedule(
      { name: 'job', type: 'interval', options },
      {
        state: state.process(own),
        clock: world.clock(() => own.is),
        random: world.random,
        onError: () => {},
        run: (_config, { number, dueAt }) => {
          if (numbers.has(number)) violations.push(`run ${number} began twice`)
          numbers.add(number)
          due.set(dueAt!, (due.get(dueAt!) ?? 0) + 1)
          const ended = world.sleep(world.random() * 2 * everyMs)
          return new Promise<void>(resolve => void ended.then(() => own.is && resolve()))
        },
      },
    )
    await schedule.start().catch(() => {
      if (own.is) world.after(100, () => void open())
    })
  }
  world.after(0, () => void open())
  const end = world.time + ACTIVE_MS
  const repeat = (wanted: boolean, ms: number, act: () => void) => {
    if (!wanted) return
    const again = () =>
      world.after(world.random() * ms, () => {
        if (world.time >= end) return
        act()
        again()
      })
    again()
  }
  repeat(chaos.crash, 6_000, () => {
    alive.is = false
    state.crash()
    void open()
  })
  repeat(chaos.disk, 4_000, () => {
    state.fails = true
    world.after(world.random() * 1_000, () => {
      state.fails = false
    })
  })
  repeat(chaos.clock, 5_000, () => world.jump(world.pick([3_600_000, -3_600_000, 5_000, -5_000])))
  await world.run(() => world.time >= end + 4 * everyMs, 2 * ACTIVE_MS)
  for (const [at, times] of due) if (times > 1) violations.push(`${at - startedAt} ran ${times} times`)
  if (catchUp === 'all' && overlap === 'allow' && !chaos.crash && !chaos.clock) {
    const first = Math.min(...due.keys())
    for (let at = first; at < startedAt + ACTIVE_MS; at += everyMs) {
      if (!due.has(at)) violations.push(`${at - startedAt} was left out`)
    }
  }
  if (!chaos.clock && due.size === 0) violations.push('nothing ran')
  return violations
}

it(`schedules of ${SEEDS} seeds run no time twice and leave none out`, async () => {
  const seeds = ONLY === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(ONLY)]
  const failures: string[] = []
  for (const seed of seeds) {
    const violations = await simulate(seed)
    if (violations.length > 0) {
      failures.push(
        `SIGNALBOX_SEED=${seed} node --test test/simulation/schedules.test.ts\n  ${violations.slice(0, 3).join('\n  ')}`,
      )
    }
    if (failures.length >= 10) break
  }
  assert.deepEqual(failures, [], failures.join('\n'))
})
