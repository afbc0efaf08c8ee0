/** The conformance harness of the memory transport: the other side is the transport's own. */
import { systemClock } from '../../core/clock.ts'
import { parseOptions } from '../../core/schema.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type { TransportContext } from '../../core/transport.ts'
import { bytesOf } from '../../test/conformance/messages.ts'
import type {
  ChannelEndpoint,
  ConnectionEndpoint,
  TestAnswer,
  TestMessage,
} from '../../test/conformance/transport.ts'
import { MemoryChannel } from './channel.ts'
import { MemoryConnection } from './connection.ts'
import { channelOptions, connectionOptions } from './options.ts'
import { queueSize } from './queue.ts'

let count = 0

const context: TransportContext = {
  name: 'outside',
  log: silentLogger,
  clock: systemClock,
  signal: new AbortController().signal,
  lost: () => {},
}

/** A queue that the suite's channels read and an outside connection fills. */
export async function openChannelEndpoint(): Promise<ChannelEndpoint> {
  const queue = `in-${count++}`
  const outside = new MemoryConnection(parseOptions(connectionOptions, { queue }, 'outside'), context)
  await outside.connect()
  return {
    options: { queue },
    async send({ payload, headers, cid, signal }) {
      const answer = await outside.send({ payload, headers, ...(cid && { cid }), ...(signal && { signal }) })
      return { payload: bytesOf(answer.payload), headers: answer.headers }
    },
    unsettled: async () => queueSize(queue),
    close: () => outside.close(),
  }
}

/** A queue that the suite's connections fill and an outside channel reads. */
export async function openConnectionEndpoint(): Promise<ConnectionEndpoint> {
  const queue = `out-${count++}`
  let handler: (message: TestMessage) => Promise<TestAnswer> = async ({ payload }) => ({
    payload,
    headers: {},
  })
  const peer = new MemoryChannel(parseOptions(channelOptions, { queue }, 'peer'), context)
  await peer.connect(async ({ payload, headers, cid, signal }) => {
    const message: TestMessage = { payload: bytesOf(payload), headers }
    if (cid) message.cid = cid
    if (signal instanceof AbortSignal) message.signal = signal
    return { ...(await handler(message)), cid: cid! }
  })
  return {
    options: { queue },
    answer(next) {
      handler = next
    },
    close: () => peer.close(),
  }
}
