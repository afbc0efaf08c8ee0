/** The example of the AMQP transport, on a real broker: what its README says happens, happens. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type ConfirmChannel, connect, credentials, type GetMessage } from 'amqplib'
import { startProject } from '../cli/start.ts'
import { until } from './conformance/wait.ts'
import { RABBIT_PASSWORD, RABBIT_USER, RabbitServer, rabbitTest } from './servers/rabbitmq.ts'

const PROJECT = fileURLToPath(new URL('../examples/amqp-orders', import.meta.url))

describe('examples/amqp-orders', rabbitTest(), () => {
  test('orders become invoices; one that is wrong goes to orders.failed; a request is answered', async () => {
    const server = await RabbitServer.start()
    Object.assign(process.env, {
      AMQP_URL: server.url,
      AMQP_USER: RABBIT_USER,
      AMQP_PASSWORD: RABBIT_PASSWORD,
    })
    const bus = await startProject(PROJECT, { workers: 2 })
    const model = await connect(server.url, { credentials: credentials.plain(RABBIT_USER, RABBIT_PASSWORD) })
    try {
      const channel = await model.createConfirmChannel()
      const order = (price: number) =>
        JSON.stringify({ id: 7, region: 'north', lines: [{ quantity: 2, price }] })
      const put = (body: string, options = {}) =>
        channel.sendToQueue('orders', Buffer.from(body), { contentType: 'application/json', ...options })
      await until(() => succeeds(server, 'orders'), 'the channel has declared its queues')
      put(order(12.5))
      const invoice = await next(channel, 'invoices.north')
      assert.deepEqual(JSON.parse(String(invoice.content)), { order: 7, total: 25 })
      assert.equal(invoice.properties.type, 'invoice')
      put(order(-1))
      put('{"id":')
      assert.deepEqual(
        [await next(channel, 'orders.failed'), await next(channel, 'orders.failed')].map(one =>
          String(one.content),
        ),
        [order(-1), '{"id":'],
      )
      const { queue } = await channel.assertQueue('', { exclusive: true })
      put(order(1), { replyTo: queue, correlationId: 'q1' })
      const answer = await next(channel, queue)
      assert.deepEqual(JSON.parse(String(answer.content)), { invoiced: 2 })
      assert.equal(answer.properties.correlationId, 'q1')
    } finally {
      await model.close()
      await bus.stop()
      await server.close()
    }
  })
})

async function next(channel: ConfirmChannel, queue: string) {
  const taken: GetMessage[] = []
  await until(async () => {
    const message = await channel.get(queue, { noAck: true })
    if (message) taken.push(message)
    return taken.length > 0
  }, `a message in ${queue}`)
  return taken[0]!
}

async function succeeds(server: RabbitServer, queue: string): Promise<boolean> {
  return (await server.control('list_consumers', 'queue_name')).includes(queue)
}
