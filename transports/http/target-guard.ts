/**
 * Keeps requests whose target comes from outside away from the inside of the network (SSRF). The check happens
 * where the socket is opened, on the very addresses it is opened to, so a name that resolves differently the
 * second time (DNS rebinding) gains nothing.
 */
import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { buildConnector } from 'undici'
import { SignalboxError } from '../../core/errors.ts'

type Address = ipaddr.IPv4 | ipaddr.IPv6

// Public by number, inside by use: Azure's host (metadata, DNS, health) and the deprecated IPv4-compatible block.
const ALSO_FORBIDDEN = ['168.63.129.16/32', '::/96'].map(block => ipaddr.parseCIDR(block))

/** Decides which hosts and addresses may be reached. */
export class TargetGuard {
  readonly #hosts = new Set<string>()
  readonly #suffixes: string[] = []
  readonly #blocks: [Address, number][] = []
  readonly #resolve: LookupFunction

  /** `allow`: hosts, `*.suffix`, addresses and CIDR blocks. `resolve` is dns.lookup unless a test hands in another. */
  constructor(allow: readonly string[], resolve: LookupFunction = systemLookup as LookupFunction) {
    this.#resolve = resolve
    for (const entry of allow) this.#allow(entry)
  }

  /** Throws SIGNALBOX_TARGET_FORBIDDEN unless the URL is http(s) and its host, if it is an address, may be reached. */
  checkUrl(url: URL): void {
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw forbidden(url.host || url.href.slice(0, 100), `the scheme ${url.protocol} is not http or https`)
    }
    if (url.username || url.password) throw forbidden(url.host, 'credentials in a URL are not accepted')
    this.checkHost(url.hostname)
  }

  /** Throws when a host is written as an address that may not be reached. Names are checked by {@link lookup}. */
  checkHost(hostname: string): void {
    const bare = hostname.replace(/^\[|\]$/g, '')
    if (ipaddr.isValid(bare) && !this.#allowsHost(bare)) this.#checkAddress(bare, bare)
  }

  /** A `lookup` for net.connect: gives out only addresses that may be reached, and fails if there are others. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    this.#resolve(hostname, { ...options, all: true }, (error, found) => {
      if (error) return callback(error, '')
      const addresses =
        typeof found === 'string'
          ? [{ address: found, family: ipaddr.parse(found).kind() === 'ipv6' ? 6 : 4 }]
          : found
      try {
        if (!this.#allowsHost(hostname))
          for (const { address } of addresses) this.#checkAddress(address, hostname)
      } catch (refusal) {
        return callback(refusal as Error, '')
      }
      if (options.all) return callback(null, addresses)
      const first = addresses[0]
      if (!first)
        return callback(Object.assign(new Error(`no address for ${hostname}`), { code: 'ENOTFOUND' }), '')
      return callback(null, first.address, first.family)
    })
  }

  /** Wraps a connector of undici; net.connect calls no lookup for a host that is an address already. */
  guard(connector: buildConnector.connector): buildConnector.connector {
    return (options, callback) => {
      try {
        this.checkHost(options.hostname)
      } catch (refusal) {
        process.nextTick(callback, refusal, null)
        return
      }
      connector(options, callback)
    }
  }

  #allow(entry: string): void {
    if (ipaddr.isValid(entry)) {
      const address = ipaddr.process(entry)
      this.#blocks.push([address, address.kind() === 'ipv4' ? 32 : 128])
    } else if (ipaddr.isValidCIDR(entry)) this.#blocks.push(ipaddr.parseCIDR(entry))
    else if (/^\*\.[a-z0-9.-]+$/i.test(entry)) this.#suffixes.push(entry.slice(1).toLowerCase())
    else if (/^[a-z0-9_.-]+$/i.test(entry)) this.#hosts.add(entry.toLowerCase())
    else {
      const rule = `'${entry}' is not a host, *.suffix, address or CIDR block`
      throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `targets.allow: ${rule}`, {
        details: { errors: [{ pointer: '/targets/allow', rule }] },
      })
    }
  }

  #allowsHost(hostname: string): boolean {
    const name = hostname.toLowerCase().replace(/\.$/, '')
    return this.#hosts.has(name) || this.#suffixes.some(suffix => name.endsWith(suffix))
  }

  #checkAddress(text: string, hostname: string): void {
    if (!ipaddr.isValid(text)) throw forbidden(hostname, `${text} is not an address`)
    // IPv4-mapped IPv6 counts as the IPv4 address it is.
    const address = ipaddr.process(text.replace(/%.*$/, ''))
    if (this.#blocks.some(block => inBlock(address, block))) return
    if (address.range() !== 'unicast') throw forbidden(hostname, `${text} is ${address.range()}, not public`)
    if (ALSO_FORBIDDEN.some(block => inBlock(address, block)))
      throw forbidden(hostname, `${text} is not public`)
  }
}

function inBlock(address: Address, block: [Address, number]): boolean {
  return address.kind() === block[0].kind() && address.match(block)
}

function forbidden(target: string, why: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_TARGET_FORBIDDEN', `target ${target}: ${why}`, { details: { target } })
}
