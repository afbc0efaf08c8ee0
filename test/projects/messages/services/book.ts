import { appendFileSync } from 'node:fs'
import { Service } from 'signalbox'

/** Leaves a line for each message: what the test takes for its effect. */
export default class Book extends Service<{ id: string; number: number }> {
  handle({ id, number }: { id: string; number: number }) {
    const { seq, key, attempt } = this.request.channel!.attributes
    appendFileSync(process.env.SIGNALBOX_TEST_EFFECTS!, `${[id, seq, key, number, attempt].join(' ')}\n`)
  }
}
