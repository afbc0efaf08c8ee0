/** Private RabbitMQ servers: a temporary folder, free ports, an epmd of their own, nothing left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { serverCertificate, testCa, untrustedCertificate } from '../certificates/certificates.ts'
import { type ServerTestOptions, serverTest } from './require.ts'

const BIN = '/usr/lib/rabbitmq/bin'
const START_MS = 60_000
const STOP_MS = 30_000

/** A user that may do everything in `/` and in {@link VHOST}. */
export const RABBIT_USER = 'bus'
export const RABBIT_PASSWORD = 'p:a@s/s'
/** A user with a password who may do nothing. */
export const RABBIT_STRANGER = 'stranger'
/** A second virtual host, with a name that must be escaped in a URL. */
export const VHOST = 'tenant/one'

/** Options for a test or suite that needs RabbitMQ. */
export function rabbitTest(): ServerTestOptions {
  return serverTest('rabbitmq-server')
}

export interface RabbitOptions {
  /** The certificate of the TLS listener: the test authority's own, or one that does not verify. Default: its own. */
  certificate?: 'trusted' | 'untrusted'
  /** Lines for rabbitmq.conf. */
  config?: readonly string[]
}

/** A server; it may be stopped, killed and started again under the same ports, and keeps its messages. */
export class RabbitServer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'signalbox-rabbit-'))
  readonly #options: RabbitOptions
  #ports: { amqp: number; tls: number; dist: number; epmd: number } | undefined
  #epmd: ChildProcess | undefined
  #server: ChildProcess | undefined

  constructor(options: RabbitOptions) {
    this.#options = options
  }

  static async start(options: RabbitOptions = {}): Promise<RabbitServer> {
    const server = new RabbitServer(options)
    const [amqp, tls, dist, epmd] = await freePorts(4)
    server.#ports = { amqp: amqp!, tls: tls!, dist: dist!, epmd: epmd! }
    try {
      server.#writeFiles()
      await server.#startEpmd()
      await server.start()
    } catch (error) {
      await server.close()
      throw error
    }
    return server
  }

  get port(): number {
    return this.#ports!.amqp
  }

  get url(): string {
    return `amqp://127.0.0.1:${this.port}`
  }

  get tlsUrl(): string {
    return `amqps://127.0.0.1:${this.#ports!.tls}`
  }

  /** Starts it again after `stop` or `kill`; resolves when it takes connections. */
  async start(): Promise<void> {
    // It ends with this process, however that ends. The variable lets the script become the server.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', join(BIN, 'rabbitmq-server')], {
      env: { ...this.#env(), RUNNING_UNDER_SYSTEMD: '1' },
      detached: true,
      stdio: 'pipe',
    })
    this.#server = child
    let output = ''
    child.stdout.on('data', chunk => {
      output += chunk
    })
    child.stderr.on('data', chunk => {
      output += chunk
    })
    const end = performance.now() + START_MS
    while (!output.includes('Starting broker... completed')) {
      if (child.exitCode !== null || performance.now() > end)
        throw new Error(`RabbitMQ did not start:\n${output}`)
      await sleep(20)
    }
  }

  /** Stops it in order. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** kill -9, as when the machine dies. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Runs rabbitmqctl on it and returns what it prints. */
  async control(...args: string[]): Promise<string> {
    const child = spawn(join(BIN, 'rabbitmqctl'), ['-q', '-n', this.#nodeName(), ...args], {
      env: this.#env(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const output: Buffer[] = []
    child.stdout.on('data', chunk => output.push(chunk))
    child.stderr.on('data', chunk => output.push(chunk))
    const [code] = (await once(child, 'close')) as [number]
    const text = Buffer.concat(output).toString()
    if (code !== 0) throw new Error(`rabbitmqctl ${args.join(' ')}: ${text}`)
    return text
  }

  /** Stops everything and removes the folder. */
  async close(): Promise<void> {
    await this.#end('SIGKILL')
    const epmd = this.#epmd
    this.#epmd = undefined
    if (epmd && epmd.exitCode === null && epmd.signalCode === null) {
      epmd.kill('SIGKILL')
      await once(epmd, 'exit')
    }
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#server
    this.#server = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const closed = once(child, 'close')
    // SIGKILL has to reach its helpers too, so the whole group gets it.
    process.kill(signal === 'SIGKILL' ? -child.pid! : child.pid!, signal)
    const late = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), STOP_MS)
    await closed
    clearTimeout(late)
  }

  #nodeName(): string {
    return `t${this.port}@localhost`
  }

  #env(): NodeJS.ProcessEnv {
    const folder = this.#folder
    const { dist, epmd } = this.#ports!
    return {
      PATH: process.env.PATH,
      LANG: 'C.UTF-8',
      HOME: folder,
      RABBITMQ_NODENAME: this.#nodeName(),
      RABBITMQ_DIST_PORT: String(dist),
      ERL_EPMD_PORT: String(epmd),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
      RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
      RABBITMQ_PID_FILE: join(folder, 'pid'),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      // One scheduler thread that does not spin: tests share few cores with it.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none',
    }
  }

  #writeFiles(): void {
    const { amqp, tls } = this.#ports!
    const folder = this.#folder
    mkdirSync(join(folder, 'log'))
    const { cert, key } = this.#options.certificate === 'untrusted' ? untrustedCertificate : serverCertificate
    const files = {
      enabled_plugins: '[].\n',
      'ca.pem': testCa,
      'cert.pem': cert,
      'key.pem': key,
      'definitions.json': JSON.stringify(definitions()),
      'rabbitmq.conf': [
        `listeners.tcp.1 = 127.0.0.1:${amqp}`,
        `listeners.ssl.1 = 127.0.0.1:${tls}`,
        `ssl_options.cacertfile = ${folder}/ca.pem`,
        `ssl_options.certfile = ${folder}/cert.pem`,
        `ssl_options.keyfile = ${folder}/key.pem`,
        'ssl_options.verify = verify_peer',
        'ssl_options.fail_if_no_peer_cert = false',
        'loopback_users = none',
        `load_definitions = ${folder}/definitions.json`,
        'vm_memory_high_watermark.absolute = 2GB',
        'disk_free_limit.absolute = 1MB',
        ...(this.#options.config ?? []),
        '',
      ].join('\n'),
    }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  }

  /** RabbitMQ would start one that stays for ever. */
  async #startEpmd(): Promise<void> {
    const { epmd } = this.#ports!
    this.#epmd = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', 'epmd', '-port', String(epmd), '-address', '127.0.0.1'],
      { stdio: 'ignore' },
    )
    const end = performance.now() + START_MS
    while (!(await answers(epmd))) {
      if (performance.now() > end) throw new Error('epmd did not start')
      await sleep(20)
    }
  }
}

function definitions(): object {
  const all = { configure: '.*', write: '.*', read: '.*' }
  const none = { configure: '^$', write: '^$', read: '^$' }
  const user = (name: string) => ({ name, password: RABBIT_PASSWORD, tags: '' })
  return {
    users: [user(RABBIT_USER), user(RABBIT_STRANGER)],
    vhosts: [{ name: '/' }, { name: VHOST }],
    permissions: [
      { user: RABBIT_USER, vhost: '/', ...all },
      { user: RABBIT_USER, vhost: VHOST, ...all },
      { user: RABBIT_STRANGER, vhost: '/', ...none },
    ],
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect({ host: '127.0.0.1', port }, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

/** All are held at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map(server => once(server, 'listening')))
  const ports = servers.map(server => (server.address() as net.AddressInfo).port)
  await Promise.all(servers.map(server => once(server.close(), 'close')))
  return ports
}
