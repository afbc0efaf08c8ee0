import { Service } from 'signalbox'

const seen: unknown[] = []
export default class extends Service {
  handle(input: unknown) {
    seen.push(input)
  }
}
