/** Moleculer between two processes over TCP: the peer of node to node. Its messages are not encrypted. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { ServiceBroker } from 'moleculer'
import { freePort } from '../test/free-port.ts'
import { inFlight, QUICK } from './measure.ts'
import { moleculer } from './peers.ts'

const LANES = 64
const CALLS = QUICK ? 640 : 64_000
const CALLS_ALONE = QUICK ? 100 : 3_000
const ORDER = { id: 1_000, customer: 'C-17', currency: 'EUR', total: 1_234.5, paid: false }

/** Two Moleculer nodes that know each other. */
export async function openMoleculer(): Promise<{
  /** Calls a second, 64 in flight. */
  callsPerSecond(): Promise<number>
  /** The median of calls one after the other, in microseconds. */
  aloneUs(): Promise<number>
  close(): Promise<void>
}> {
  const ports = { a: await freePort(), b: await freePort() }
  const child = fork(new URL(import.meta.url), [JSON.stringify(ports)])
  const broker = await moleculer({ name: 'caller' }, optionsOf('a', ports))
  await Promise.race([broker.waitForServices('remote'), ended(child)])
  return {
    callsPerSecond: () => callsPerSecond(broker),
    aloneUs: () => aloneUs(broker),
    close: async () => {
      child.kill()
      await broker.stop()
    },
  }
}

async function callsPerSecond(broker: ServiceBroker): Promise<number> {
  const start = performance.now()
  await inFlight(LANES, CALLS, () => broker.call('remote.echo', ORDER))
  return (CALLS / (performance.now() - start)) * 1000
}

async function aloneUs(broker: ServiceBroker): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < CALLS_ALONE; i++) {
    const start = performance.now()
    await broker.call('remote.echo', ORDER)
    times.push(performance.now() - start)
  }
  return times.sort((a, b) => a - b)[times.length >> 1]! * 1000
}

/** Nodes that know each other from the start: nothing is broadcast. */
function optionsOf(nodeID: 'a' | 'b', ports: { a: number; b: number }): object {
  const urls = Object.entries(ports).map(([id, port]) => `127.0.0.1:${port}/${id}`)
  return { nodeID, transporter: { type: 'TCP', options: { udpDiscovery: false, urls } } }
}

async function ended(child: ChildProcess): Promise<never> {
  const [code] = await once(child, 'exit')
  throw new Error(`the other Moleculer node ended with exit code ${code}`)
}

if (import.meta.main) {
  await moleculer(
    { name: 'remote', actions: { echo: context => context.params } },
    optionsOf('b', JSON.parse(process.argv[2]!)),
  )
  process.on('disconnect', () => process.exit())
}
