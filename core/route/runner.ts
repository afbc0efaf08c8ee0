/** A route as the bus runs it: like a service, at `route/NAME`. */
import type { TSchema } from '../schema.ts'
import { ServiceRunner } from '../service/runner.ts'
import { contextBehind, Service, type ServiceClass } from '../service/service.ts'
import type { CheckedRoute } from './check.ts'
import { CompiledRoute } from './compile.ts'
import type { RoutePorts } from './compiling.ts'
import type { RouteDefinition } from './options.ts'

/** Where a route is reached. */
export function routeAddress(name: string): string {
  return `route/${name}`
}

export interface HostedRoute {
  route: CompiledRoute
  /** Runs it for each message; its name is the address of the route. */
  runner: ServiceRunner
}

/** Compiles a route and what runs it. Rejects with SIGNALBOX_ROUTE_INVALID. */
export async function hostRoute(
  name: string,
  definition: RouteDefinition | CheckedRoute,
  ports: RoutePorts,
): Promise<HostedRoute> {
  const route = await CompiledRoute.compile(name, definition, ports)
  return { route, runner: new ServiceRunner(routeAddress(name), serviceOf(route), ports.service) }
}

function serviceOf(route: CompiledRoute): ServiceClass {
  const { input, output, concurrency, timeoutMs, mailboxCapacity, description } = route.checked.settings
  class RouteService extends Service {
    handle(payload: unknown) {
      return route.handle(payload, contextBehind(this))
    }
  }
  return Object.assign(RouteService, {
    ...(input && { input: input as TSchema }),
    ...(output && { output: output as TSchema }),
    ...(concurrency !== undefined && { concurrency }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(mailboxCapacity !== undefined && { mailboxCapacity }),
    ...(description !== undefined && { description }),
  })
}
