/** Other systems that do some of what the bus does, set up to be as fast as they can be. */
import { type ActorRef, createSystem } from 'comedy'
import { ServiceBroker, type ServiceSchema } from 'moleculer'

/** Makes comedy actors in this thread; `close` ends them all. */
export async function comedy(): Promise<{
  actor(behaviour: object): Promise<ActorRef>
  close(): Promise<void>
}> {
  const system = createSystem({ test: true })
  const root = await system.rootActor()
  return {
    actor: behaviour => root.createChild(behaviour, { mode: 'in-memory' }),
    close: () => system.destroy(),
  }
}

/** A Moleculer broker without log and metrics, with one service. */
export async function moleculer(service: ServiceSchema, options: object = {}): Promise<ServiceBroker> {
  const broker = new ServiceBroker({
    logger: false,
    metrics: false,
    tracing: false,
    skipProcessEventRegistration: true,
    ...options,
  })
  broker.createService(service)
  await broker.start()
  return broker
}
