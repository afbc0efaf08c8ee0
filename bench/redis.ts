/**
 * Entries of a Redis stream, each handed to a service and acknowledged when it is done, beside a bare ioredis loop
 * that does the same with one read and one acknowledgement for each batch. Once with a server that has all on disk
 * before it answers, as a bus wants it, and once with one that keeps nothing, so that the client's share shows.
 */
import { Redis } from 'ioredis'
import { channelActor } from '../actors/channel-host.ts'
import { serviceActor } from '../actors/service-host.ts'
import { ActorSystem } from '../core/actor/index.ts'
import { compileSchema, parseOptions, Type } from '../core/schema.ts'
import type { ServicePorts } from '../core/service/invocation.ts'
import { ServiceRunner } from '../core/service/runner.ts'
import { service } from '../core/service/service.ts'
import { silentLogger } from '../core/telemetry/log.ts'
import { RedisServer } from '../test/servers/redis.ts'
import { redis } from '../transports/redis/index.ts'
import { medians, QUICK } from './measure.ts'
import type { BenchRow } from './row.ts'

const ENTRIES = QUICK ? 500 : 100_000
const BATCH = 256
const GROUP = 'bench'

const Input = Type.Object({
  id: Type.Integer(),
  customer: Type.String({ minLength: 1 }),
  lines: Type.Array(Type.Object({ sku: Type.String(), quantity: Type.Integer(), price: Type.Number() })),
})
const ORDER = {
  id: 1_000,
  customer: 'C-17',
  lines: [
    { sku: 'A-1', quantity: 2, price: 12.5 },
    { sku: 'B-17', quantity: 1, price: 99.95 },
  ],
}

function total(order: typeof ORDER): number {
  let sum = 0
  for (const { quantity, price } of order.lines) sum += quantity * price
  return sum
}

/** Handles all entries of a stream and returns when they are acknowledged. */
type Consumer = (key: string, url: string) => Promise<void>

export async function run(): Promise<BenchRow[]> {
  return [
    await measured('Redis stream to a service, JSON, acknowledged, synced log', true),
    await measured('Redis stream to a service, JSON, acknowledged, server in memory', false),
  ]
}

async function measured(name: string, durable: boolean): Promise<BenchRow> {
  const server = await RedisServer.start({ durable })
  const outside = server.client()
  try {
    const figures = await medians({ signalbox, bare }, async (consume: Consumer) => {
      const key = await filled(outside)
      globalThis.gc?.({ type: 'minor' })
      const start = performance.now()
      await consume(key, server.url)
      const perSecond = (ENTRIES / (performance.now() - start)) * 1000
      const [pending] = (await outside.xpending(key, GROUP)) as [number]
      if (pending !== 0) throw new Error(`${pending} entries were not acknowledged`)
      await outside.del(key)
      return perSecond
    })
    return {
      name,
      value: figures.signalbox!,
      unit: 'messages/s',
      limit: figures.bare!,
      goal: 'at least 0.85 of bare ioredis',
    }
  } finally {
    outside.disconnect()
    await server.close()
  }
}

let streams = 0

/** A stream that is full of orders, with a group that has seen none. */
async function filled(outside: Redis): Promise<string> {
  const key = `bench-${streams++}`
  const body = JSON.stringify(ORDER)
  await outside.xgroup('CREATE', key, GROUP, '0', 'MKSTREAM')
  for (let left = ENTRIES; left > 0; left -= 1_000) {
    const pipeline = outside.pipeline()
    const count = Math.min(left, 1_000)
    for (let i = 0; i < count; i++) pipeline.xadd(key, '*', 'payload', body)
    await pipeline.exec()
  }
  return key
}

/** Channel, actor and service as in a worker. */
async function signalbox(key: string, url: string): Promise<void> {
  const done = Promise.withResolvers<void>()
  let count = 0
  const handled = service({
    input: Input,
    handle: order => {
      total(order as typeof ORDER)
      if (++count === ENTRIES) done.resolve()
    },
  })
  const system = new ActorSystem({ log: silentLogger })
  system.spawn(
    'service/orders',
    serviceActor(system, new ServiceRunner('orders', handled, {} as ServicePorts)),
  )
  const stream = { name: key, group: GROUP }
  const options = parseOptions(
    redis.channel!.options,
    { url, stream, service: 'orders', contentType: 'application/json', maxInFlight: 2 * BATCH },
    'bench',
  )
  const channel = channelActor(system, redis, { name: 'bench', options })
  system.spawn('channel/redis/bench', channel.spec)
  await channel.opened()
  await done.promise
  await channel.drain(false)
  await system.shutdown()
}

async function bare(key: string, url: string): Promise<void> {
  const client = new Redis(url, { protocol: 2 })
  const input = compileSchema(Input)
  for (let left = ENTRIES; left > 0; ) {
    const reply = await client.xreadgroup(
      'GROUP', GROUP, 'me', 'COUNT', BATCH, 'BLOCK', 1_000, 'STREAMS', key, '>',
    ) // biome-ignore format: one command
    const entries = (reply as [string, [string, string[]][]][])[0]![1]
    for (const [, fields] of entries) {
      const order = JSON.parse(fields[1]!) as typeof ORDER
      input(order)
      total(order)
    }
    await client.xack(key, GROUP, ...entries.map(([id]) => id))
    left -= entries.length
  }
  client.disconnect()
}
