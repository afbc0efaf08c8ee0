/** What protects the admin API from web pages that its user happens to visit. */
import type { IncomingMessage } from 'node:http'
import { SignalboxError } from '../../core/errors.ts'

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]']
const WILDCARD = new Set(['0.0.0.0', '::', '[::]', ''])

/** Sent with every answer. `/docs` has a Content-Security-Policy of its own. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

/** Checks of Host and Origin. */
export class BrowserGuard {
  readonly #names: ReadonlySet<string>

  /** `host`: where the server listens. `names`: what else it is called, without ports. */
  constructor(host: string, names: readonly string[]) {
    const own = WILDCARD.has(host) ? [] : [host.includes(':') && !host.startsWith('[') ? `[${host}]` : host]
    this.#names = new Set([...LOOPBACK, ...own, ...names].map(name => name.toLowerCase()))
  }

  /**
   * Throws SIGNALBOX_FORBIDDEN for a Host that is not ours (DNS rebinding: a foreign name that resolves to this
   * machine makes a foreign page same-origin), with status 421, and for a request that comes from a foreign page.
   */
  check(request: IncomingMessage): void {
    this.#checkOrigin(request, this.#host(request))
  }

  /**
   * Throws SIGNALBOX_FORBIDDEN for what a foreign page makes a browser send without an Origin, by the Fetch metadata
   * that browsers add. Not for open GET routes: a link to them may stand anywhere.
   */
  checkSite(request: IncomingMessage): void {
    const site = request.headers['sec-fetch-site']
    if (site === 'cross-site' || site === 'same-site') {
      throw new SignalboxError('SIGNALBOX_FORBIDDEN', `a page of another site sent the request (${site})`, {
        details: { fix: 'Use the API from a program, or from a page that this server sent.' },
      })
    }
  }

  #host(request: IncomingMessage): string {
    const hosts = request.headersDistinct.host ?? []
    const name = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/i.exec(hosts[0] ?? '')?.[1]?.toLowerCase()
    // An address, unlike a name, cannot be made to lead elsewhere: the one that was connected to is ours.
    const local = request.socket.localAddress?.replace(/^::ffff:/, '')
    const known = name !== undefined && (this.#names.has(name) || name === local || name === `[${local}]`)
    if (hosts.length === 1 && known) return hosts[0]!.toLowerCase()
    throw new SignalboxError('SIGNALBOX_FORBIDDEN', 'the Host header does not name this server', {
      status: 421,
      details: { fix: 'Use localhost or the address of the server, or add the name to its host names.' },
    })
  }

  #checkOrigin(request: IncomingMessage, host: string): void {
    const { origin } = request.headers
    if (origin === undefined) return
    if (origin.toLowerCase() === `http://${host}` || origin.toLowerCase() === `https://${host}`) return
    throw new SignalboxError('SIGNALBOX_FORBIDDEN', 'the Origin header names a foreign page', {
      details: { fix: 'Use the API from a program, or from a page that this server sent.' },
    })
  }
}
