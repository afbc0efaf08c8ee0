import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { threadId } from 'node:worker_threads'
import { Service, SignalboxError } from 'signalbox'

const ACTIONS: Record<string, (call: Remote) => unknown> = {
  where: () => ({ pid: process.pid, thread: threadId }),
  echo: call => call.request.payload,
  identity: call => ({
    identity: call.request.identity,
    headers: call.request.headers,
    cid: call.request.cid,
  }),
  fail: () => {
    throw new SignalboxError('ORDER_UNKNOWN', 'no order 7', { status: 404, details: { order: 7 } })
  },
  crash: () => {
    throw new TypeError('a mistake')
  },
  hang: async call => {
    await mark(call, 'begun')
    await once(call.request.signal, 'abort')
    await mark(call, `aborted ${(call.request.signal.reason as { code?: string }).code}`)
  },
  exit: () => process.exit(7),
  cpu: call =>
    call.cpu(new URL('./_task.ts', import.meta.url), call.request.payload.task, call.request.payload.options),
  cpuFunction: call => call.cpu(new URL('./_task.ts', import.meta.url), () => 1),
  mark: call => mark(call, 'told'),
}

interface Payload {
  action: string
  file?: string
  task?: unknown
  options?: { timeoutMs?: number }
}

/** Lives on this node only and does what it is told. */
export default class Remote extends Service<Payload> {
  handle({ action }: Payload) {
    return ACTIONS[action]!(this)
  }
}

/** Leaves word in the file that the caller named. */
async function mark(call: Remote, word: string): Promise<void> {
  const { file } = call.request.payload
  if (file === undefined) return
  const before = await readFile(file, 'utf8').catch(() => '')
  await writeFile(file, `${before}${word}\n`)
}
