import { Service } from 'signalbox'

/** Calls a service of each worker. */
export default class Entry extends Service {
  async handle() {
    const results = await this.parallel([{ service: 'remote' }, { service: 'remote' }])
    return results.map(result => (result.ok ? result.value : result.error.message))
  }
}
