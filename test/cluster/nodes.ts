/** Nodes of a cluster in processes of their own, for tests that end and stop them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Client, type CurveKeys, connect, makeCurveKeys } from '../../core/router/client.ts'
import { until } from '../load.ts'

export type NodeName = 'east' | 'west'

const MAIN = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
const NAMES: readonly NodeName[] = ['east', 'west']

/** Keys and ports of two nodes and of one program, and the processes of the nodes. */
export class TwoNodes {
  readonly clientKeys = makeCurveKeys()
  readonly keys: Record<NodeName, CurveKeys> = { east: makeCurveKeys(), west: makeCurveKeys() }
  readonly #ports: Record<NodeName, number>
  readonly #children = new Map<NodeName, ChildProcess>()
  readonly #clients: Client[] = []
  readonly #outputs = new Map<NodeName, string>()

  private constructor(ports: Record<NodeName, number>) {
    this.#ports = ports
  }

  static async create(): Promise<TwoNodes> {
    const [east, west] = await freePorts()
    return new TwoNodes({ east, west })
  }

  /** Starts a node and resolves when it serves. */
  async start(name: NodeName, options: { workers?: number } = {}): Promise<number> {
    const args = [
      MAIN,
      'start',
      projectOf(name),
      ...(options.workers ? ['--workers', String(options.workers)] : []),
    ]
    const child = spawn(process.execPath, args, {
      env: {
        ...process.env,
        ...this.environment(),
        SIGNALBOX_LOG_LEVEL: process.env.SIGNALBOX_LOG_LEVEL ?? 'fatal',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#children.set(name, child)
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (data: string) => {
      output += data
      this.#outputs.set(name, output)
    })
    await until(
      () => /nodes and programs attach at/.test(output) || child.exitCode !== null,
      `${name} has started`,
      30_000,
    )
    if (child.exitCode !== null) throw new Error(`${name} did not start: ${output}`)
    return child.pid!
  }

  /** What a node has written to standard output. */
  outputOf(name: NodeName): string {
    return this.#outputs.get(name) ?? ''
  }

  endpointOf(name: NodeName): string {
    return `tcp://127.0.0.1:${this.#ports[name]}`
  }

  /** Attaches to a node. */
  async connect(name: NodeName, timeoutMs = 15_000): Promise<Client> {
    const client = await connect({
      endpoint: this.endpointOf(name),
      serverKey: this.keys[name].publicKey,
      name: 'tester',
      keys: this.clientKeys,
      timeoutMs,
    })
    this.#clients.push(client)
    return client
  }

  signal(name: NodeName, signal: NodeJS.Signals): void {
    this.#children.get(name)?.kill(signal)
  }

  /** Ends the process of a node at once. */
  async kill(name: NodeName): Promise<void> {
    await this.end(name, 'SIGKILL')
  }

  /** Ends the process of a node; the exit code. */
  async end(name: NodeName, signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#children.get(name)
    if (!child) return null
    this.#children.delete(name)
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit')
      child.kill(signal)
      await exited
    }
    return child.exitCode
  }

  /** Ends everything. */
  async close(): Promise<void> {
    await Promise.all(this.#clients.map(client => client.close()))
    await Promise.all(NAMES.map(name => this.kill(name)))
  }

  /** What the projects of the nodes refer to. */
  environment(): Record<string, string> {
    const entries = NAMES.flatMap(name => {
      const prefix = `CLUSTER_${name.toUpperCase()}`
      const { publicKey, secretKey } = this.keys[name]
      return [
        [`${prefix}_PORT`, String(this.#ports[name])],
        [`${prefix}_PUBLIC`, publicKey],
        [`${prefix}_SECRET`, secretKey],
      ]
    })
    return { ...Object.fromEntries(entries), CLUSTER_CLIENT_PUBLIC: this.clientKeys.publicKey }
  }
}

/** The folder of a node's project. */
export function projectOf(name: NodeName): string {
  return fileURLToPath(new URL(`../projects/${name}`, import.meta.url))
}

/** Two ports that are free now. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()] as const
  const ports = await Promise.all(
    servers.map(async server => {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return (server.address() as AddressInfo).port
    }),
  )
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
  return ports as [number, number]
}
