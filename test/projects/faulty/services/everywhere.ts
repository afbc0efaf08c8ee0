import { Service } from 'signalbox'

/** Asks keyed services in all workers for something they never answer, so that asks are under way to each. */
export default class Everywhere extends Service {
  async handle() {
    const keys = Array.from({ length: 16 }, (_, i) => `victim#${i}`)
    const results = await this.parallel(keys.map(service => ({ service, payload: { fault: 'hang' } })))
    return results.map(result => (result.ok ? 'ok' : (result.error as { code?: string }).code))
  }
}
