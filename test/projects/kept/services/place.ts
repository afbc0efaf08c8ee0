import { Service } from 'signalbox'
export default class extends Service {
  handle(input: unknown) {
    return this.enqueue('orders', input)
  }
}
