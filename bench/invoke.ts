/** A service that calls another one in its worker, input and output checked against schemas, beside Moleculer. */
import { serviceActor } from '../actors/service-host.ts'
import { ActorSystem } from '../core/actor/index.ts'
import { compileSchema, Type } from '../core/schema.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { type ServiceClass, type ServiceContext, service } from '../core/service/service.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { inFlight, race } from './measure.ts'
import { moleculer } from './peers.ts'
import type { BenchRow } from './row.ts'

const LANES = 64

const Input = Type.Object({
  id: Type.Integer(),
  customer: Type.String({ minLength: 1 }),
  lines: Type.Array(Type.Object({ sku: Type.String(), quantity: Type.Integer(), price: Type.Number() })),
})
const Output = Type.Object({ id: Type.Integer(), total: Type.Number() })
const ORDER = {
  id: 1_000,
  customer: 'C-17',
  lines: [
    { sku: 'A-1', quantity: 2, price: 12.5 },
    { sku: 'B-17', quantity: 1, price: 99.95 },
  ],
}
type Order = typeof ORDER

const price = service({ input: Input, output: Output, handle: order => total(order) })

function total(order: Order): { id: number; total: number } {
  let sum = 0
  for (const { quantity, price } of order.lines) sum += quantity * price
  return { id: order.id, total: sum }
}

/** Calls the other service as often as it is told to. */
const caller = service({
  handle: (input, context: ServiceContext) => {
    const { lanes, count } = input as { lanes: number; count: number }
    return inFlight(lanes, count, () => context.invoke('orders.price', ORDER))
  },
})

export async function run(): Promise<BenchRow[]> {
  const system = startServices({ 'orders.price': price, caller })
  const broker = await moleculer({
    name: 'orders',
    actions: {
      price: {
        params: {
          id: 'number|integer',
          customer: 'string|min:1',
          lines: {
            type: 'array',
            items: { type: 'object', props: { sku: 'string', quantity: 'number|integer', price: 'number' } },
          },
        },
        handler: context => total(context.params as Order),
      },
    },
  })
  const input = compileSchema(Input)
  const output = compileSchema(Output)
  const bare = async () => {
    input(ORDER)
    const answer = total(ORDER)
    output(answer)
    return answer
  }
  const rows: BenchRow[] = []
  for (const lanes of [1, LANES]) {
    const rates = await race({
      signalbox: count => system.ask('service/caller', { lanes, count }),
      moleculer: count => inFlight(lanes, count, () => broker.call('orders.price', ORDER)),
      'async function': count => inFlight(lanes, count, bare),
    })
    rows.push({
      name: `invoke with schemas, same worker, ${lanes === 1 ? 'one after the other' : `${lanes} in flight`}`,
      value: rates.signalbox!,
      unit: 'calls/s',
      limit: rates['async function']!,
      peers: { moleculer: rates.moleculer! },
      goal: 'at least 1 M/s',
    })
  }
  await broker.stop()
  return rows
}

function startServices(services: Record<string, ServiceClass>): ActorSystem {
  const system = new ActorSystem()
  const ports: ServicePorts = {
    clock: system.clock,
    log: silentLogger,
    ask: (name, payload, options) => system.ask(`service/${name}`, payload, options),
    tell: (name, payload, options) => system.tell(`service/${name}`, payload, options),
    connection: () => {
      throw new Error('this benchmark has no connections')
    },
    keep: () => Promise.reject(new Error('this benchmark keeps nothing')),
    cpu: () => Promise.reject(new Error('this benchmark has no CPU work')),
  }
  for (const [name, type] of Object.entries(services)) {
    system.spawn(`service/${name}`, serviceActor(system, new ServiceRunner(name, type, ports)))
  }
  return system
}
