/**
 * AMQP queue -> channel -> service, each message acknowledged after the service, beside amqplib doing the same in a
 * plain script; and publishing with confirmation. The broker shares the cores with both.
 */
import { type ChannelModel, connect, credentials } from 'amqplib'
import { channelActor } from '../actors/channel-host.ts'
import { serviceActor } from '../actors/service-host.ts'
import { ActorSystem } from '../core/actor/index.ts'
import { systemClock } from '../core/clock.ts'
import { parseOptions } from '../core/schema.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { service } from '../core/service/service.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { RABBIT_PASSWORD, RABBIT_USER, RabbitServer } from '../test/servers/rabbitmq.ts'
import { AmqpConnection } from '../transports/amqp/connection.ts'
import { amqp } from '../transports/amqp/index.ts'
import { AmqpConnectionOptions, type AmqpConnectionSettings } from '../transports/amqp/options.ts'
import { medians, QUICK } from './measure.ts'
import type { BenchRow } from './row.ts'

const MESSAGES = QUICK ? 200 : 20_000
const IN_FLIGHT = 256
const QUEUE = 'bench'
const ORDER = {
  id: 1_000,
  customer: 'C-17',
  lines: [
    { sku: 'A-1', quantity: 2, price: 12.5 },
    { sku: 'B-17', quantity: 1, price: 99.95 },
  ],
}
const BODY = Buffer.from(JSON.stringify(ORDER))

export async function run(): Promise<BenchRow[]> {
  const server = await RabbitServer.start()
  try {
    const consumed = await medians({ ours: consumeOurs, bare: consumeBare }, measure => measure(server))
    const published = await medians({ ours: publishOurs, bare: publishBare }, measure => measure(server))
    return [
      {
        name: 'AMQP queue to service, acknowledged, JSON',
        value: consumed.ours!,
        unit: 'msg/s',
        limit: consumed.bare!,
        goal: 'at least 0.85 of bare amqplib',
      },
      {
        name: 'AMQP publish, confirmed, 256 in flight',
        value: published.ours!,
        unit: 'msg/s',
        limit: published.bare!,
        goal: 'at least 0.85 of bare amqplib',
      },
    ]
  } finally {
    await server.close()
  }
}

/** Adds up what an order costs, as both sides do. */
function total(order: typeof ORDER): number {
  return order.lines.reduce((sum, { quantity, price }) => sum + quantity * price, 0)
}

/** Counts messages and knows when all have come. */
class Count {
  readonly #all = Promise.withResolvers<void>()
  #left = MESSAGES

  readonly one = (): void => {
    if (--this.#left === 0) this.#all.resolve()
  }

  get all(): Promise<void> {
    return this.#all.promise
  }
}

async function consumeOurs(server: RabbitServer): Promise<number> {
  await fill(server)
  const count = new Count()
  const system = new ActorSystem()
  const orders = service({
    handle: order => {
      total(order as typeof ORDER)
      count.one()
    },
  })
  const unused = () => {
    throw new Error('this service only adds up')
  }
  const ports: ServicePorts = {
    clock: system.clock,
    log: silentLogger,
    ask: unused,
    tell: unused,
    connection: unused,
    keep: unused,
    cpu: unused,
  }
  system.spawn('service/orders', serviceActor(system, new ServiceRunner('orders', orders, ports)))
  const options = { ...serverOptions(server), queue: QUEUE, service: 'orders', maxInFlight: IN_FLIGHT }
  const { spec } = channelActor(system, amqp, {
    name: 'bench',
    options: parseOptions(amqp.channel!.options, options, 'bench'),
  })
  const start = performance.now()
  system.spawn('channel/amqp/bench', spec)
  await count.all
  const perSecond = (MESSAGES / (performance.now() - start)) * 1000
  await system.shutdown()
  return perSecond
}

async function consumeBare(server: RabbitServer): Promise<number> {
  await fill(server)
  const count = new Count()
  const start = performance.now()
  const model = await open(server)
  const channel = await model.createChannel()
  await channel.prefetch(IN_FLIGHT)
  const handle = async (order: typeof ORDER) => {
    total(order)
  }
  await channel.consume(QUEUE, async message => {
    if (message === null) return
    await handle(JSON.parse(message.content.toString()))
    channel.ack(message)
    count.one()
  })
  await count.all
  const perSecond = (MESSAGES / (performance.now() - start)) * 1000
  await channel.close()
  await model.close()
  return perSecond
}

async function publishOurs(server: RabbitServer): Promise<number> {
  const settings = parseOptions<AmqpConnectionSettings>(
    AmqpConnectionOptions,
    { ...serverOptions(server), routingKey: QUEUE, maxInFlight: IN_FLIGHT, persistent: false },
    'bench',
  )
  const { signal } = new AbortController()
  const lost = (error: Error) => {
    throw error
  }
  const connection = new AmqpConnection(settings, {
    name: 'bench',
    log: silentLogger,
    clock: systemClock,
    signal,
    lost,
  })
  await emptied(server)
  await connection.connect()
  const perSecond = await lanes(() => connection.publish({ payload: ORDER }))
  await connection.close()
  return perSecond
}

async function publishBare(server: RabbitServer): Promise<number> {
  await emptied(server)
  const model = await open(server)
  const channel = await model.createConfirmChannel()
  const options = { contentType: 'application/json', mandatory: true }
  const perSecond = await lanes(
    () =>
      new Promise<void>((resolve, reject) => {
        channel.sendToQueue(QUEUE, Buffer.from(JSON.stringify(ORDER)), options, error =>
          error ? reject(error) : resolve(),
        )
      }),
  )
  await model.close()
  return perSecond
}

/** Publishes all messages, as many as may be in flight at a time. */
async function lanes(publish: () => Promise<void>): Promise<number> {
  let left = MESSAGES
  const lane = async () => {
    while (left-- > 0) await publish()
  }
  const start = performance.now()
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane))
  return (MESSAGES / (performance.now() - start)) * 1000
}

function serverOptions(server: RabbitServer) {
  return { url: server.url, username: RABBIT_USER, password: RABBIT_PASSWORD }
}

function open(server: RabbitServer): Promise<ChannelModel> {
  return connect(server.url, { credentials: credentials.plain(RABBIT_USER, RABBIT_PASSWORD), noDelay: true })
}

async function emptied(server: RabbitServer): Promise<void> {
  const model = await open(server)
  const channel = await model.createChannel()
  await channel.assertQueue(QUEUE)
  await channel.purgeQueue(QUEUE)
  await model.close()
}

async function fill(server: RabbitServer): Promise<void> {
  await emptied(server)
  const model = await open(server)
  const channel = await model.createConfirmChannel()
  for (let i = 0; i < MESSAGES; i++) channel.sendToQueue(QUEUE, BODY, { contentType: 'application/json' })
  await channel.waitForConfirms()
  await model.close()
}
