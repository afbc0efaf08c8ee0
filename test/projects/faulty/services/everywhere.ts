import { Service } from 'signalbox'

/** Asks keyed services in all workers for something they never answer; says how the first one of them failed. */
export default class Everywhere extends Service {
  async handle() {
    const asks = Array.from({ length: 16 }, (_, key) => this.invoke(`victim#${key}`, { fault: 'hang' }))
    return await Promise.race(asks).catch((error: { code?: string }) => ({ code: error.code }))
  }
}
