/** A node that keeps messages, for tests that do it harm. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { LogView } from '../../actors/messages/log-view.ts'
import { startProject } from '../../cli/start.ts'
import { fixture } from '../fixture.ts'
import { until } from '../load.ts'

const PROJECT = new URL('../projects/keep-faults', import.meta.url).pathname
/** Messages of one publish. */
export const BATCH = 100

export interface Effect {
  number: number
  attempt: number
  seq: number
  at: number
}

export class Bus implements AsyncDisposable {
  readonly folder: string
  #running: Awaited<ReturnType<typeof startProject>> | undefined
  #url = ''

  constructor(folder: string) {
    this.folder = folder
    process.env.SIGNALBOX_TEST_EFFECTS = join(folder, 'effects')
    writeFileSync(process.env.SIGNALBOX_TEST_EFFECTS, '')
  }

  get state(): string {
    return join(this.folder, 'state')
  }

  get messages(): string {
    return join(this.state, 'messages')
  }

  get node() {
    return this.#running!.node
  }

  async start(): Promise<this> {
    this.#running = await startProject(PROJECT, { stateFolder: this.state })
    const { workers } = await this.node.inspect()
    const actors = workers.flatMap(worker => worker.actors as { address: string; endpoint?: string }[])
    this.#url = actors.find(({ address }) => address === 'channel/http/public')!.endpoint!
    return this
  }

  async stop(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    await running?.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** The status of the answer, and its problem; undefined when the connection broke. */
  async publish(queue: string, from: number, count: number, bytes = 0): Promise<[number, string]> {
    const body = JSON.stringify({ queue, from, count, bytes })
    const headers = { 'content-type': 'application/json' }
    try {
      const response = await fetch(`${this.#url}/publish`, { method: 'POST', body, headers })
      return [response.status, await response.text()]
    } catch {
      return [0, '']
    }
  }

  /** Publishes until all are acknowledged. */
  async publishAll(queue: string, count: number, bytes = 0): Promise<void> {
    const left = Array.from({ length: Math.ceil(count / BATCH) }, (_, i) => i * BATCH)
    const line = async () => {
      for (let from = left.pop(); from !== undefined; from = left.pop()) {
        const size = Math.min(BATCH, count - from)
        await until(
          async () => (await this.publish(queue, from!, size, bytes))[0] === 200,
          'a publish is acknowledged',
          60_000,
        )
      }
    }
    await Promise.all(Array.from({ length: 4 }, line))
  }

  effects(): Effect[] {
    const lines = readFileSync(process.env.SIGNALBOX_TEST_EFFECTS!, 'utf8').trimEnd().split('\n')
    return lines.filter(Boolean).map(line => {
      const [number, attempt, seq, at] = line.split(' ').map(Number) as [number, number, number, number]
      return { number, attempt, seq, at }
    })
  }

  keeper<T>(verb: string, payload?: unknown): Promise<T> {
    return this.node.host.keeper!.request(verb, payload) as Promise<T>
  }

  async log(name: string): Promise<LogView> {
    const logs = await this.keeper<LogView[]>('listLogs')
    return logs.find(log => log.name === name)!
  }
}

export async function bus(t: TestContext, environment: Record<string, string> = {}): Promise<Bus> {
  const folder = fixture({})
  for (const [name, value] of Object.entries(environment)) process.env[name] = value
  const started = new Bus(folder.path)
  t.after(async () => {
    await started.stop()
    folder[Symbol.dispose]()
    for (const name of Object.keys(environment)) delete process.env[name]
  })
  return started.start()
}
