/** Cross-origin resource sharing (Fetch standard, https://fetch.spec.whatwg.org/#http-cors-protocol). */
import type { IncomingHttpHeaders } from 'node:http'
import { SignalboxError } from '../../core/errors.ts'
import type { HttpCors } from './channel-options.ts'

/** A compiled policy. */
export interface CorsPolicy {
  allows(origin: string): boolean
  anyOrigin: boolean
  options: HttpCors
}

/** Compiles a policy. Throws SIGNALBOX_OPTIONS_INVALID when it would let any site use a visitor's credentials. */
export function compileCors(options: HttpCors, where: string): CorsPolicy {
  const anyOrigin = options.origins.includes('*')
  if (anyOrigin && options.credentials) {
    throw new SignalboxError(
      'SIGNALBOX_OPTIONS_INVALID',
      `${where}: credentials cannot go with origin '*'; list the origins`,
    )
  }
  const exact = new Set(options.origins.filter(origin => !origin.includes('*')))
  const patterns = options.origins.filter(origin => origin !== '*' && origin.includes('*')).map(wildcard)
  return {
    anyOrigin,
    options,
    allows: origin => anyOrigin || exact.has(origin) || patterns.some(pattern => pattern.test(origin)),
  }
}

/** Adds what a script of another origin needs to read the answer. */
export function addCorsHeaders(list: string[], policy: CorsPolicy, origin: string | undefined): void {
  if (!policy.anyOrigin) list.push('vary', 'origin')
  if (origin === undefined || !policy.allows(origin)) return
  list.push('access-control-allow-origin', policy.anyOrigin ? '*' : origin)
  if (policy.options.credentials) list.push('access-control-allow-credentials', 'true')
  if (policy.options.exposeHeaders.length > 0) {
    list.push('access-control-expose-headers', policy.options.exposeHeaders.join(', '))
  }
}

/** The headers that answer an OPTIONS request; a preflight of an origin that is not allowed gets no permission. */
export function optionsHeaders(
  methods: string[],
  policy: CorsPolicy | undefined,
  request: IncomingHttpHeaders,
): string[] {
  const list = ['allow', methods.join(', ')]
  const asked = request['access-control-request-method']
  if (!policy || asked === undefined) return list
  addCorsHeaders(list, policy, request.origin)
  if (request.origin === undefined || !policy.allows(request.origin)) return list
  const wanted = policy.options.headers.includes('*')
    ? safeNames(request['access-control-request-headers'])
    : policy.options.headers.join(', ')
  list.push('access-control-allow-methods', (policy.options.methods ?? methods).join(', '))
  if (wanted) list.push('access-control-allow-headers', wanted)
  list.push('access-control-max-age', String(policy.options.maxAgeSeconds))
  return list
}

/** The header names a browser asks for, echoed only if they are nothing but names. */
function safeNames(value: string | undefined): string {
  return value !== undefined && /^[A-Za-z0-9!#$%&'*+\-.^_`|~, ]*$/.test(value) ? value : ''
}

/** 'https://*.example' matches any depth of subdomains, never the bare domain or another port. */
function wildcard(origin: string): RegExp {
  const parts = origin.split('*').map(part => part.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&'))
  return new RegExp(`^${parts.join('[A-Za-z0-9-]+(?:\\.[A-Za-z0-9-]+)*')}$`)
}
