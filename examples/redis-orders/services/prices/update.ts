import { Service, Type } from 'signalbox'
import type { RedisConnection } from 'signalbox/redis'

/** Keeps the price that was published on `prices.<sku>`. */
export default class UpdatePrice extends Service {
  static override input = Type.Number({ minimum: 0 })

  async handle(price: number) {
    const channel = String(this.request.channel?.attributes.channel)
    const redis = this.connection<RedisConnection>('cache')
    await redis.set(`price:${channel.slice('prices.'.length)}`, price)
    await redis.client.incr('prices-seen')
  }
}
