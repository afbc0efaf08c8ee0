/** Transports by name. Apart from the project, because workers need it and not the parser of project files. */
import { SignalboxError } from '../core/errors.ts'
import { nearest } from '../core/schema.ts'
import type { Transport } from '../core/transport.ts'
import { transports } from '../transports/index.ts'

/** The transport of this name. Throws SIGNALBOX_TRANSPORT_UNKNOWN with the names that there are. */
export function transportNamed(name: string): Transport {
  const transport = transports.find(other => other.name === name)
  if (transport) return transport
  const names = transports.map(other => other.name)
  const near = nearest(name, names)
  const hint = near ? `; did you mean '${near}'?` : ''
  const message = `there is no transport '${name}'${hint} (there are: ${names.join(', ')})`
  throw new SignalboxError('SIGNALBOX_TRANSPORT_UNKNOWN', message)
}
