/** A node in a process of its own, as `signalbox start` starts it: for tests that kill and restart it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './load.ts'

const MAIN = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
const ADMIN = /admin API {2}(\S+)/

export class SpawnedNode {
  /** Where the admin API listens. */
  readonly url: string
  readonly token: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string, token: string) {
    this.#child = child
    this.url = url
    this.token = token
  }

  /** Starts the project of a folder with its state below another one; resolves once the node has started. */
  static async start(project: string, state: string, env: Record<string, string> = {}): Promise<SpawnedNode> {
    const child = spawn(process.execPath, [MAIN, 'start', project], {
      env: {
        ...process.env,
        SIGNALBOX_STATE_DIR: state,
        SIGNALBOX_LOG_LEVEL: process.env.SIGNALBOX_LOG_LEVEL ?? 'silent',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', data => {
      output += data
    })
    await until(() => ADMIN.test(output), 'the node has started')
    const [name] = await readdir(state)
    const token = (await readFile(join(state, name!, 'admin-token'), 'utf8')).trim()
    return new SpawnedNode(child, ADMIN.exec(output)![1]!, token)
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill(signal)
    await ended
  }

  /** A request to the admin API with its token. */
  admin(method: string, path: string, body?: string, type = 'text/plain'): Promise<Response> {
    const headers = {
      authorization: `Bearer ${this.token}`,
      ...(body !== undefined && { 'content-type': type }),
    }
    return fetch(`${this.url}${path}`, { method, headers, ...(body !== undefined && { body }) })
  }
}
