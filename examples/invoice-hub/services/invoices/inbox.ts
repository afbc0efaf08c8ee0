import { createHash } from 'node:crypto'
import { Service } from 'signalbox'
import { documentBytes } from '../../lib/read-invoice.ts'

/**
 * Takes any document and answers when it is on disk; what it says is looked at later. Its digest is the id of the message:
 * a partner who is in doubt sends the document again, and it is taken once.
 */
export default class Inbox extends Service {
  static override description = 'Puts a document into the queue inbound.'

  async handle(payload: unknown) {
    const bytes = documentBytes(payload)
    const id = createHash('sha256').update(bytes).digest('hex').slice(0, 32)
    const receipt = await this.enqueue('inbound', bytes, { id, headers: { document: id } })
    this.response.status = 202
    return { document: id, ...receipt }
  }
}
