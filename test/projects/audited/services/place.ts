import { Service } from 'signalbox'

export default class Place extends Service {
  handle(order: unknown) {
    return this.enqueue('orders', order)
  }
}
