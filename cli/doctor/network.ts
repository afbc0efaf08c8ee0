/** Checks of ports and of the network of the system. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { Project } from '../project.ts'
import { transportNamed } from '../transport-named.ts'
import type { Check } from './check.ts'

interface Port {
  owner: string
  host: string | undefined
  port: number
}

/** `held`: where the node that runs listens, e.g. `http://127.0.0.1:7710`. */
export function ports(project: Project, held: () => Promise<readonly string[]>): Check {
  return {
    id: 'ports',
    title: 'ports',
    run: async () => {
      const wanted = portsOf(project)
      const ours = new Set((await held()).map(portOf))
      const taken: string[] = []
      let running = 0
      for (const { owner, host, port } of wanted) {
        const problem = await listenProblem(host, port)
        if (problem === undefined) continue
        if (problem === 'EADDRINUSE' && ours.has(port)) running++
        else taken.push(`${owner} wants ${host ?? '*'}:${port}, but: ${problem}`)
      }
      return {
        status: taken.length > 0 ? 'fail' : 'ok',
        detail:
          taken.join('; ') ||
          `${wanted.length} ports, ${running} held by the node that runs, the others free`,
        why: 'A channel that cannot listen gets no messages.',
        fix: `ss -ltnp 'sport = :${wanted[0]?.port ?? 0}'  shows who holds it; choose another port in signalbox.yaml`,
      }
    },
  }
}

/** Where a project listens, apart from port 0, which is any free one. */
export function portsOf({ channels, network }: Project): Port[] {
  const found: Port[] = channels.flatMap(({ name, type, options }) => {
    const { host, port } = options as { host?: unknown; port?: unknown }
    if (typeof port !== 'number' || transportNamed(type).channel?.placement !== 'everyWorker') return []
    return [{ owner: `channel/${type}/${name}`, host: typeof host === 'string' ? host : undefined, port }]
  })
  if (network) found.push({ owner: 'network', host: network.host ?? '127.0.0.1', port: network.port })
  return found.filter(({ port }) => port !== 0)
}

function portOf(endpoint: string): number {
  const url = URL.parse(endpoint)
  const usual = url?.protocol === 'https:' || url?.protocol === 'wss:' ? 443 : 80
  return Number(url?.port || usual)
}

function listenProblem(host: string | undefined, port: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ port, exclusive: true, ...(host !== undefined && { host }) }, () =>
      server.close(() => resolve(undefined)),
    )
  })
}

export function tcpMigrate(path = '/proc/sys/net/ipv4/tcp_migrate_req'): Check {
  return {
    id: 'tcp-migrate-req',
    title: 'tcp_migrate_req',
    run: async () => {
      const value = await readFile(path, 'utf8').then(
        text => text.trim(),
        () => undefined,
      )
      return {
        status: value === '0' ? 'warn' : 'ok',
        detail: value === undefined ? 'this kernel does not have it' : `is ${value}`,
        why: 'When a worker is taken away, clients that connect in that moment lose their connection.',
        fix: 'sudo sysctl -w net.ipv4.tcp_migrate_req=1',
      }
    },
  }
}
