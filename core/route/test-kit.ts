/**
 * Tests of routes without a bus: the route runs as it does on the bus; what it calls is given by the test, and what it
 * keeps is in memory.
 *
 * ```ts
 * import { test } from 'node:test'
 * import { testRoute } from 'signalbox/test'
 * import intake from './intake.ts'
 *
 * test('large invoices are approved', async t => {
 *   const route = await testRoute(intake, { services: { 'invoices.approve': () => ({ approved: true }) } })
 *   const reply = await route.send({ id: 7, total: 20_000 })
 *   t.assert.deepEqual(reply.payload, { approved: true })
 *   t.assert.equal(route.kept[0]?.name, 'invoices')
 * })
 * ```
 */
import type { AskOptions } from '../actor/behaviour.ts'
import { ActorSystem } from '../actor/system.ts'
import { idSource, systemClock, TestClock } from '../clock.ts'
import { ServiceRunner } from '../service/runner.ts'
import type { ServiceClass } from '../service/service.ts'
import {
  capturing,
  classOf,
  contextOf,
  type FakeService,
  portsOf,
  start,
  type TestCall,
  type TestInvokeOptions,
  type TestLogLine,
  type TestMessageKept,
  type TestReply,
  type TestServiceOptions,
} from '../service/test-kit.ts'
import type { CheckedRoute } from './check.ts'
import type { CompiledRoute } from './compile.ts'
import type { RoutePorts } from './compiling.ts'
import { MemoryState } from './memory-state.ts'
import type { RouteDefinition } from './options.ts'
import { type RouteBuilder, StepBuilder } from './route.ts'
import { hostRoute, routeAddress } from './runner.ts'
import { projectSeams, type RouteSeams } from './seams.ts'
import type { RouteState } from './state.ts'
import { TokenBuckets } from './tokens.ts'

const SHUTDOWN_MS = 60_000

export interface TestRouteOptions extends TestServiceOptions {
  /** What the route may call by `route/NAME`. */
  routes?: Record<string, FakeService>
  /** Folder of the project, whose mappings the route uses. Default: the working directory. */
  root?: string
  /** Default: in memory. The same one for two routes is what a restart is. */
  state?: RouteState
  /** @internal */
  seams?: RouteSeams
}

export interface RouteUnderTest {
  /**
   * Sends a message and waits for the answer, and for what the route does by itself because of it. Rejects with the
   * SignalboxError that a caller on the bus would get.
   */
  send(payload?: unknown, options?: TestInvokeOptions): Promise<TestReply>
  /** With a {@link TestClock}: moves time on, and waits for what falls due. */
  advance(ms: number): Promise<void>
  /** Takes up what is due, as one worker of a node does every second. */
  sweep(): Promise<void>
  /** Calls made so far, in order; those of routes have the service `route/NAME`. */
  readonly calls: TestCall[]
  /** Messages published and put into queues so far, in order. */
  readonly kept: TestMessageKept[]
  readonly log: TestLogLine[]
  /** How often each step was begun and has failed. */
  readonly steps: CompiledRoute['counts']
  /** Ends it; what it keeps stays. */
  close(): Promise<void>
}

/** A route as it is written: a builder or data. */
export type RouteSource =
  | RouteDefinition
  | CheckedRoute
  | RouteBuilder
  | StepBuilder<never>
  | StepBuilder<unknown>

/** Makes a route ready to be tested. Rejects with SIGNALBOX_ROUTE_INVALID. */
export async function testRoute(
  source: RouteSource,
  options: TestRouteOptions = {},
): Promise<RouteUnderTest> {
  const definition = definitionOf(source)
  const given = 'settings' in definition ? definition.settings.name : definition.name
  const name = given ?? 'route-under-test'
  const log: TestLogLine[] = []
  const calls: TestCall[] = []
  const kept: TestMessageKept[] = []
  const clock = options.clock ?? systemClock
  const system = new ActorSystem({ clock, log: capturing(log, {}) })
  const routes = Object.entries(options.routes ?? {}).map(([key, one]) => [routeAddress(key), one] as const)
  const others: Record<string, FakeService | ServiceClass> = {
    ...options.services,
    ...Object.fromEntries(routes),
  }
  const service = portsOf(system, options, [...Object.keys(others), routeAddress(name)], { calls, kept })
  const buckets = new TokenBuckets(clock)
  const ports: RoutePorts = {
    service,
    clock,
    random: system.random,
    ids: idSource(),
    state: options.state ?? new MemoryState(),
    hasState: true,
    seams: options.seams ?? projectSeams(options.root ?? process.cwd()),
    tokens: (bucket, rate) => buckets.take(bucket, rate),
  }
  const { route, runner } = await hostRoute(name, definition, ports)
  start(system, runner)
  for (const [key, one] of Object.entries(others))
    start(system, new ServiceRunner(key, classOf(one), service))
  const idle = async () => {
    await route.idle()
    await system.whenIdle()
  }
  return {
    calls,
    kept,
    log,
    steps: route.counts,
    async send(payload, given = {}) {
      const { timeoutMs, signal, ...message } = given
      const ask: AskOptions = { ...contextOf({ ...options, ...message }), timeoutMs, signal }
      const answer = await system.request(routeAddress(name), payload, ask)
      // Time stands still in a test with a clock of its own: what waits for it is not waited for.
      if (!(clock instanceof TestClock)) await idle()
      else await settled()
      return { payload: answer.payload, status: answer.head?.status, headers: answer.head?.headers ?? {} }
    },
    async advance(ms) {
      if (clock instanceof TestClock) clock.advance(ms)
      await settled()
    },
    async sweep() {
      await route.sweep()
      await settled()
    },
    async close() {
      route.close()
      const ended = system.shutdown()
      // Fakes that never answer are given up; the time for that does not pass by itself.
      await settled()
      if (clock instanceof TestClock) clock.advance(SHUTDOWN_MS)
      await ended
    },
  }
}

/** Lets everything happen that needs no time to pass. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}

function definitionOf(source: RouteSource): RouteDefinition | CheckedRoute {
  if (source instanceof StepBuilder) return (source as RouteBuilder).definition()
  return source
}
