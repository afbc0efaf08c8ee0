/** Routes as units of code, and the actor of a node that takes up what its routes have left to do. */
import type { ActorSpec, ActorSystem } from '../core/actor/index.ts'
import type { Timer } from '../core/clock.ts'
import { type SignalboxError, toSignalboxError } from '../core/errors.ts'
import type { CompiledRoute } from '../core/route/compile.ts'
import type { RoutePorts, TokenRate } from '../core/route/compiling.ts'
import { type LoadedRoute, loadRoute, loadRoutes, placed } from '../core/route/load.ts'
import { plainRoute } from '../core/route/plain.ts'
import { hostRoute } from '../core/route/runner.ts'
import { TokenBuckets } from '../core/route/tokens.ts'
import type { Logger } from '../core/telemetry/log.ts'
import { serviceActor } from './service-host.ts'
import type { UnitSource, UnitView } from './unit-registry.ts'

/** What is known of a route that runs. */
export interface RouteView extends UnitView {
  /** The route as data; functions are texts. */
  route: unknown
}

const SWEEP_MS = 1_000
/** After a sweep that failed. */
const PAUSE_MS = 15_000

/** The routes that a worker runs now. */
export class RunningRoutes {
  readonly #routes = new Set<CompiledRoute>()

  add(route: CompiledRoute): void {
    this.#routes.add(route)
  }

  remove(route: CompiledRoute): void {
    this.#routes.delete(route)
    route.close()
  }

  /** Begins with nothing more, and resolves when what was begun is done. */
  async drain(): Promise<void> {
    for (const route of this.#routes) route.close()
    await Promise.all(Array.from(this.#routes, route => route.idle()))
  }

  async sweep(): Promise<void> {
    for (const route of this.#routes) if (route.isStateful) await route.sweep()
  }
}

/** Where the actor of a node is that counts tokens and sweeps. */
export function routesAddress(node: string): string {
  return `system/routes/${node}`
}

export function routeUnits(
  system: ActorSystem,
  ports: RoutePorts,
  running: RunningRoutes,
): UnitSource<LoadedRoute> {
  return {
    kind: 'route',
    invalid: 'SIGNALBOX_ROUTE_INVALID',
    load: loadRoute,
    loadAll: async (folder, versionOf) => {
      const { routes, errors } = await loadRoutes(folder, versionOf)
      return { units: routes, errors }
    },
    async prepare(loaded) {
      const { route, runner } = await hostRoute(loaded.name, loaded.route, ports).catch(thrown => {
        throw placed(toSignalboxError(thrown, 'SIGNALBOX_ROUTE_INVALID'), loaded)
      })
      const spec = serviceActor(system, runner)
      const { description } = loaded.route.settings
      return {
        placement: {
          placement: 'everyWorker',
          spec: {
            ...spec,
            behaviour: () => ({
              ...spec.behaviour(),
              inspect: () => ({ ...runner.meter.inspect(), ...route.inspect() }),
            }),
          },
        },
        view: { ...(description && { description }), route: plainRoute(loaded.route) },
        begin: () => running.add(route),
        end: () => running.remove(route),
      }
    },
  }
}

/** What a throttle asks for. */
export interface TokenRequest {
  bucket: string
  rate: TokenRate
}

/** The one actor of a node that counts the tokens of throttles, and has what is due in its routes taken up. */
export function routesActor(system: ActorSystem, running: RunningRoutes, log: Logger): ActorSpec {
  const { clock } = system
  return {
    concurrency: 1_024,
    mailboxCapacity: 16_384,
    behaviour: () => {
      const buckets = new TokenBuckets(clock)
      let timer: Timer | undefined
      let isStopped = false
      const next = (ms: number) => {
        if (!isStopped) timer = clock.after(ms, () => void sweep())
      }
      const sweep = async () => {
        try {
          await running.sweep()
          next(SWEEP_MS)
        } catch (thrown) {
          const error: SignalboxError = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
          log.warn({ code: error.code, err: error }, 'what routes have left to do cannot be looked at')
          next(PAUSE_MS)
        }
      }
      return {
        started: () => next(SWEEP_MS),
        receive: payload => {
          const { bucket, rate } = payload as TokenRequest
          return buckets.take(bucket, rate)
        },
        stopped: () => {
          isStopped = true
          timer?.cancel()
        },
      }
    },
  }
}
