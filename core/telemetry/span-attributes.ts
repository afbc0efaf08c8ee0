/** What both tracers say of a message, after OpenTelemetry's semantic conventions. */
import type { Inbound } from '../transport.ts'

/** SpanKind and SpanStatusCode of OpenTelemetry's API, for those who do not load it. */
export const SERVER = 1
export const CONSUMER = 4
export const CLIENT = 2
export const PRODUCER = 3
export const INTERNAL = 0

/** What comes from outside may be long. */
export function text(value: unknown): string {
  return String(value).slice(0, 1_024)
}

/** As {@link text}; undefined stays what it is. */
export function optionalText(value: unknown): string | undefined {
  return value === undefined ? undefined : text(value)
}

export function isHttp(message: Inbound): boolean {
  return typeof message.attributes.method === 'string'
}

/** Where a message was received from, in words of messaging. */
export function destinationOf(message: Inbound, channel: string): string {
  const { queue, topic, destination } = message.attributes
  return text(queue ?? topic ?? destination ?? channel)
}

export function serverOf(endpoint: string): Record<string, string | number> {
  const url = URL.parse(endpoint)
  if (!url?.hostname) return {}
  return { 'server.address': url.hostname, ...(url.port !== '' && { 'server.port': Number(url.port) }) }
}

/** Of a call on a connection, what does not differ between two calls of the same operation. */
export function connectionAttributes(
  name: string,
  transport: string,
  operation: string,
  kind: 'client' | 'producer',
  endpoint: string,
): Record<string, string | number> {
  return {
    'signalbox.connection': name,
    'signalbox.transport': transport,
    'signalbox.operation': operation,
    ...serverOf(endpoint),
    ...(kind === 'producer' && {
      'messaging.system': transport,
      'messaging.operation.name': operation,
      'messaging.operation.type': 'send',
      'messaging.destination.name': name,
    }),
  }
}
