/** One try of one request: sockets, redirects, and where credentials may go. */
import type { LookupFunction } from 'node:net'
import type { Readable } from 'node:stream'
import { rootCertificates } from 'node:tls'
import type { Agent, buildConnector, Dispatcher } from 'undici'
import { SignalboxError } from '../../core/errors.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { toFailure } from './failure.ts'
import { TargetGuard } from './target-guard.ts'

/** A request in its final form. */
export interface Wire {
  method: string
  url: URL
  /** Where it goes was decided by the operator (below the base URL), not by a message or a redirect. */
  trusted: boolean
  headers: Record<string, string>
  /** Credentials and configured headers: they go to trusted targets only. */
  private: Record<string, string>
  body: string | Uint8Array | Readable | null
}

/** An answer whose body was not read yet, and the URL that gave it. */
export interface Answer {
  response: Dispatcher.ResponseData
  url: URL
  method: string
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])
/** Never sent to another origin than the one they were meant for. */
const BOUND_TO_ORIGIN = ['authorization', 'cookie', 'cookie2', 'proxy-authorization']
const ABOUT_THE_BODY = ['content-type', 'content-encoding', 'content-language', 'content-location']
const MAX_HEADER_BYTES = 64 * 1024
const MAX_GUARDED_ORIGINS = 256
/** Of a redirect's body, before the socket is given up. */
const MAX_DUMP_BYTES = 64 * 1024

type Undici = Pick<typeof import('undici'), 'Agent' | 'buildConnector'>

/** The sockets of one connection: free ones to the base URL, guarded ones to everything else. */
export class Exchange {
  readonly #options: ConnectionOptions
  readonly #origin: string
  readonly #guard: TargetGuard
  readonly #trusted: Agent
  readonly #guarded: Agent

  /** Rejects with SIGNALBOX_OPTIONS_INVALID when a certificate, a key or targets.allow cannot be used. */
  static async open(options: ConnectionOptions, resolve?: LookupFunction): Promise<Exchange> {
    // Loaded by the first connection: it takes longer to load than all else that a worker needs of HTTP.
    return new Exchange(await import('undici'), options, resolve)
  }

  private constructor(undici: Undici, options: ConnectionOptions, resolve: LookupFunction | undefined) {
    const { buildConnector } = undici
    this.#options = options
    this.#origin = new URL(options.url).origin
    this.#guard = new TargetGuard(options.targets.allow, resolve)
    const { connectMs: timeout } = options.timeouts
    this.#trusted = this.#agent(undici, buildConnector({ ...options.tls, timeout, allowH2: false }))
    // No client certificate and no fixed server name for strangers; the usual authorities beside the own one.
    const { ca, rejectUnauthorized } = options.tls
    const tls = { rejectUnauthorized, ...(ca !== undefined && { ca: [...rootCertificates, ca] }) }
    const connector = buildConnector({ ...tls, timeout, allowH2: false, lookup: this.#guard.lookup })
    this.#guarded = this.#agent(undici, this.#guard.guard(connector), MAX_GUARDED_ORIGINS)
  }

  /** Sends and follows redirects. Rejects with a typed error. The body of the answer is not read yet. */
  async run(wire: Wire, signal: AbortSignal): Promise<Answer> {
    let hop = wire
    for (let redirects = 0; ; redirects++) {
      const response = await this.#send(hop, signal)
      const next = this.#redirect(hop, response)
      if (!next) return { response, url: hop.url, method: hop.method }
      await response.body.dump({ limit: MAX_DUMP_BYTES, signal })
      if (redirects >= this.#options.redirects.max) {
        throw new SignalboxError(
          'SIGNALBOX_HTTP_STATUS',
          `${wire.url.origin}: more than ${redirects} redirects`,
          {
            details: { status: response.statusCode, redirects },
          },
        )
      }
      hop = next
    }
  }

  /** A form for the token endpoint, which the operator configured: sent like a trusted request, no redirects. */
  async postForm(url: string, form: URLSearchParams, headers: Record<string, string>, signal: AbortSignal) {
    const wire: Wire = {
      method: 'POST',
      url: new URL(url),
      trusted: true,
      headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      private: {},
      body: form.toString(),
    }
    return await this.#send(wire, signal)
  }

  /** Breaks what is under way and closes all sockets. */
  async destroy(reason: Error): Promise<void> {
    await Promise.all([this.#trusted.destroy(reason), this.#guarded.destroy(reason)])
  }

  async #send(wire: Wire, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { url, method, body } = wire
    try {
      signal.throwIfAborted()
      if (!wire.trusted) this.#guard.checkUrl(url)
      const agent = wire.trusted ? this.#trusted : this.#guarded
      const headers = wire.trusted ? { ...wire.private, ...wire.headers } : wire.headers
      const path = url.pathname + url.search
      return await agent.request({
        origin: url.origin,
        path,
        method: method as Dispatcher.HttpMethod,
        headers,
        body,
        signal,
      })
    } catch (thrown) {
      throw toFailure(thrown, `${method} ${url.origin}${url.pathname}`)
    }
  }

  /** The request that follows a redirect (RFC 9110, section 15.4), or undefined when the answer is the end. */
  #redirect(wire: Wire, response: Dispatcher.ResponseData): Wire | undefined {
    const { statusCode, headers } = response
    const location = [headers.location].flat()[0]
    if (!REDIRECTS.has(statusCode) || location === undefined || this.#options.redirects.max === 0)
      return undefined
    const url = URL.parse(location, wire.url.href)
    if (!url) return undefined
    url.hash = ''
    const becomesGet =
      (statusCode === 303 && wire.method !== 'HEAD') ||
      ((statusCode === 301 || statusCode === 302) && wire.method === 'POST')
    const streamed = wire.body !== null && typeof wire.body !== 'string' && !(wire.body instanceof Uint8Array)
    if (streamed && !becomesGet) return undefined // the body is gone
    const drop = [
      ...(url.origin === wire.url.origin ? [] : BOUND_TO_ORIGIN),
      ...(becomesGet ? ABOUT_THE_BODY : []),
    ]
    return {
      method: becomesGet ? 'GET' : wire.method,
      url,
      // Only the base URL's own origin is trusted, and a chain that left it once is not trusted again.
      trusted: wire.trusted && url.origin === this.#origin,
      headers: Object.fromEntries(Object.entries(wire.headers).filter(([name]) => !drop.includes(name))),
      private: wire.private,
      body: becomesGet ? null : wire.body,
    }
  }

  #agent({ Agent }: Undici, connect: buildConnector.connector, maxOrigins?: number): Agent {
    const { pool, timeouts } = this.#options
    return new Agent({
      connect,
      connections: pool.connections,
      pipelining: pool.pipelining,
      keepAliveTimeout: pool.keepAliveMs,
      keepAliveMaxTimeout: pool.keepAliveMs,
      headersTimeout: timeouts.headersMs,
      bodyTimeout: timeouts.bodyMs,
      maxHeaderSize: MAX_HEADER_BYTES,
      allowH2: false,
      ...(maxOrigins !== undefined && { maxOrigins }),
    })
  }
}
