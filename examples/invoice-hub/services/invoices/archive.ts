import { setTimeout as pause } from 'node:timers/promises'
import { Service } from 'signalbox'
import { RatedInvoice } from '../../canonical.ts'

/** What the archive takes for a document. */
const ARCHIVE_MS = 50

/** Stands for a system that is slower than what comes in: one document at a time on the whole node, 20 in a second. */
export default class ArchiveInvoice extends Service<RatedInvoice> {
  static override description = 'Archives an invoice, slowly.'
  static override input = RatedInvoice
  static override placement = 'singleton' as const
  static override concurrency = 1

  async handle({ number, euro }: RatedInvoice) {
    await pause(ARCHIVE_MS, undefined, { signal: this.request.signal })
    this.log.debug({ number, payableEuro: euro.payable }, 'archived')
  }
}
