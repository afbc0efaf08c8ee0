import { Service, type Static, Type } from 'signalbox'
import type { RedisConnection } from 'signalbox/redis'

const Order = Type.Object({ id: Type.Integer(), sku: Type.String(), quantity: Type.Integer({ minimum: 1 }) })

/** Prices an order and adds the invoice to a stream. An order that is no order goes to the dead letters. */
export default class PriceOrder extends Service {
  static override input = Order

  async handle({ id, sku, quantity }: Static<typeof Order>) {
    const redis = this.connection<RedisConnection>('cache')
    const price = await redis.getOrSet(`price:${sku}`, () => 10)
    // What was delivered twice is priced once: the invoice and the note that there is one are written together.
    if (await redis.client.exists(`priced:${id}`)) return
    const invoice = JSON.stringify({ id, sku, total: price * quantity })
    await redis.transaction(commands => {
      commands.xadd(
        'invoices',
        'MAXLEN',
        '~',
        10_000,
        '*',
        'payload',
        invoice,
        'content-type',
        'application/json',
      )
      commands.set(`priced:${id}`, '1', 'PX', 86_400_000)
    })
  }
}
