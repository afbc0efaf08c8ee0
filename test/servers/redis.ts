/** Private Redis servers in temporary folders on free ports. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Redis, type RedisOptions } from 'ioredis'
import { findServer } from './require.ts'

const READY_MS = 10_000
const SENTINEL_CONF = 'sentinel.conf'

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
  /** Starts a Sentinel with this configuration. */
  sentinel?: string
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
    const { files = {}, sentinel } = options
    const conf = `port ${port}\nbind 127.0.0.1\nlogfile log\n${sentinel}\n`
    // A Sentinel writes into its configuration.
    if (sentinel !== undefined) writeFileSync(join(this.folder, SENTINEL_CONF), conf)
    for (const [name, content] of Object.entries(files)) writeFileSync(join(this.folder, name), content)
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
    const { args = [], tls = false, durable = true, sentinel } = this.#options
    if (sentinel !== undefined) return this.#run([SENTINEL_CONF, '--sentinel'])
    const listen = tls
      ? ['--port', '0', '--tls-port', String(this.port), '--tls-cert-file', 'cert.pem', '--tls-key-file',
         'key.pem', '--tls-ca-cert-file', 'ca.pem', '--tls-auth-clients', 'no'] // biome-ignore format: arguments
      : ['--port', String(this.port)]
    const keep = durable ? ['--appendonly', 'yes', '--appendfsync', 'always'] : []
    const all = [...listen, '--bind', '127.0.0.1', '--save', '', '--logfile', 'log', ...keep, ...args]
    await this.#run(all)
  }

  async #run(args: readonly string[]): Promise<void> {
    const child = spawn(findServer('redis-server')!, args, { cwd: this.folder, stdio: 'ignore' })
    this.#process = child
    await this.#ready(child)
  }

  /** Kills it as a power cut would. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Sends a signal: SIGSTOP makes it a server that takes connections and says nothing. */
  signal(signal: NodeJS.Signals): void {
    this.#process!.kill(signal)
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

/** Several servers that belong together. */
export interface RedisGroup {
  servers: RedisServer[]
  /** Addresses for clients, host:port. */
  nodes: string[]
  close(): Promise<void>
}

/** A cluster of three masters that share the slots. */
export async function startCluster(): Promise<RedisGroup> {
  const args = [
    '--cluster-enabled',
    'yes',
    '--cluster-config-file',
    'nodes.conf',
    '--cluster-node-timeout',
    '2000',
  ]
  const servers = await Promise.all([1, 2, 3].map(() => RedisServer.start({ args })))
  const nodes = servers.map(({ port }) => `127.0.0.1:${port}`)
  const group = { servers, nodes, close: () => closeAll(servers) }
  try {
    const create = ['--cluster', 'create', ...nodes, '--cluster-yes']
    await promisify(execFile)(findServer('redis-cli')!, create)
    for (const server of servers) {
      await answering(server, async client => /cluster_state:ok/.test(String(await client.cluster('INFO'))))
    }
    return group
  } catch (error) {
    await group.close()
    throw error
  }
}

/** A master with two replicas, and three Sentinels that watch it under the name `mymaster`. */
export async function startSentinels(): Promise<RedisGroup & { master: RedisServer }> {
  const master = await RedisServer.start()
  const replicaOf = ['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0']
  const servers = [master]
  const sentinels: RedisServer[] = []
  const close = () => closeAll([...sentinels, ...servers])
  try {
    for (let i = 0; i < 2; i++) servers.push(await RedisServer.start({ args: replicaOf }))
    const conf = [
      `sentinel monitor mymaster 127.0.0.1 ${master.port} 2`,
      'sentinel down-after-milliseconds mymaster 1000',
      'sentinel failover-timeout mymaster 5000',
    ].join('\n')
    for (let i = 0; i < 3; i++) sentinels.push(await RedisServer.start({ sentinel: conf }))
    for (const sentinel of sentinels) await answering(sentinel, ready)
    return { servers, master, nodes: sentinels.map(({ port }) => `127.0.0.1:${port}`), close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A Sentinel that knows all others. */
async function ready(client: Redis): Promise<boolean> {
  const [about] = (await client.call('sentinel', 'MASTERS')) as string[][]
  const value = (name: string) => about![about!.indexOf(name) + 1]
  if (value('num-slaves') !== '2' || value('num-other-sentinels') !== '2') return false
  return String(await client.call('sentinel', 'CKQUORUM', 'mymaster')).startsWith('OK')
}

async function answering(server: RedisServer, condition: (client: Redis) => Promise<boolean>): Promise<void> {
  const client = server.client()
  const end = performance.now() + 3 * READY_MS
  try {
    while (!(await condition(client))) {
      if (performance.now() > end)
        throw new Error(`the servers did not come together; see ${server.folder}/log`)
      await sleep(20)
    }
  } finally {
    client.disconnect()
  }
}

async function closeAll(servers: readonly RedisServer[]): Promise<void> {
  await Promise.all(servers.map(server => server.close()))
}
