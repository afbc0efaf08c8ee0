/** Channel and connection actors of AMQP over a server that is killed under traffic. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { channelActor } from '../../actors/channel-host.ts'
import { connectionActor } from '../../actors/connection-host.ts'
import { ActorSystem } from '../../core/actor/index.ts'
import { parseOptions } from '../../core/schema.ts'
import type { AmqpConnection } from '../../transports/amqp/connection.ts'
import { amqp } from '../../transports/amqp/index.ts'
import { turns, until, within } from '../conformance/wait.ts'
import { RABBIT_PASSWORD, RABBIT_USER, RabbitServer, rabbitTest } from '../servers/rabbitmq.ts'

const NOBODY = { cid: undefined, trace: undefined }
const LONG_MS = 60_000

interface Bus {
  system: ActorSystem
  channel: ReturnType<typeof channelActor>
  connection(): AmqpConnection
  /** How often each message was handled. */
  handled: Map<string, number>
}

/** A channel and a connection on the same queue, and a service that remembers what it got. */
async function bus(
  server: RabbitServer,
  type: string,
  handle: () => Promise<void> = async () => {},
): Promise<Bus> {
  const system = new ActorSystem()
  const queue = `orders-${type}`
  const topology = { queues: [{ name: queue, type }] }
  const common = { url: server.url, username: RABBIT_USER, password: RABBIT_PASSWORD, topology }
  const handled = new Map<string, number>()
  system.spawn('service/orders', {
    concurrency: 64,
    behaviour: () => ({
      receive: async payload => {
        await handle()
        handled.set(payload as string, (handled.get(payload as string) ?? 0) + 1)
      },
    }),
  })
  const options = { ...common, queue, service: 'orders', maxInFlight: 16, retry: { delaysMs: [10] } }
  const channel = channelActor(system, amqp, {
    name: 'in',
    options: parseOptions(amqp.channel!.options, options, 'channel'),
  })
  system.spawn('channel/amqp/in', channel.spec)
  await channel.openWithin(LONG_MS)
  const sending = { ...common, routingKey: queue, timeoutMs: 5_000 }
  const connection = connectionActor(
    system,
    amqp,
    'out',
    parseOptions(amqp.connection!.options, sending, 'connection'),
  )
  system.spawn('connection/amqp/out', connection.spec)
  const current = () => connection.current(NOBODY) as AmqpConnection
  await until(() => isOpen(current), 'the connection opens', LONG_MS)
  return { system, channel, connection: current, handled }
}

function isOpen(current: () => unknown): boolean {
  try {
    current()
    return true
  } catch {
    return false
  }
}

describe('AMQP under faults', rabbitTest(), () => {
  // The only replica of a quorum queue may find no leader after kill -9 (RabbitMQ 3.10): it is stopped in order.
  for (const [type, end] of [
    ['classic', 'kill'],
    ['quorum', 'stop'],
  ] as const) {
    test(`${type} queue, ${end} of the server under traffic: nothing that was confirmed is lost`, async () => {
      const server = await RabbitServer.start()
      const { system, connection, handled } = await bus(server, type, () => turns(1))
      try {
        const confirmed = new Set<string>()
        let sent = 0
        let stop = false
        const lane = async () => {
          while (!stop) {
            const payload = `m${sent++}`
            try {
              await connection().publish({ payload })
              confirmed.add(payload)
            } catch {
              // Lost with the server: nobody was told that it is safe.
              await new Promise(resolve => setTimeout(resolve, 5))
            }
          }
        }
        const lanes = Array.from({ length: 16 }, lane)
        await until(() => confirmed.size > 300, 'traffic')
        await server[end]()
        await server.start()
        const before = confirmed.size
        await until(() => confirmed.size > before + 300, 'traffic again', LONG_MS)
        stop = true
        await Promise.all(lanes)
        await until(
          () => [...confirmed].every(one => handled.has(one)),
          'all that was confirmed is handled',
          LONG_MS,
        )
      } finally {
        await within(system.shutdown(), 'stop', LONG_MS)
        await server.close()
      }
    })
  }

  test('a stop while messages are under way finishes those, and leaves the others', async () => {
    const server = await RabbitServer.start()
    let release = () => {}
    const gate = new Promise<void>(resolve => {
      release = resolve
    })
    const { system, channel, connection, handled } = await bus(server, 'classic', () => gate)
    try {
      await connection().publishBatch(Array.from({ length: 40 }, (_, i) => ({ payload: `m${i}` })))
      await until(async () => (await ready(server)) === 24, 'the channel has all that it takes')
      const drained = channel.drain(false)
      release()
      await within(drained, 'drain')
      assert.equal(handled.size, 16)
      assert.deepEqual([...handled.values()], Array(16).fill(1))
      assert.equal(await ready(server), 24)
    } finally {
      await within(system.shutdown(), 'stop', LONG_MS)
      await server.close()
    }
  })
})

/** Messages that wait in the queue of the stop test. */
async function ready(server: RabbitServer): Promise<number> {
  const text = await server.control('list_queues', 'name', 'messages_ready')
  return Number(/^orders-classic\t(\d+)/m.exec(text)?.[1])
}
