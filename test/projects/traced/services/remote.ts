import { Service } from 'signalbox'
import type { HttpConnection } from '../../../../transports/http/connection.ts'

/** Runs on each worker in turn and calls the partner, each time by another operation. */
export default class Remote extends Service {
  static override balance = 'roundRobin' as const

  async handle() {
    const partner = this.connection<HttpConnection>('partner')
    await partner.get('/typed')
    await partner.send({ payload: { id: 1 }, attributes: { path: '/sent' } })
    return this.request.cid
  }
}
