/** Starts a project in a process of its own for the tests of hot deployment, and calls it at a steady rate. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('./deploy-node.ts', import.meta.url))
/** What services import. */
export const CORE = new URL('../../core/index.ts', import.meta.url).href
const ROUTES = ['version', 'gone', 'shared', 'slow']

export interface Deployed {
  file: string
  name: string
  version: string
}

interface WorkerSeen {
  state: string
  place: string
}

/** A node with two workers whose services are deployed while it runs. */
export class DeployBus {
  /** The project's folder. */
  readonly root: string
  /** Where the HTTP channel listens. */
  readonly url: string
  readonly admin: string
  readonly token: string
  readonly #home: string
  readonly #child: ChildProcess
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>()
  #lastId = 0

  private constructor(
    home: string,
    child: ChildProcess,
    ready: { url: string; admin: string },
    token: string,
  ) {
    this.#home = home
    this.root = join(home, 'project')
    this.#child = child
    this.url = ready.url
    this.admin = ready.admin
    this.token = token
    child.on('message', ({ id, value, error }: { id: number; value?: unknown; error?: WireError }) => {
      const asked = this.#asked.get(id)
      this.#asked.delete(id)
      if (error === undefined) asked?.resolve(value)
      else asked?.reject(Object.assign(new Error(error.message), error))
    })
    child.once('exit', (code, signal) => {
      for (const asked of this.#asked.values()) asked.reject(new Error(`the node ended: ${code ?? signal}`))
      this.#asked.clear()
    })
  }

  /** Starts it on these files of the project. */
  static async start(files: Record<string, string>): Promise<DeployBus> {
    const home = await mkdtemp(join(tmpdir(), 'signalbox-deploy-'))
    const routes = ROUTES.map(name => `{ path: /${name}, service: ${name} }`).join(', ')
    const yaml = `workers: 2
admin: { port: 0 }
channels:
  - { name: public, type: http, options: { port: 0, routes: [${routes}] } }
`
    for (const [path, text] of Object.entries({ 'signalbox.yaml': yaml, ...files })) {
      await mkdir(dirname(join(home, 'project', path)), { recursive: true })
      await writeFile(join(home, 'project', path), text)
    }
    const state = join(home, 'state')
    // The young generations of the threads are small, so that what is measured is what is kept.
    const args = ['--expose-gc', '--max-semi-space-size=2', MAIN, join(home, 'project'), state]
    const child = spawn(process.execPath, args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: {
        ...process.env,
        SIGNALBOX_LOG_LEVEL: process.env.SIGNALBOX_LOG_LEVEL ?? 'silent',
        XDG_CACHE_HOME: join(home, 'cache'),
      },
    })
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`the node ended: ${code}`)))
    const [ready] = (await Promise.race([once(child, 'message'), ended])) as [{ url: string; admin: string }]
    ended.catch(() => {})
    const token = (await readFile(join(state, 'admin-token'), 'utf8')).trim()
    return new DeployBus(home, child, ready, token)
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGKILL')
      await exited
    }
    await rm(this.#home, { recursive: true, force: true })
  }

  deploy(file: string, source: string): Promise<Deployed> {
    return this.#ask('deploy', { file, source })
  }

  remove(file: string): Promise<void> {
    return this.#ask('remove', file)
  }

  /** Version of a file in each worker that takes messages; null where it has none. */
  versions(file: string): Promise<(string | null)[]> {
    return this.#ask('versions', file)
  }

  workers(): Promise<WorkerSeen[]> {
    return this.#ask('workers')
  }

  /** How many workers died. */
  replaced(): Promise<number> {
    return this.#ask('replaced')
  }

  /** Resident memory in MiB after a collection, when it does not fall any more. */
  memory(): Promise<number> {
    return this.#ask('memory')
  }

  /** Saves a file of the project, as an editor does. */
  save(path: string, text: string): Promise<void> {
    return writeFile(join(this.root, path), text)
  }

  #ask<T>(verb: string, payload?: unknown): Promise<T> {
    const id = ++this.#lastId
    const asked = Promise.withResolvers<unknown>()
    this.#asked.set(id, asked)
    this.#child.send({ id, verb, payload })
    return asked.promise as Promise<T>
  }
}

interface WireError {
  code?: string
  message: string
}

/** Source of a service that says which version answers, before and after it has waited. */
export function source(version: number, waitMs = 1): string {
  return `import { Service, Type } from '${CORE}'
import { setTimeout } from 'node:timers/promises'
const version = ${version}
const Version = Type.Literal(version)
export default class extends Service {
  static output = Type.Object({ before: Version, after: Version })
  async handle() {
    const before = version
    await setTimeout(${waitMs})
    return { before, after: ${version} }
  }
}
`
}

/** What a service of {@link source} answers. */
export interface Answer {
  before: number
  after: number
}

/** A steady rate of requests, whatever becomes of them, over connections that are kept alive. */
export class SteadyLoad implements AsyncDisposable {
  ok = 0
  /** What went wrong, in words. */
  readonly failed: string[] = []
  readonly #url: string
  readonly #agents: Agent[]
  /** Newest version that was seen on each connection. */
  readonly #newest: number[]
  readonly #started = performance.now()
  readonly #perSecond: number
  readonly #timer: NodeJS.Timeout
  readonly #underWay = new Set<Promise<void>>()
  #sent = 0

  constructor(url: string, perSecond: number, connections = 16) {
    this.#url = url
    this.#perSecond = perSecond
    this.#agents = Array.from({ length: connections }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
    this.#newest = this.#agents.map(() => 0)
    this.#timer = setInterval(() => this.#turn(), 5)
  }

  /** Requests a second so far. */
  get rate(): number {
    return (1000 * this.ok) / (performance.now() - this.#started)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#underWay)
    for (const agent of this.#agents) agent.destroy()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #turn(): void {
    const due = ((performance.now() - this.#started) / 1000) * this.#perSecond
    while (this.#sent < due) {
      const running: Promise<void> = this.#one(this.#sent++ % this.#agents.length).finally(() => {
        this.#underWay.delete(running)
      })
      this.#underWay.add(running)
    }
  }

  async #one(line: number): Promise<void> {
    try {
      const { reused, status, text } = await get(this.#url, this.#agents[line]!)
      if (status !== 200) throw new Error(`${status}: ${text}`)
      const { before, after } = JSON.parse(text) as Answer
      if (before !== after) throw new Error(`a call began in version ${before} and ended in ${after}`)
      // Another connection may lead to a worker that is some milliseconds behind.
      if (reused && after < this.#newest[line]!) {
        throw new Error(`version ${after} answered after ${this.#newest[line]} on the same connection`)
      }
      this.#newest[line] = after
      this.ok++
    } catch (error) {
      this.failed.push(`${new Date().toISOString()} ${(error as Error).message}`)
    }
  }
}

interface Got {
  reused: boolean
  status: number
  text: string
}

function get(url: string, agent: Agent): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', part => {
        text += part
      })
      response.on('error', reject)
      response.on('end', () => resolve({ reused: sent.reusedSocket, status: response.statusCode!, text }))
    })
    sent.setTimeout(40_000, () => sent.destroy(new Error('timed out')))
    sent.on('error', reject)
    sent.end()
  })
}
