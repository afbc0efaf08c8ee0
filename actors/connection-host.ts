/** The actor of a connection: it keeps the connection open; services of its worker use it by name. */
import type { ActorSpec, ActorSystem } from '../core/actor/index.ts'
import { SignalboxError, toSignalboxError } from '../core/errors.ts'
import { type Caller, viewConnection } from '../core/telemetry/connection-view.ts'
import { meterOf } from '../core/telemetry/meters.ts'
import type { Connection, OutgoingMessage, Transport } from '../core/transport.ts'
import { Endpoint } from './endpoint.ts'

export interface ConnectionActor {
  spec: ActorSpec
  /** The connection as it is now, for this caller. Throws SIGNALBOX_NOT_CONNECTED while there is none. */
  current(caller: Caller): Connection
}

/** Makes the actor of a connection; `options` are validated and have their defaults. */
export function connectionActor(
  system: ActorSystem,
  transport: Transport,
  name: string,
  options: unknown,
): ConnectionActor {
  const side = transport.connection
  if (!side) {
    throw new SignalboxError('SIGNALBOX_TRANSPORT_UNKNOWN', `transport ${transport.name} has no connections`)
  }
  const endpoint = new Endpoint({
    name: `connection/${transport.name}/${name}`,
    create: context => side.create(options as never, context),
    log: system.log.child({ connection: name }),
    clock: system.clock,
    random: system.random,
  })
  const about = { meter: meterOf('connection', name, transport.name), transport }
  const current = (caller: Caller): Connection => {
    if (endpoint.instance && endpoint.state === 'open')
      return viewConnection(endpoint.instance, about, caller)
    const why = endpoint.lastError ? `: ${endpoint.lastError.message}` : ''
    throw new SignalboxError('SIGNALBOX_NOT_CONNECTED', `connection ${name} is not connected${why}`)
  }
  const spec: ActorSpec = {
    concurrency: 256,
    behaviour: () => ({
      started: () => {
        void endpoint.open().then(error => {
          if (error && !error.retryable) {
            system.log.error({ connection: name, code: error.code, err: error }, 'connection cannot open')
          }
        })
      },
      // What the other side answers is no failure of this actor: a restart would cut off everybody else.
      receive: async (message, envelope) => {
        try {
          const { cid, trace } = envelope.context
          const connection = current({ cid, trace })
          envelope.resolve(
            await connection.send({ ...(message as OutgoingMessage), signal: envelope.signal }),
          )
        } catch (thrown) {
          envelope.reject(toSignalboxError(thrown, 'SIGNALBOX_ACTOR_FAILED'))
        }
      },
      stopped: () => endpoint.close(),
      inspect: () => ({
        endpoint: endpoint.instance?.endpoint(),
        connection: endpoint.state,
        ...about.meter.inspect(),
        ...(endpoint.lastError && { lastError: `${endpoint.lastError.code}: ${endpoint.lastError.message}` }),
      }),
    }),
  }
  return { spec, current }
}
