/** What the tests of the journal in files share. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { within } from '../../../test/conformance/wait.ts'
import type { Journal } from '../journal.ts'
import { type FileJournalOptions, openFileJournal } from './file-journal.ts'

const CHILD = fileURLToPath(new URL('journal-test-child.ts', import.meta.url))

export async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-journal-'))
  t.after(() => rm(folder, { recursive: true }))
  return folder
}

/** Opens and replays a journal; what was in it. Leaves nothing open when that fails. */
export async function replayed(options: FileJournalOptions): Promise<{ journal: Journal; texts: string[] }> {
  const journal = await openFileJournal(options)
  const texts: string[] = []
  try {
    await journal.replay(record => texts.push(record.toString()))
  } catch (error) {
    await journal.close()
    throw error
  }
  return { journal, texts }
}

/** What is in a journal. */
export async function textsOf(options: FileJournalOptions): Promise<string[]> {
  const { journal, texts } = await replayed(options)
  await journal.close()
  return texts
}

export async function appendText(journal: Journal, ...texts: string[]): Promise<void> {
  await journal.append(texts.map(text => Buffer.from(text)))
}

/** The segment files of a folder, oldest first. */
export async function segmentFiles(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter(name => name.endsWith('.journal')).sort()
}

/** Starts a child that does a task. */
export function launch(
  task: string,
  options: FileJournalOptions,
  prefix: string[] = [],
  env: Record<string, string> = {},
): ChildProcessByStdio<null, Readable, Readable> {
  const [command, ...args] = [...prefix, process.execPath, CHILD, task, JSON.stringify(options)]
  return spawn(command!, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
}

/** Starts a child that does a task; its first line of output is an answer in JSON. */
export function start<T>(...how: Parameters<typeof launch>): { child: ChildProcess; answer: Promise<T> } {
  const child = launch(...how)
  let errors = ''
  child.stderr.on('data', part => {
    errors += String(part)
  })
  const answer = (async () => {
    let text = ''
    for await (const part of child.stdout) {
      text += String(part)
      if (text.includes('\n')) return JSON.parse(text) as T
    }
    throw new Error(`no answer, exit code ${child.exitCode}, signal ${child.signalCode}: ${errors}`)
  })()
  return { child, answer: within(answer, 'an answer of the child', 60_000) }
}

export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}
