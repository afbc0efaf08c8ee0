/** Who may connect, and where its messages go. */
import type { IncomingMessage } from 'node:http'
import { parse as parseQuery } from 'node:querystring'
import createRouter, { type HTTPVersion, type Instance } from 'find-my-way'
import { SignalboxError } from '../../core/errors.ts'
import type { WebSocketChannelSettings } from './options.ts'
import type { Handshake } from './session.ts'

/** A handshake that is answered with an HTTP status. */
export class HandshakeRefused extends Error {
  readonly status: number

  constructor(status: number) {
    super(`handshake refused with ${status}`)
    this.status = status
  }
}

interface Route {
  path: string
  target: string | undefined
  timeoutMs: number | undefined
}

interface Found {
  params: Record<string, string | undefined>
  store: Route | null
}

/** Checks handshakes by the options of a channel. Throws SIGNALBOX_OPTIONS_INVALID for contradicting routes. */
export class Handshakes {
  readonly #options: WebSocketChannelSettings
  readonly #router: Instance<HTTPVersion.V1>

  constructor(options: WebSocketChannelSettings) {
    this.#options = options
    this.#router = createRouter({ maxParamLength: 4096, onBadUrl: () => undefined })
    const routes = options.routes.length > 0 ? options.routes : [{ path: '/*' }]
    for (const [index, route] of routes.entries()) this.#add(route, index)
  }

  /** Throws {@link HandshakeRefused}: 404 for the path, 403 for the origin, 400 for the subprotocol. */
  check(request: IncomingMessage): Handshake {
    const url = request.url!
    const [path, query = ''] = split(url)
    const found = this.#router.find('GET', path) as Found | null
    if (found === null) throw new HandshakeRefused(404)
    if (found.store === null) throw new HandshakeRefused(400)
    if (!this.#originAllowed(request.headers.origin, request.headers.host)) throw new HandshakeRefused(403)
    const offered = request.headers['sec-websocket-protocol']
    if (this.#options.subprotocols.length > 0) {
      const names = new Set((offered ?? '').split(',').map(name => name.trim()))
      if (this.chooseProtocol(names) === undefined) throw new HandshakeRefused(400)
    }
    const parsed = parseQuery(query, '&', '=', { maxKeys: 1000 })
    if (Object.hasOwn(parsed, '__proto__')) throw new HandshakeRefused(400)
    const { target, timeoutMs, path: route } = found.store
    const { remoteAddress } = request.socket
    const attributes = { path, route, params: found.params, query: parsed, remoteAddress }
    return { headers: strings(request.headers), attributes, target, timeoutMs }
  }

  /** The first of our subprotocols that the client offers. */
  chooseProtocol(offered: Set<string>): string | undefined {
    return this.#options.subprotocols.find(name => offered.has(name))
  }

  #add(declared: WebSocketChannelSettings['routes'][number], index: number): void {
    const { path, service, timeoutMs } = declared
    if (declared.target !== undefined && service !== undefined) {
      throw new SignalboxError(
        'SIGNALBOX_OPTIONS_INVALID',
        `routes[${index}] has both target and service; give one of them`,
      )
    }
    const target = declared.target ?? (service === undefined ? undefined : `service/${service}`)
    const route: Route = { path, target, timeoutMs }
    try {
      this.#router.on('GET', path, () => undefined, route)
    } catch (error) {
      throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `routes[${index}]: ${(error as Error).message}`)
    }
  }

  /** Browsers send Origin and nothing else protects their users here: WebSockets know no same-origin policy. */
  #originAllowed(origin: string | undefined, host: string | undefined): boolean {
    if (origin === undefined) return true
    const { origins } = this.#options
    if (origins.includes('*') || origins.includes(origin)) return true
    return host !== undefined && origin.replace(/^https?:\/\//, '') === host
  }
}

function split(url: string): [string, string?] {
  const mark = url.indexOf('?')
  return mark < 0 ? [url] : [url.slice(0, mark), url.slice(mark + 1)]
}

function strings(headers: IncomingMessage['headers']): Record<string, string> {
  const result: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) result[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return result
}
