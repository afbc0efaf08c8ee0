/** Works on a journal and says what happened: a process of its own, which tests limit, kill and wreck. */
import { createInterface } from 'node:readline'
import { crashRecords } from '../../../test/conformance/journal.ts'
import { SignalboxError } from '../../errors.ts'
import type { Journal } from '../journal.ts'
import { type FileJournalOptions, openFileJournal } from './file-journal.ts'

const [task, json] = process.argv.slice(2)
const options = JSON.parse(json!) as FileJournalOptions

const tasks: Record<string, () => Promise<unknown>> = {
  /** Opens the journal and keeps it until the process is killed. */
  async hold() {
    await open()
    setInterval(() => {}, 1000)
    return 'open'
  },
  /** The writer of the crash scenario: see `crashWriter` in test/conformance/journal.ts. */
  async lines() {
    const journal = await open()
    createInterface(process.stdin).on('line', async line => {
      await journal.append(crashRecords(Number(line)))
      process.stdout.write(`${line}\n`)
    })
  },
  /** Appends numbers from the one behind the last on, trims, closes and opens again; tells each step. Never ends. */
  async churn() {
    let next = 0
    for (;;) {
      const journal = await openFileJournal(options)
      const positions = new Map<number, number>()
      await journal.replay((record, position) => {
        next = Number.parseInt(record.toString(), 10)
        positions.set(next++, position)
      })
      for (let i = 0; i < 30; i++) {
        const calls = Array.from({ length: 1 + (i % 5) }, async () => {
          const mine = next++
          const [position] = await journal.append([numbered(mine)])
          positions.set(mine, position!)
          process.stdout.write(`${JSON.stringify({ confirmed: mine })}\n`)
        })
        await Promise.all(calls)
        if (i % 7 !== 6) continue
        const needed = Math.max(next - 40, 0)
        process.stdout.write(`${JSON.stringify({ needed })}\n`)
        await journal.trim(positions.get(needed) ?? 0)
      }
      await journal.close()
    }
  },
  /** Appends records one after the other; which ones were taken, and why others were not. */
  async tries() {
    const journal = await open()
    const taken: string[] = []
    const codes: string[] = []
    for (let i = 0; i < 12; i++) {
      const error = await outcome(journal.append([Buffer.from(`try ${i}`)]))
      if (error === undefined) taken.push(`try ${i}`)
      else codes.push(error)
    }
    await journal.close()
    return { taken, codes }
  },
  /** How long each of some appends took until it was confirmed, in milliseconds. */
  async time() {
    const journal = await open()
    await journal.append([Buffer.from('makes the segment')])
    const times: number[] = []
    for (let i = 0; i < 3; i++) {
      const start = performance.now()
      await journal.append([Buffer.from('x')])
      times.push(performance.now() - start)
    }
    return times
  },
  /** Fills the disk, several calls at once; frees room by trimming; goes on. */
  async fill() {
    const journal = await open()
    const taken: number[] = []
    const codes = new Set<string>()
    let number = 0
    while (codes.size === 0) {
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          const mine = number++
          const error = await outcome(journal.append([numbered(mine)]))
          if (error === undefined) taken.push(mine)
          else codes.add(error)
        }),
      )
    }
    const trimmed = await outcome(journal.trim(journal.segments().at(-1)!.from))
    const after = await outcome(journal.append([numbered(number)]))
    if (after === undefined) taken.push(number)
    const oldest = journal.segments()[0]!.from
    await journal.close()
    return { taken, codes: [...codes], trimmed, after, oldest }
  },
}

function numbered(number: number): Buffer {
  return Buffer.from(`${number} `.padEnd(3000, 'x'))
}

async function open(): Promise<Journal> {
  const journal = await openFileJournal(options)
  await journal.replay(() => {})
  return journal
}

async function outcome(done: Promise<unknown>): Promise<string | undefined> {
  try {
    await done
    return undefined
  } catch (error) {
    return error instanceof SignalboxError ? `${error.code}: ${error.message}` : String(error)
  }
}

try {
  const answer = await tasks[task!]!()
  if (answer !== undefined) process.stdout.write(`${JSON.stringify(answer)}\n`)
} catch (error) {
  if (!(error instanceof SignalboxError)) throw error
  process.stdout.write(`${JSON.stringify({ code: error.code, message: error.message })}\n`)
}
