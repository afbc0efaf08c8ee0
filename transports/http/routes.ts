/** The routes of a channel, compiled: which route a request belongs to, and what a path allows. */
import { parse as parseQueryString } from 'node:querystring'
import createRouter, { type HTTPMethod, type HTTPVersion, type Instance } from 'find-my-way'
import { SignalboxError } from '../../core/errors.ts'
import type { HttpChannelSettings, HttpRoute } from './channel-options.ts'
import { type CorsPolicy, compileCors } from './cors.ts'
import { http } from './node-http.ts'

export type Query = Record<string, string | string[] | undefined>

/** A route, ready to be used. */
export interface Route {
  path: string
  /** Address of the actor; undefined: the target of the channel. */
  target: string | undefined
  format: HttpRoute['format']
  /** Whether query and path parameters stand in for a missing body. */
  parametersAsPayload: boolean
  timeoutMs: number | undefined
  maxBodyBytes: number
  cors: CorsPolicy | undefined
  produces: readonly string[] | undefined
  /** Security definitions of which one must let a request in; undefined: those of the channel. */
  security: readonly string[] | undefined
  sse: boolean
  headers: [string, string][]
  query: [string, string][]
}

/** Where a request goes. `undefined` route: the path is known but the constraints of no route hold. */
export interface Match {
  route: Route | undefined
  params: Record<string, string | undefined>
  query: Query
}

interface Found {
  params: Record<string, string | undefined>
  store: Route[] | null
  searchParams: unknown
}

export const EMPTY: Readonly<Record<string, never>> = Object.freeze(
  Object.create(null) as Record<string, never>,
)

const SERVED = http.METHODS.filter(method => method !== 'CONNECT')
/** Longer parameters do not match: it bounds the work of patterns. */
const MAX_PARAMETER_LENGTH = 4096

/** Compiles the routes. Throws SIGNALBOX_OPTIONS_INVALID for routes that contradict each other. */
export class RouteTable {
  readonly #router: Instance<HTTPVersion.V1> | undefined
  readonly #methods = new Set<string>()
  /** The policy for answers that belong to no route. */
  readonly cors: CorsPolicy | undefined
  readonly #maxQueryParameters: number
  /** Serves every path when no route is configured. */
  readonly #catchAll: Route | undefined

