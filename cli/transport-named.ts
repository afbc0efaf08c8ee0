/** Transports by name. Apart from the project, because workers need it and not the parser of project files. */
import { SignalboxError } from '../core/errors.ts'
import { nearest } from '../core/schema.ts'
import type { Transport } from '../core/transport.ts'
import { transports } from '../transports/index.ts'

/** The transport of this name. Throws SIGNALBOX_TRANSPORT_UNKNOWN. */
export function transportNamed(name: string): Transport {
  const transport = findTransport(name)
  if (transport) return transport
  throw new SignalboxError('SIGNALBOX_TRANSPORT_UNKNOWN', unknownTransport(name))
}

/** The transport of this name, if there is one. */
export function findTransport(name: string): Transport | undefined {
  return transports.find(other => other.name === name)
}

/** Says that there is no such transport, and which ones there are. */
export function unknownTransport(name: string): string {
  const names = transports.map(other => other.name)
  const near = nearest(name, names)
  return `there is no transport '${name}'${near ? `; did you mean '${near}'?` : ''} (there are: ${names.join(', ')})`
}
