import { Service } from 'signalbox'

export default class HelloWorld extends Service {
  async handle() {
    return 'How goes it?'
  }
}
