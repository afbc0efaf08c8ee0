/** A node in a process of its own, for the tests: echoes every message; `close` on standard input closes it. */
import { silentLogger } from '../telemetry/log.ts'
import { Net, type NetOptions } from './net.ts'

const options: Partial<NetOptions> & { nodeId: string } = JSON.parse(process.argv[2]!)
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`)

const net = new Net({
  peers: [],
  clients: [],
  log: silentLogger,
  ...options,
  keys: options.keys!,
  onFrames(from, frames) {
    net.send(from.id, frames)
  },
  onPeer(peer, state, reason) {
    say({ peer: peer.id, state, reason })
  },
})
say(await net.start())

process.stdin.once('data', async () => {
  process.stdin.destroy()
  await net.close()
  say({ closed: true })
})
