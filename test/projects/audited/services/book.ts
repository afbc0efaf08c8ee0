import { Service } from 'signalbox'
import type { HttpConnection } from '../../../../transports/http/connection.ts'

export default class Book extends Service {
  async handle(order: { bad?: boolean }) {
    if (order.bad) throw new Error('this order cannot be booked')
    await this.connection<HttpConnection>('partner').send({
      payload: order,
      attributes: { path: '/booked?key=1' },
    })
  }
}
