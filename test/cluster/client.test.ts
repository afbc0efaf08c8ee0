/** Programs outside the bus: what they may do, and how they fare when their node goes away and comes back. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ActorSystem } from '../../core/actor/index.ts'
import type { SignalboxError } from '../../core/errors.ts'
import { type Client, connect, makeCurveKeys } from '../../core/router/client.ts'
import { NetClient } from '../../core/router/net.ts'
import { placeOfClient } from '../../core/router/place.ts'
import { BATCH, decodeHeader, encodeHeader } from '../../core/router/router-frames.ts'
import { type Forwarded, RouterPipes } from '../../core/router/router-pipe.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import { WorkerRouter } from '../../core/worker/worker-router.ts'
import { until } from '../load.ts'
import { TwoNodes } from './nodes.ts'

let nodes: TwoNodes
let client: Client
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signalbox-client-'))
  nodes = await TwoNodes.create()
  await nodes.start('west')
  client = await nodes.connect('west')
})
after(async () => {
  await nodes.close()
  await rm(folder, { recursive: true })
})

test('knows the services and calls them', async () => {
  assert.deepEqual(client.services(), ['account', 'leastBusy', 'relay', 'remote', 'roundRobin', 'single'])
  assert.equal(client.connected, true)
  const bytes = Buffer.alloc(5 * 1024 * 1024, 'payload')
  const answer = await client.invoke<{ bytes: Buffer }>('remote', { action: 'echo', bytes })
  assert.ok(bytes.equals(answer.bytes))
})

test('many large calls at once all succeed', async () => {
  const bytes = Buffer.alloc(5 * 1024 * 1024, 'payload')
  const calls = Array.from({ length: 24 }, () =>
    client.invoke<{ bytes: Buffer }>('remote', { action: 'echo', bytes }),
  )
  for (const { bytes: answer } of await Promise.all(calls)) assert.equal(answer.byteLength, bytes.byteLength)
})

test('the service sees who calls, whatever the program says of itself', async () => {
  const options = { headers: { 'x-shop': '7' }, cid: 'order-7' }
  assert.deepEqual(await client.invoke('remote', { action: 'identity' }, options), {
    identity: { name: 'tester', definition: 'curve' },
    headers: { 'x-shop': '7' },
    cid: 'order-7',
  })
})

test('errors are typed and say what to do', async () => {
  await assert.rejects(client.invoke('remote', { action: 'fail' }), {
    code: 'ORDER_UNKNOWN',
    status: 404,
    details: { order: 7 },
  })
  const unknown = await client.invoke('no.such').catch((error: SignalboxError) => error)
  assert.equal((unknown as SignalboxError).code, 'SIGNALBOX_ADDRESS_UNKNOWN')
  assert.match((unknown as SignalboxError).fix!, /signalbox ps/)
  await assert.rejects(client.invoke('account', {}), (error: SignalboxError) =>
    error.code.startsWith('SIGNALBOX_'),
  )
})

test('a call ends at its time limit, or when its signal aborts, and the handler learns of it', async () => {
  const late = join(folder, 'late')
  const startMs = performance.now()
  await assert.rejects(client.invoke('remote', { action: 'hang', file: late }, { timeoutMs: 300 }), {
    code: 'SIGNALBOX_TIMEOUT_DEADLINE',
  })
  assert.ok(performance.now() - startMs < 2_000)
  await untilWord(late, 'aborted SIGNALBOX_TIMEOUT_DEADLINE')
  const file = join(folder, 'cancelled')
  const caller = new AbortController()
  const call = client.invoke('remote', { action: 'hang', file }, { signal: caller.signal })
  await untilWord(file, 'begun')
  caller.abort()
  await assert.rejects(call, { code: 'SIGNALBOX_CANCELLED' })
  await untilWord(file, 'aborted SIGNALBOX_CANCELLED')
})

test('what was told just before close arrives; close is idempotent; later calls are refused', async () => {
  const other = await nodes.connect('west')
  const file = join(folder, 'told')
  await other.tell('remote', { action: 'mark', file })
  const hanging = assert.rejects(other.invoke('remote', { action: 'hang' }), {
    code: 'SIGNALBOX_LINK_CLOSED',
  })
  await Promise.all([other.close(), other.close()])
  await other.close()
  await hanging
  await untilWord(file, 'told')
  assert.equal(other.connected, false)
  await assert.rejects(other.invoke('remote', { action: 'where' }), { code: 'SIGNALBOX_LINK_CLOSED' })
  await assert.rejects(other.tell('remote', {}), { code: 'SIGNALBOX_LINK_CLOSED' })
})

test('an unknown key, a wrong name or a wrong server key never get an answer, and say so in time', async () => {
  const right = {
    endpoint: nodes.endpointOf('west'),
    serverKey: nodes.keys.west.publicKey,
    name: 'tester',
    keys: nodes.clientKeys,
    timeoutMs: 700,
  }
  for (const wrong of [
    { keys: makeCurveKeys() },
    { name: 'somebody' },
    { serverKey: makeCurveKeys().publicKey },
    { endpoint: 'tcp://127.0.0.1:1' },
  ]) {
    const startMs = performance.now()
    await assert.rejects(connect({ ...right, ...wrong }), {
      code: 'SIGNALBOX_TIMEOUT_DEADLINE',
      message: /no answer within 700 ms: no node there, or it does not know this key/,
    })
    assert.ok(performance.now() - startMs < 3_000)
  }
  await assert.rejects(connect({ ...right, serverKey: 'short' }), { code: 'SIGNALBOX_OPTIONS_INVALID' })
  await assert.rejects(connect({ ...right, endpoint: 'http://x' }), { code: 'SIGNALBOX_OPTIONS_INVALID' })
})

test('a hostile program reaches nothing but services, topics and queues', async () => {
  const { system, close } = await hostile()
  try {
    const options = { timeoutMs: 5_000 }
    const here = (await system.ask('service/remote', { action: 'where' }, options)) as { pid: number }
    assert.ok(here.pid > 0)
    for (const address of [
      'system/keyed',
      'channel/http/public',
      'connection/http/x',
      'worker/0',
      'service',
    ]) {
      await assert.rejects(system.ask(address, 'service/account#1', options), {
        code: 'SIGNALBOX_ADDRESS_UNKNOWN',
      })
    }
    const origin = { identity: { name: 'root', definition: 'admin' } }
    const seen = await system.ask('service/remote', { action: 'identity' }, { ...options, origin })
    assert.deepEqual((seen as { identity: unknown }).identity, { name: 'tester', definition: 'curve' })
  } finally {
    await close()
  }
})

test('while the node is away calls fail at once as NODE_LOST; when it is back they succeed', async () => {
  const hanging = client.invoke(
    'remote',
    { action: 'hang', file: join(folder, 'away') },
    { timeoutMs: 25_000 },
  )
  const failed = assert.rejects(hanging, { code: 'SIGNALBOX_NODE_LOST' })
  await untilWord(join(folder, 'away'), 'begun')
  await nodes.kill('west')
  await failed
  const startMs = performance.now()
  await assert.rejects(client.invoke('remote', { action: 'where' }), {
    code: 'SIGNALBOX_NODE_LOST',
    message: /the node cannot be reached: /,
  })
  await assert.rejects(client.tell('remote', {}), { code: 'SIGNALBOX_NODE_LOST' })
  assert.ok(performance.now() - startMs < 500)
  assert.equal(client.connected, false)
  const pid = await nodes.start('west')
  await until(() => client.connected, 'the client is connected again')
  assert.equal((await client.invoke<{ pid: number }>('remote', { action: 'where' })).pid, pid)
})

test('a program that closes its client ends by itself', async () => {
  const module = new URL('../../core/router/client.ts', import.meta.url)
  const options = {
    endpoint: nodes.endpointOf('west'),
    serverKey: nodes.keys.west.publicKey,
    name: 'tester',
    keys: nodes.clientKeys,
  }
  const program = `
    import { connect } from ${JSON.stringify(fileURLToPath(module))}
    const bus = await connect(${JSON.stringify(options)})
    console.log((await bus.invoke('remote', { action: 'where' })).pid > 0)
    await bus.close()`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 15_000,
  })
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  assert.equal(output, 'true\n')
  assert.equal(code, 0)
})

/** A program that keeps to the protocol but believes that everything lives at the first worker of west. */
async function hostile() {
  const system = new ActorSystem()
  const self = placeOfClient('client/tester/self')
  let deliver: (message: Forwarded) => void = () => {}
  const up = Promise.withResolvers<void>()
  const net = new NetClient({
    endpoint: nodes.endpointOf('west'),
    serverKey: nodes.keys.west.publicKey,
    name: 'tester',
    keys: nodes.clientKeys,
    log: silentLogger,
    onState: state => state === 'up' && up.resolve(),
    onFrames: ([header, ...parts]) => {
      const batch = header?.[0] === BATCH ? decodeHeader(header) : undefined
      if (batch) deliver([batch.source, ...batch.sessions, ...(parts as Uint8Array<ArrayBuffer>[])])
    },
  })
  const port = {
    on: (_event: 'message', listener: (message: Forwarded) => void) => {
      deliver = listener
    },
    postMessage: ([to, ...rest]: Forwarded) => {
      const [own, peer, ...parts] = rest as [number, number, ...Uint8Array<ArrayBuffer>[]]
      net.send([encodeHeader({ to, source: self, sessions: [own, peer] }), ...parts])
    },
    close: () => {},
  }
  const pipes = new RouterPipes(port, (from, body, attachments) => router.receive(from, body, attachments))
  const router: WorkerRouter = new WorkerRouter(self, system, pipes)
  const addresses = ['service/remote', 'channel/http/public', 'connection/http/x', 'worker/0', 'service']
  const registrations = addresses.map(address => ({
    address,
    place: 'west/0:1',
    balance: 'localFirst' as const,
  }))
  // Its own keeper must not answer in the place of the one that it is after.
  await system.stop('system/keyed')
  registrations.push({ address: 'system/keyed', place: 'west/0:1', balance: 'localFirst' })
  router.apply({ type: 'add', registrations })
  net.start()
  await up.promise
  return {
    system,
    close: async () => {
      await net.close()
      await system.shutdown()
    },
  }
}

async function untilWord(file: string, word: string): Promise<void> {
  await until(async () => (await readFile(file, 'utf8').catch(() => '')).includes(word), `${word} in ${file}`)
}
