/** Private Redis servers in temporary folders on free ports. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis, type RedisOptions } from 'ioredis'
import { findServer } from './require.ts'

const READY_MS = 10_000

/** How a server is started. */
export interface RedisServerOptions {
  /** Arguments of redis-server beside address, folder and persistence. */
  args?: readonly string[]
  /** Files in its folder, by name; arguments may name them. */
  files?: Readonly<Record<string, string>>
  /** Listens for TLS only, with `cert.pem`, `key.pem` and `ca.pem` of `files`. */
  tls?: boolean
  /** How a client of the tests reaches it; with TLS and passwords. */
  client?: RedisOptions
  /** Writes everything to disk before it answers. Default: true. */
  durable?: boolean
}

/** A server of its own. */
export class RedisServer {
  readonly port: number
  readonly folder: string
  readonly #options: RedisServerOptions
  #process: ChildProcess | undefined

  private constructor(port: number, options: RedisServerOptions) {
    this.port = port
    this.#options = options
    this.folder = mkdtempSync(join(tmpdir(), 'signalbox-redis-'))
    for (const [name, content] of Object.entries(options.files ?? {}))
      writeFileSync(join(this.folder, name), content)
  }

  /** Starts a server and waits until it answers. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), options)
    await server.start()
    return server
  }

  get url(): string {
    return `${this.#options.tls ? 'rediss' : 'redis'}://127.0.0.1:${this.port}`
  }

  /** Starts it again, on the same port with the same data. */
  async start(): Promise<void> {
    const { args = [], tls = false, durable = true } = this.#options
    const listen = tls
      ? ['--port', '0', '--tls-port', String(this.port), '--tls-cert-file', 'cert.pem', '--tls-key-file',
         'key.pem', '--tls-ca-cert-file', 'ca.pem', '--tls-auth-clients', 'no'] // biome-ignore format: arguments
      : ['--port', String(this.port)]
    const keep = durable ? ['--appendonly', 'yes', '--appendfsync', 'always'] : []
    const program = findServer('redis-server')!
    const all = [...listen, '--bind', '127.0.0.1', '--save', '', '--logfile', 'log', ...keep, ...args]
    const child = spawn(program, all, { cwd: this.folder, stdio: 'ignore' })
    this.#process = child
    await this.#ready(child)
  }

  /** Kills it as a power cut would. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Stops it and removes its folder. */
  async close(): Promise<void> {
    await this.#end('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** A client of the library itself, as programs outside the bus have it. Failures show in its commands. */
  client(): Redis {
    const client = new Redis({
      host: '127.0.0.1',
      port: this.port,
      protocol: 2,
      lazyConnect: true,
      retryStrategy: times => Math.min(times * 20, 200),
      ...this.#options.client,
    })
    client.on('error', () => {})
    return client
  }

  async #ready(child: ChildProcess): Promise<void> {
    const client = this.client()
    const end = performance.now() + READY_MS
    try {
      for (;;) {
        if (child.exitCode !== null)
          throw new Error(`redis-server ended with ${child.exitCode}; see ${this.folder}/log`)
        try {
          await client.ping()
          return
        } catch (error) {
          // A server that loads its data or wants a login answers, or will soon.
          if (performance.now() > end) throw error
          await sleep(10)
        }
      }
    } finally {
      client.disconnect()
    }
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
}

/** A port that is free now; low enough for the bus of a cluster, which is 10,000 above. */
export async function freePort(): Promise<number> {
  for (;;) {
    const probe = createServer().listen(0, '127.0.0.1')
    await once(probe, 'listening')
    const { port } = probe.address() as { port: number }
    probe.close()
    await once(probe, 'close')
    if (port < 55_000) return port
  }
}
