/** What a route costs beside a service written by hand that does the same, called within a worker. */
import { serviceActor } from '../actors/service-host.ts'
import { ActorSystem } from '../core/actor/index.ts'
import { idSource } from '../core/clock.ts'
import type { RoutePorts } from '../core/route/compiling.ts'
import { MemoryState } from '../core/route/memory-state.ts'
import { route, type StepBuilder } from '../core/route/route.ts'
import { hostRoute } from '../core/route/runner.ts'
import { projectSeams } from '../core/route/seams.ts'
import { TokenBuckets } from '../core/route/tokens.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { addressOf, ServiceRunner } from '../core/service/runner.ts'
import { type ServiceClass, service } from '../core/service/service.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { inFlight, race } from './measure.ts'
import type { BenchRow } from './row.ts'

const LANES = 64
const STEPS = 10
const ORDER = { id: 1_000, customer: 'C-17', total: 124.95, lines: [1, 2, 3] }
type Order = typeof ORDER

/** Ten steps that are done at once. */
function straight() {
  let steps = route<Order>('bench.straight') as StepBuilder<Order>
  for (let i = 0; i < STEPS / 2; i++) steps = steps.filter(order => order.total > 0).transform(order => order)
  return steps
}

const handwritten = service({
  handle: input => {
    let order = input as Order | undefined
    for (let i = 0; i < STEPS / 2; i++) {
      if (!(order!.total > 0)) return undefined
      order = keep(order!)
    }
    return order
  },
})

function keep(order: Order): Order {
  return order
}

/** A call to a service between two steps. */
const calling = route<Order>('bench.calling')
  .filter(order => order.total > 0)
  .call('orders.price')
  .transform(answer => answer)

const callingByHand = service({
  handle: async (input, context) => {
    if (!((input as Order).total > 0)) return undefined
    return context.invoke('orders.price', input)
  },
})

const price = service({ handle: input => ({ id: (input as Order).id, total: (input as Order).total }) })

/** Each of the lines on its own. */
const splitting = route<Order>('bench.splitting').split(
  part => part.transform(line => (line as number) * 2),
  {
    each: order => order.lines,
    result: 'list',
  },
)

const splittingByHand = service({ handle: input => (input as Order).lines.map(line => line * 2) })

export async function run(): Promise<BenchRow[]> {
  const system = new ActorSystem()
  const ports = servicePorts(system)
  start(system, ports, {
    'orders.price': price,
    straight: handwritten,
    calling: callingByHand,
    splitting: splittingByHand,
  })
  for (const builder of [straight(), calling, splitting]) await host(system, ports, builder)
  const rows: BenchRow[] = []
  const subject = (name: string) => (count: number) => inFlight(LANES, count, () => system.ask(name, ORDER))
  for (const [name, what] of Object.entries({
    straight: `${STEPS} steps that are done at once`,
    calling: 'a call of a service between two steps',
    splitting: 'a split into 3 parts',
  })) {
    const rates = await race({
      route: subject(`route/bench.${name}`),
      service: subject(`service/${name}`),
    })
    rows.push({
      name: `route, ${what}, ${LANES} in flight`,
      value: rates.route!,
      unit: 'messages/s',
      limit: rates.service!,
      ...(name === 'straight' && { goal: 'at least 0.5 of limit' }),
    })
    if (name === 'straight') {
      rows.push({
        name: 'route, cost of a step that is done at once',
        value: (1e9 / rates.route! - 1e9 / rates.service!) / STEPS,
        unit: 'ns',
        goal: 'at most 100 ns',
      })
    }
  }
  await system.shutdown()
  return rows
}

function start(system: ActorSystem, ports: ServicePorts, services: Record<string, ServiceClass>): void {
  for (const [name, type] of Object.entries(services)) {
    system.spawn(addressOf(name), serviceActor(system, new ServiceRunner(name, type, ports)))
  }
}

async function host(system: ActorSystem, service: ServicePorts, builder: object): Promise<void> {
  const definition = (builder as ReturnType<typeof route>).definition()
  const buckets = new TokenBuckets(system.clock)
  const ports: RoutePorts = {
    service,
    clock: system.clock,
    random: system.random,
    ids: idSource(),
    state: new MemoryState(),
    hasState: true,
    seams: projectSeams('.'),
    tokens: (bucket, rate) => buckets.take(bucket, rate),
  }
  const { runner } = await hostRoute(definition.name!, definition, ports)
  system.spawn(runner.name, serviceActor(system, runner))
}

function servicePorts(system: ActorSystem): ServicePorts {
  return {
    clock: system.clock,
    log: silentLogger,
    ask: (name, payload, options) => system.ask(addressOf(name), payload, options),
    tell: (name, payload, options) => system.tell(addressOf(name), payload, options),
    connection: () => {
      throw new Error('this benchmark has no connections')
    },
    keep: () => Promise.reject(new Error('this benchmark keeps nothing')),
    cpu: () => Promise.reject(new Error('this benchmark has no CPU work')),
  }
}
