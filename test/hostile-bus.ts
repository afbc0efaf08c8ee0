/** Starts the project of the hostile tests in a process of its own, and measures what an attack does to it. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import net, { type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Load, until } from './load.ts'

const HOSTILE = fileURLToPath(new URL('./projects/hostile', import.meta.url))
const MAIN = fileURLToPath(new URL('./hostile-node.ts', import.meta.url))
const MEBIBYTE = 1024 * 1024
const WARM_REQUESTS = 4_000
/** What compiled code and caches may add to what the workers hold. */
const MAX_KEPT_MB = 24

type Verb = 'settle' | 'peak' | 'prototypes' | 'smuggled' | 'workers'

interface Memory {
  rss: number
  held: number
}

/** A node under attack. */
export class HostileBus {
  readonly url: string
  readonly port: number
  readonly socketUrl: string
  readonly uploads: string
  readonly #child: ChildProcess
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  #lastId = 0

  private constructor(child: ChildProcess, uploads: string, { url, socketUrl }: Record<string, string>) {
    this.#child = child
    this.uploads = uploads
    this.url = url!
    this.port = Number(new URL(this.url).port)
    this.socketUrl = socketUrl!
    child.on('message', ({ id, value, error }: { id: number; value?: unknown; error?: string }) => {
      const asked = this.#asked.get(id)
      this.#asked.delete(id)
      if (error === undefined) asked?.resolve(value)
      else asked?.reject(new Error(error))
    })
    child.once('exit', (code, signal) => {
      for (const asked of this.#asked.values()) asked.reject(new Error(`the node ended: ${code ?? signal}`))
      this.#asked.clear()
    })
  }

  static async start(): Promise<HostileBus> {
    const uploads = await mkdtemp(join(tmpdir(), 'signalbox-hostile-'))
    const child = spawn(process.execPath, ['--expose-gc', '--max-semi-space-size=2', MAIN, HOSTILE], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, SIGNALBOX_LOG_LEVEL: 'error', HOSTILE_UPLOADS: uploads },
    })
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`the node ended: ${code}`)))
    const [ready] = (await Promise.race([once(child, 'message'), ended])) as [Record<string, string>]
    ended.catch(() => {})
    const bus = new HostileBus(child, uploads, ready)
    await bus.#warm()
    return bus
  }

  /** Compiled code and the young generation grow with the first requests, attack or not. */
  async #warm(): Promise<void> {
    const load = new Load(`${this.url}/where`, 16)
    try {
      await load.spread(2)
      await until(() => load.ok > WARM_REQUESTS, 'it is warm', 60_000)
    } finally {
      await load.stop()
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await exited
    }
    await rm(this.uploads, { recursive: true, force: true })
  }

  ask<T>(verb: Verb): Promise<T> {
    const id = ++this.#lastId
    const asked = Promise.withResolvers<unknown>()
    this.#asked.set(id, asked)
    this.#child.send({ id, verb })
    return asked.promise as Promise<T>
  }

  /**
   * Runs an attack while honest clients are served. Afterwards no worker was replaced, no honest request failed, and
   * memory has not grown by more than `maxRiseMb`. Prints latency before and meanwhile, and how far memory rose.
   */
  async under(t: TestContext, attack: (load: Load) => Promise<void>, maxRiseMb = 256): Promise<void> {
    const load = new Load(`${this.url}/where`, 4)
    try {
      await load.spread(2)
      await until(() => load.ok > 200, 'honest clients are served before', 30_000)
      const before = await this.ask<Memory>('settle')
      const { replaced } = await this.ask<{ replaced: number }>('workers')
      const count = load.outcomes.length
      await attack(load)
      const meanwhile = load.outcomes.length
      await until(() => load.outcomes.length > meanwhile + 20, 'honest clients are served after', 30_000)
      const riseMb = Math.round(((await this.ask<number>('peak')) - before.rss) / MEBIBYTE)
      const keptMb = Math.round(((await this.ask<Memory>('settle')).held - before.held) / MEBIBYTE)
      const [p99Before, p99] = [load.p99(0, count), load.p99(count)]
      t.diagnostic(
        `honest p99 ${p99Before.toFixed(1)} ms before, ${p99.toFixed(1)} ms meanwhile; ` +
          `resident memory rose by ${riseMb} MB, ${keptMb} MB are still held`,
      )
      assert.deepEqual(load.failed, [], 'an honest request failed')
      assert.deepEqual(await this.ask('workers'), { replaced, ready: 2 })
      assert.ok(riseMb < maxRiseMb, `memory rose by ${riseMb} MB`)
      assert.ok(keptMb < MAX_KEPT_MB, `${keptMb} MB are still held`)
    } finally {
      await load.stop()
    }
  }

  /** Built-in classes of no worker have changed. */
  async assertPrototypes(): Promise<void> {
    assert.deepEqual(await this.ask('prototypes'), [[], []])
  }
}

/** A raw connection: it keeps what it got, and being cut off is no error. */
export class RawSocket {
  readonly socket: Socket
  /** The first of what came. */
  text = ''
  readonly openedMs = performance.now()
  closedMs: number | undefined
  readonly closed: Promise<void>

  constructor(port: number, localAddress?: string) {
    this.socket = net.connect({ port, host: '127.0.0.1', ...(localAddress && { localAddress }) })
    this.socket.setEncoding('latin1').on('data', (chunk: string) => {
      if (this.text.length < 65_536) this.text += chunk
    })
    this.socket.on('error', () => this.socket.destroy())
    this.closed = new Promise(resolve => {
      this.socket.once('close', () => {
        this.closedMs = performance.now()
        resolve()
      })
    })
  }

  /** Status of the first answer; NaN before it. */
  get status(): number {
    return Number(/^HTTP\/1\.1 (\d+)/.exec(this.text)?.[1])
  }

  /** Resolves with the first status, or undefined when the connection ended without one. */
  async answered(ms = 30_000): Promise<number | undefined> {
    await until(() => this.closedMs !== undefined || !Number.isNaN(this.status), 'answer or end', ms)
    return Number.isNaN(this.status) ? undefined : this.status
  }
}