  constructor(options: HttpChannelSettings) {
    this.cors = options.cors && compileCors(options.cors, 'cors')
    this.#maxQueryParameters = options.limits.maxQueryParameters
    if (options.routes.length === 0) {
      const all: HttpRoute = { path: '/*', method: 'GET', format: 'auto', payload: 'auto', sse: false }
      this.#catchAll = this.#compile(all, options, 0)
      for (const method of SERVED) this.#methods.add(method)
      return
    }
    this.#router = createRouter({
      maxParamLength: MAX_PARAMETER_LENGTH,
      // The query is read by us, with limits; a path that cannot be decoded has the store null.
      querystringParser: text => text,
      onBadUrl: () => undefined,
    })
    for (const [key, candidates] of this.#group(options)) this.#register(key, candidates)
    this.#router.compile()
  }

  /**
   * Finds the route of a request; undefined when there is none for this method and path. Throws
   * SIGNALBOX_FORMAT_INVALID for a malformed path or query.
   */
  find(method: string, url: string, headers: Record<string, string>): Match | undefined {
    const router = this.#router
    if (router === undefined) {
      if (method === 'OPTIONS') return undefined
      const mark = url.indexOf('?')
      const query = this.#query(mark < 0 ? '' : url.slice(mark + 1))
      return { route: this.#catchAll, params: EMPTY, query }
    }
    let found = router.find(method as HTTPMethod, url) as Found | null
    if (found === null && method === 'HEAD') found = router.find('GET', url) as Found | null
    if (found === null) return undefined
    if (found.store === null) throw badUrl('the path holds percent-encoding that cannot be decoded')
    const query = this.#query(found.searchParams as string)
    for (const name in found.params) {
      if (found.params[name]?.includes('\0'))
        throw badUrl(`the path parameter '${name}' holds a NUL character`)
    }
    return { route: choose(found.store, headers, query), params: found.params, query }
  }

  /** The methods that a path has routes for, and its CORS policy; empty: no such path. */
  allowed(url: string): { methods: string[]; cors: CorsPolicy | undefined } {
    const methods = new Set<string>()
    let cors: CorsPolicy | undefined
    for (const method of this.#methods) {
      const found = this.#router?.find(method as HTTPMethod, url) as Found | null | undefined
      const routes = this.#catchAll ? [this.#catchAll] : found?.store
      if (!routes) continue
      methods.add(method)
      if (method === 'GET') methods.add('HEAD')
      cors ??= routes.find(route => route.cors)?.cors
    }
    if (methods.size > 0) methods.add('OPTIONS')
    return { methods: [...methods].sort(), cors: cors ?? this.cors }
  }

  /** Routes of the same method and path, to be told apart by their constraints. */
  #group(options: HttpChannelSettings): Map<string, Route[]> {
    const groups = new Map<string, Route[]>()
    for (const [index, declared] of options.routes.entries()) {
      const route = this.#compile(declared, options, index)
      for (const method of new Set([declared.method].flat())) {
        if (!SERVED.includes(method))
          throw invalid(`routes[${index}].method '${method}' is not a method of HTTP`)
        const key = `${method} ${declared.path}`
        const candidates = groups.get(key) ?? []
        const shadow = candidates.find(other => sameConstraints(other, route))
        if (shadow) throw invalid(`routes[${index}] repeats ${key}; only one of the two can ever match`)
        groups.set(key, [...candidates, route])
        this.#methods.add(method)
      }
    }
    return groups
  }

  #register(key: string, candidates: Route[]): void {
    const space = key.indexOf(' ')
    // The more a route asks for, the earlier it is tried; one without constraints is the last.
    candidates.sort((a, b) => constraintCount(b) - constraintCount(a))
    try {
      this.#router!.on(key.slice(0, space) as HTTPMethod, key.slice(space + 1), () => undefined, candidates)
    } catch (error) {
      throw invalid(`route '${key}': ${(error as Error).message}`)
    }
  }

  #compile(declared: HttpRoute, options: HttpChannelSettings, index: number): Route {
    const given = (['target', 'service', 'route'] as const).filter(name => declared[name] !== undefined)
    if (given.length > 1) {
      throw invalid(`routes[${index}] has both ${given.join(' and ')}; give one of them`)
    }
    return {
      path: declared.path,
      target: targetOf(declared),
      format: declared.format,
      parametersAsPayload: declared.payload === 'auto',
      timeoutMs: declared.timeoutMs,
      maxBodyBytes: declared.maxBodyBytes ?? options.limits.maxBodyBytes,
      cors: declared.cors ? compileCors(declared.cors, `routes[${index}].cors`) : this.cors,
      produces: declared.produces,
      security: declared.security,
      sse: declared.sse,
      headers: Object.entries(declared.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
      query: Object.entries(declared.query ?? {}),
    }
  }

  #query(text: string): Query {
    if (text === '') return EMPTY
    const max = this.#maxQueryParameters
    const query = parseQueryString(text, '&', '=', { maxKeys: max + 1 })
    // querystring stops reading after maxKeys pairs, so the pairs are counted where that could have happened.
    if (text.length > max && text.split('&', max + 1).length > max) {
      throw new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `the query has more than ${max} parameters`, {
        status: 414,
      })
    }
    if (Object.hasOwn(query, '__proto__')) throw badUrl("the query parameter '__proto__' is not allowed")
    return query
  }
}

function targetOf({ target, service, route }: HttpRoute): string | undefined {
  if (service !== undefined) return `service/${service}`
  return route === undefined ? target : `route/${route}`
}

function choose(candidates: Route[], headers: Record<string, string>, query: Query): Route | undefined {
  for (const route of candidates) {
    if (constraintCount(route) === 0 || (holds(route.headers, headers) && holds(route.query, query)))
      return route
  }
  return undefined
}

function holds(constraints: [string, string][], values: Query): boolean {
  for (const [name, wanted] of constraints) {
    const value = Object.hasOwn(values, name) ? values[name] : undefined
    if (value === undefined) return false
    if (wanted !== '*' && value !== wanted && !(Array.isArray(value) && value.includes(wanted))) return false
  }
  return true
}

function constraintCount(route: Route): number {
  return route.headers.length + route.query.length
}

function sameConstraints(a: Route, b: Route): boolean {
  const text = (route: Route) => JSON.stringify([route.headers.toSorted(), route.query.toSorted()])
  return text(a) === text(b)
}

function badUrl(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_INVALID', message)
}

function invalid(message: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_OPTIONS_INVALID', message)
}
