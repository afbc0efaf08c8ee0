/** Sends a message to an address that is known only when it is there. */
import { SignalboxError } from '../../errors.ts'
import { type Exchange, headersToSend } from '../exchange.ts'

const ADDRESS = /^(service|route|queue|topic|connection)\/([A-Za-z0-9_.$:#-]{1,256})$/

/**
 * Calls a service or route, sends by a connection, or has a queue or topic keep the message. Resolves with the answer;
 * undefined where there is none. Rejects with SIGNALBOX_ADDRESS_INVALID, and the error of the receiver.
 */
export async function deliver(x: Exchange, address: string): Promise<unknown> {
  const [, kind, name] = ADDRESS.exec(address) ?? []
  const { context, payload } = x
  const headers = headersToSend(x)
  switch (kind) {
    case 'service':
      return context.invoke(name!, payload, { headers, signal: x.signal })
    case 'route':
      return context.invoke(address, payload, { headers, signal: x.signal })
    case 'queue':
      await context.enqueue(name!, payload, { headers })
      return undefined
    case 'topic':
      await context.publish(name!, payload, { headers })
      return undefined
    case 'connection':
      return (await context.connection(name!).send({ payload, headers, signal: x.signal })).payload
    default: {
      const message = `'${address.slice(0, 200)}' is not an address: service/, route/, queue/, topic/ or connection/ and a name`
      throw new SignalboxError('SIGNALBOX_ADDRESS_INVALID', message)
    }
  }
}
