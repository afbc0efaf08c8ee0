/** Routes over a real store, as a keeper has it, that can end at any moment and begin again. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { remoteState, STATE, stateActor } from '../../actors/messages/state.ts'
import { ActorSystem } from '../../core/actor/index.ts'
import { TestClock } from '../../core/clock.ts'
import type { RouteState } from '../../core/route/state.ts'
import {
  type RouteSource,
  type RouteUnderTest,
  type TestRouteOptions,
  testRoute,
} from '../../core/route/test-kit.ts'
import { openLmdbStore } from '../../core/store/lmdb/lmdb-store.ts'

const DEADLINE_MS = 20_000

/** Waits until it holds; the store has its own threads, so real time passes. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + DEADLINE_MS
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`never came: ${what}`)
    await wait(2)
  }
}

/** A node's store, with one worker after the other. */
export class Keeper {
  readonly folder: string
  clock = new TestClock(1_000_000)
  state!: RouteState
  readonly #routes: RouteUnderTest[] = []
  #end: () => Promise<void> = async () => {}

  private constructor(folder: string) {
    this.folder = folder
  }

  static async start(t: TestContext): Promise<Keeper> {
    const keeper = new Keeper(await mkdtemp(join(tmpdir(), 'signalbox-routes-')))
    await keeper.#open()
    t.after(async () => {
      await keeper.#close()
      await rm(keeper.folder, { recursive: true })
    })
    return keeper
  }

  /** A worker that runs the route, in the time of now. */
  async route(
    source: RouteSource,
    options: Omit<TestRouteOptions, 'state' | 'clock'> = {},
  ): Promise<RouteUnderTest> {
    const route = await testRoute(source, { ...options, state: this.state, clock: this.clock })
    this.#routes.push(route)
    return route
  }

  /** Everything ends as it is and begins again, `ms` later; the clock of before stands still from now on. */
  async restart(ms: number): Promise<void> {
    const now = this.clock.now()
    await this.#close()
    this.clock = new TestClock(now + ms)
    await this.#open()
  }

  async count(collection: string): Promise<number> {
    return (await this.state.list(collection)).length
  }

  async #open(): Promise<void> {
    const store = await openLmdbStore({ folder: this.folder })
    const system = new ActorSystem()
    system.spawn(STATE, stateActor(store))
    this.state = remoteState(system)
    this.#end = async () => {
      await system.shutdown()
      await store.close()
    }
  }

  async #close(): Promise<void> {
    // What is under way then can keep nothing any more, as after a crash.
    await this.#end()
    await Promise.all(this.#routes.splice(0).map(route => route.close()))
  }
}
