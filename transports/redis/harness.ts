/** The conformance harness of Redis: a real server, reached by the bare client. */
import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { otherCa, serverCertificate, testCa } from '../../test/certificates/certificates.ts'
import type {
  ChannelEndpoint,
  ConnectionEndpoint,
  TestAnswer,
  TestMessage,
  TestPeer,
} from '../../test/conformance/transport.ts'
import { until } from '../../test/conformance/wait.ts'
import type { RedisServer, RedisServerOptions } from '../../test/servers/redis.ts'

export type Mode = 'stream' | 'list' | 'pubsub'

const PASSWORD = 'right-password'

/** A server with TLS and a password, which the suite stops and starts. */
export const SERVER: RedisServerOptions = {
  tls: true,
  args: ['--requirepass', PASSWORD],
  files: { 'cert.pem': serverCertificate.cert, 'key.pem': serverCertificate.key, 'ca.pem': testCa },
  client: { password: PASSWORD, tls: { ca: testCa } },
}

/** What both sides need to reach {@link SERVER}. */
export function optionsOf(server: RedisServer) {
  return {
    url: server.url,
    password: PASSWORD,
    tls: { ca: testCa },
    commandTimeoutMs: 2_000,
    keyPrefix: 'test:',
  }
}

function faults(server: RedisServer) {
  return {
    badCredentials: { password: 'wrong' },
    badCertificate: { tls: { ca: otherCa } },
    peer: { stop: () => server.kill(), start: () => server.start() },
  }
}

/** A key that a channel of this mode reads. */
export function openChannelEndpoint(server: RedisServer, mode: Mode) {
  return async (): Promise<ChannelEndpoint> => {
    const key = randomUUID()
    const full = `test:${key}`
    const outside = server.client()
    const redelivery = { redeliveryDelayMs: 5, claimIdleMs: 300 }
    const source = {
      stream: { name: key, group: 'suite', start: '0', ...redelivery },
      list: { name: key, ...redelivery },
      pubsub: { channels: [key] },
    }[mode]
    return {
      ...faults(server),
      options: { ...optionsOf(server), [mode]: source, service: 'suite' },
      send: async message => {
        await put(outside, mode, full, message)
        return undefined
      },
      ...(mode === 'stream' && { unsettled: () => unsettledOfStream(outside, full) }),
      ...(mode === 'list' && { unsettled: () => unsettledOfList(outside, full) }),
      close: async () => outside.disconnect(),
    }
  }
}

async function put(
  outside: Redis,
  mode: Mode,
  key: string,
  { payload, headers, cid }: TestMessage,
): Promise<void> {
  if (mode === 'list') await outside.rpush(key, payload)
  else if (mode === 'pubsub') await outside.publish(key, payload)
  else {
    const fields = Object.entries({ ...headers, ...(cid !== undefined && { cid }) }).flat()
    await outside.xadd(key, '*', 'payload', payload, ...fields)
  }
}

async function unsettledOfStream(outside: Redis, key: string): Promise<number> {
  const [info] = (await outside.xinfo('GROUPS', key)) as unknown[][]
  const value = (name: string) => Number(info![info!.indexOf(name) + 1])
  return value('pending') + value('lag')
}

async function unsettledOfList(outside: Redis, key: string): Promise<number> {
  const lists = await outside.keys(`{${key}}:under-way:*`)
  const lengths = await Promise.all([key, ...lists].map(list => outside.llen(list)))
  return lengths.reduce((sum, length) => sum + length, 0)
}

/** A place that a connection sends to, and that a bare client reads. */
export function openConnectionEndpoint(server: RedisServer, mode: Mode) {
  return async (): Promise<ConnectionEndpoint> => {
    const key = randomUUID()
    let handler: (message: TestMessage) => Promise<TestAnswer> = async () => ({
      payload: Buffer.alloc(0),
      headers: {},
    })
    const reader = server.client()
    let closed = false
    const arrived = (message: TestMessage) => void handler(message)
    const full = `test:${key}`
    const reading =
      mode === 'pubsub' ? subscribe(reader, full, arrived) : read(reader, mode, full, arrived, () => closed)
    if (mode === 'pubsub') await reading
    else reading.catch(() => {})
    return {
      ...faults(server),
      ...(mode === 'pubsub' && { peer: subscribedPeer(server, full) }),
      options: optionsOf(server),
      attributes: { [mode === 'pubsub' ? 'channel' : mode]: key },
      answer: next => {
        handler = next
      },
      close: async () => {
        closed = true
        reader.disconnect()
      },
    }
  }
}

/** A server that is back when its subscribers are: what is published before is gone. */
function subscribedPeer(server: RedisServer, channel: string): TestPeer {
  return {
    stop: () => server.kill(),
    async start() {
      await server.start()
      const outside = server.client()
      try {
        await until(
          async () => ((await outside.pubsub('NUMSUB', channel)) as unknown[])[1] === 1,
          'subscribed again',
        )
      } finally {
        outside.disconnect()
      }
    },
  }
}

async function subscribe(
  reader: Redis,
  channel: string,
  arrived: (message: TestMessage) => void,
): Promise<void> {
  reader.on('messageBuffer', (_channel: Buffer, payload: Buffer) => arrived({ payload, headers: {} }))
  await reader.subscribe(channel)
}

async function read(
  reader: Redis,
  mode: 'stream' | 'list',
  key: string,
  arrived: (message: TestMessage) => void,
  closed: () => boolean,
): Promise<void> {
  let after = '0'
  while (!closed()) {
    try {
      if (mode === 'list') {
        const taken = await reader.blpopBuffer(key, 1)
        if (taken) arrived({ payload: taken[1], headers: {} })
        continue
      }
      const reply = await reader.xreadBuffer('COUNT', 100, 'BLOCK', 1_000, 'STREAMS', key, after)
      const entries = (reply as unknown as [Buffer, [Buffer, Buffer[]][]][] | null)?.[0]?.[1] ?? []
      for (const [id, fields] of entries) {
        after = String(id)
        arrived(messageOf(fields))
      }
    } catch (error) {
      // The server was stopped by the scenario; the client connects again.
      if (closed()) return
      await new Promise(resolve => setTimeout(resolve, 5, error))
    }
  }
}

function messageOf(fields: Buffer[]): TestMessage {
  const headers: Record<string, string> = {}
  let payload = Buffer.alloc(0)
  for (let i = 0; i < fields.length; i += 2) {
    const name = String(fields[i])
    if (name === 'payload') payload = Buffer.from(fields[i + 1]!)
    else headers[name] = String(fields[i + 1])
  }
  return { payload, headers, ...(headers.cid !== undefined && { cid: headers.cid }) }
}
