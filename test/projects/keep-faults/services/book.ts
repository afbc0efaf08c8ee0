import { appendFileSync, existsSync, writeFileSync } from 'node:fs'
import { Service } from 'signalbox'

/** Leaves a line for each message; a poisonous one fails always, a deadly one takes its thread along once. */
export default class Book extends Service<{ number: number }> {
  handle({ number }: { number: number }) {
    const { attempt, seq } = this.request.channel!.attributes
    if (number === Number(process.env.SIGNALBOX_TEST_POISON)) throw new Error('poison')
    const line = `${number} ${attempt} ${seq} ${Date.now()}\n`
    appendFileSync(process.env.SIGNALBOX_TEST_EFFECTS!, line)
    const deadly = Number(process.env.SIGNALBOX_TEST_DEADLY)
    if (!(deadly > 0 && number % deadly === 0)) return
    const mark = `${process.env.SIGNALBOX_TEST_EFFECTS}-${number}`
    if (existsSync(mark)) return
    writeFileSync(mark, '')
    // The message has had its effect, and nobody has acknowledged it.
    process.exit(1)
  }
}
