import { appendFileSync } from 'node:fs'
import { Service } from 'signalbox'

export default class Note extends Service<string> {
  handle(id: string) {
    appendFileSync(process.env.SIGNALBOX_TEST_EFFECTS!, `${this.request.channel!.name} ${id}\n`)
  }
}
