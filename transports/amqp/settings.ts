/** What a schema cannot say about options. */
import { createSecureContext } from 'node:tls'
import { SignalboxError } from '../../core/errors.ts'
import type { AmqpChannelSettings } from './options.ts'
import type { ServerSettings } from './server-options.ts'

/** Throws SIGNALBOX_OPTIONS_INVALID for options that contradict each other. */
export function checkServer({ url, failoverUrls, tls, topology }: ServerSettings): void {
  for (const [i, one] of [url, ...failoverUrls].entries()) {
    const pointer = i === 0 ? '/url' : `/failoverUrls/${i - 1}`
    const parsed = URL.parse(one)
    if (parsed === null) throw invalid(pointer, 'is not a URL')
    if (tls !== undefined && parsed.protocol === 'amqp:') throw invalid(pointer, 'must be amqps: with tls')
    try {
      decodeURIComponent(parsed.pathname)
    } catch {
      throw invalid(pointer, 'has a virtual host that is not escaped')
    }
  }
  if (tls && (tls.cert === undefined) !== (tls.key === undefined)) {
    throw invalid('/tls', 'needs both cert and key, or neither')
  }
  for (const [i, { queue, exchange }] of topology.bindings.entries()) {
    if ((queue === undefined) === (exchange === undefined)) {
      throw invalid(`/topology/bindings/${i}`, 'needs either queue or exchange')
    }
  }
}

/** Like {@link checkServer}, with what is the channel's own. */
export function checkChannel(options: AmqpChannelSettings): void {
  checkServer(options)
  const { failed, retry, service, target } = options
  if (failed.to === 'publish' && failed.exchange === '' && failed.routingKey === '') {
    throw invalid('/failed', 'needs exchange or routingKey to publish to')
  }
  if (failed.to === 'reject' && retry.by === 'deadLetter') {
    const rule = 'cannot be reject when retry.by is deadLetter: the message would come back for ever'
    throw invalid('/failed/to', rule)
  }
  if (service !== undefined && target !== undefined) throw invalid('/service', 'must not stand beside target')
}

/** Throws SIGNALBOX_OPTIONS_INVALID when certificates or key cannot be used, before a socket needs them. */
export function checkCertificates(tls: {
  ca?: string
  cert?: string
  key?: string
  passphrase?: string
}): void {
  try {
    createSecureContext(tls)
  } catch (cause) {
    throw invalid('/tls', `cannot be used: ${(cause as Error).message}`)
  }
}

function invalid(pointer: string, rule: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `AMQP: ${pointer} ${rule}`, {
    details: { errors: [{ pointer, rule }] },
  })
}
