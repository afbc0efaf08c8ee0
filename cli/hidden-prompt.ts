/** Asks for a secret on a terminal without showing what is typed. */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { SignalboxError } from '../core/errors.ts'

/** What was typed. Rejects with SIGNALBOX_CANCELLED at Ctrl-C or Ctrl-D. */
export function hiddenPrompt(question: string): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const line = createInterface({ input: process.stdin, output: nowhere, terminal: true, historySize: 0 })
  process.stderr.write(question)
  return new Promise((resolve, reject) => {
    let answer: string | undefined
    line.once('line', text => {
      answer = text
      line.close()
    })
    line.once('SIGINT', () => line.close())
    line.once('close', () => {
      process.stderr.write('\n')
      if (answer === undefined) reject(new SignalboxError('SIGNALBOX_CANCELLED', 'nothing was stored'))
      else resolve(answer)
    })
  })
}
