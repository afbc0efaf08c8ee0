import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { Context, type Dealer, Router } from 'zeromq'
import { silentLogger } from '../telemetry/log.ts'
import { makeCurveKeys, Net, NetClient, type NetClientOptions } from './net.ts'
import { helloOf, peerOf, rawDealer, startChild, startNet, startPair, until } from './net-test-kit.ts'
import * as wire from './net-wire.ts'

const FAST = { heartbeatMs: 50, deadAfterMs: 400 }

test('two nodes exchange messages in order, both ways', async t => {
  const { a, b } = await startPair(t)
  const count = 5000
  for (let i = 0; i < count; i++) {
    assert.ok(a.net.send('b', [Buffer.from(`a${i}`), Buffer.alloc(0), Buffer.alloc(500, i)]))
    assert.ok(b.net.send('a', [new Uint8Array([i >> 8, i & 255])]))
  }
  await until('all arrived', () => a.frames.length === count && b.frames.length === count)
  b.frames.forEach(({ from, frames }, i) => {
    assert.deepEqual([from.id, from.role, frames[0]!.toString()], ['a', 'node', `a${i}`])
    assert.deepEqual([frames.length, frames[1]!.length, frames[2]![499]], [3, 0, i & 255])
  })
  const numbers = a.frames.map(({ frames }) => frames[0]!.readUInt16BE())
  assert.deepEqual(numbers, [...numbers.keys()])
  assert.deepEqual(a.events, ['b up'])
  assert.deepEqual(b.events, ['a up'])
})

test('a large frame arrives whole; one beyond the limit is an error', async t => {
  const { a, b } = await startPair(t, { maxFrameBytes: 9 << 20 })
  const large = Buffer.alloc(8 << 20, 'large')
  for (let i = 0; i < 4; i++) assert.ok(a.net.send('b', [Buffer.from([i]), large]))
  await until('all arrived', () => b.frames.length === 4)
  b.frames.forEach(({ frames }, i) => {
    assert.equal(frames[0]![0], i)
    assert.ok(frames[1]!.equals(large))
  })
  const send = () => a.net.send('b', [Buffer.alloc((9 << 20) + 1)])
  assert.throws(send, { code: 'SIGNALBOX_FORMAT_LIMIT' })
  assert.throws(() => a.net.send('b', []), { code: 'SIGNALBOX_USAGE' })
})

test('send says false for a peer that is unknown or not up', async t => {
  const a = await startNet(t, 'a', {
    peers: [{ nodeId: 'b', endpoint: 'tcp://127.0.0.1:1', publicKey: key() }],
  })
  assert.equal(a.net.send('b', [Buffer.from('x')]), false)
  assert.equal(a.net.send('nobody', [Buffer.from('x')]), false)
})

test('a client and a node talk; a second client of the same name is another peer', async t => {
  const keys = makeCurveKeys()
  const b = await startNet(t, 'b', { clients: [{ name: 'app', publicKey: keys.publicKey }] })
  const got: string[] = []
  const [one, two] = [client({ keys, got }), client({ keys, got })]
  one.start()
  two.start()
  await until('both are up', () => one.nodeId === 'b' && two.nodeId === 'b')
  assert.ok(one.send([Buffer.from('question')]))
  await until('it arrived', () => b.frames.length === 1)
  const { from } = b.frames[0]!
  assert.match(from.id, /^client\/app\/.{12}$/)
  assert.deepEqual([from.role, from.name, b.net.peers().length], ['client', 'app', 2])
  assert.ok(b.net.send(from.id, [Buffer.from('answer')]))
  await until('the answer arrived', () => got.includes('answer'))
  await one.close()
  await until('the node knows', () => b.net.peers().length === 1)
  assert.ok(b.events.includes(`${from.id} down: it closes`))

  function client(o: { keys: typeof keys; got: string[] }) {
    return startedAfter(t, {
      endpoint: b.endpoint,
      serverKey: b.keys.publicKey,
      name: 'app',
      keys: o.keys,
      onFrames: frames => void o.got.push(frames[0]!.toString()),
    })
  }
})

test('a connection with an unknown key or without CURVE never gets an answer', async t => {
  const known = makeCurveKeys()
  const b = await startNet(t, 'b', { clients: [{ name: 'app', publicKey: known.publicKey }] })
  const stranger = makeCurveKeys()
  const failures: string[][] = [[], []]
  const raw = [
    rawDealer(t, b.endpoint, undefined, undefined, watchHandshake(failures[0]!)),
    rawDealer(t, b.endpoint, b.keys.publicKey, stranger, watchHandshake(failures[1]!)),
  ]
  let answers = 0
  for (const socket of raw) {
    // Even with a hello that is right for a listed name.
    // It waits for ever once the connection was cut off; closing the socket ends it.
    void socket.send(helloOf(known, b.keys.publicKey, 'app')).catch(() => {})
    void socket.receive().then(
      () => answers++,
      () => {},
    )
  }
  await until('both were cut off', () => failures.every(events => events.length > 0))
  const [bare, unknownKey] = failures.map(events => events[0]!)
  // What the side without CURVE sees depends on how far it came before the connection was cut.
  assert.match(bare!, /^handshake:error:(protocol|other)$/)
  assert.equal(unknownKey, 'handshake:error:auth')
  assert.equal(b.net.counters().refusedKeys, 1)
  assert.ok(b.warnings.some(w => w.code === 'SIGNALBOX_PEER_REFUSED' && w.remoteAddress === '127.0.0.1'))
  // The same hello from the listed key is answered on a connection made later: the others had their time.
  const honest = rawDealer(t, b.endpoint, b.keys.publicKey, known)
  await honest.send(helloOf(known, b.keys.publicKey, 'app'))
  assert.equal((await honest.receive())[0]![0], wire.KIND.welcome)
  assert.equal(answers, 0)
  assert.equal(b.net.peers().length, 1)
})

test('a forged hello is dropped without an answer', async t => {
  const [app, other, a] = [makeCurveKeys(), makeCurveKeys(), makeCurveKeys()]
  const b = await startNet(t, 'b', {
    clients: [
      { name: 'app', publicKey: app.publicKey },
      { name: 'other', publicKey: other.publicKey },
    ],
    peers: [
      { nodeId: 'a', endpoint: 'tcp://127.0.0.1:1', publicKey: a.publicKey },
      { nodeId: 'z', endpoint: 'tcp://127.0.0.1:1', publicKey: other.publicKey },
    ],
  })
  const right = (id: string, o: Partial<wire.Hello> = {}) => helloOf(app, b.keys.publicKey, id, o)
  const flipped = (at: number) => {
    const bytes = right('app')
    bytes[at < 0 ? bytes.length + at : at]! ^= 1
    return bytes
  }
  const forged = [
    right('a', { role: 'node' }),
    right('a', { role: 'node', publicKey: helloKey(a.publicKey) }),
    right('other'),
    right('other', { publicKey: helloKey(other.publicKey) }),
    right('nobody'),
    helloOf(app, other.publicKey, 'app'),
    helloOf(other, b.keys.publicKey, 'z', { role: 'node' }),
    flipped(-1),
    flipped(40),
    flipped(67),
    right('app').subarray(0, 60),
    Buffer.concat([right('app'), Buffer.from([0])]),
  ]
  const socket = rawDealer(t, b.endpoint, b.keys.publicKey, app)
  for (const hello of forged) await socket.send(hello)
  await socket.send([Buffer.from([wire.KIND.data, 0, 0, 0, 0]), Buffer.from('smuggled')])
  await until('all were refused', () => b.net.counters().refusedHellos === forged.length)
  await until('the data was dropped', () => b.net.counters().unknown === 1)
  assert.deepEqual([b.net.peers(), b.frames], [[], []])
  // The first answer on this connection is the one to the first honest hello.
  await socket.send(right('app'))
  const [welcome] = await socket.receive()
  assert.equal(wire.decodeWelcome(welcome!)?.nodeId, 'b')
})

test('another protocol version is refused, with a warning on both sides', async t => {
  const keys = makeCurveKeys()
  const b = await startNet(t, 'b', { clients: [{ name: 'app', publicKey: keys.publicKey }] })
  const socket = rawDealer(t, b.endpoint, b.keys.publicKey, keys)
  await socket.send(helloOf(keys, b.keys.publicKey, 'app', { version: 99 }))
  assert.equal(wire.decodeRefuse((await socket.receive())[0]!), wire.PROTOCOL_VERSION)
  assert.ok(b.warnings.some(w => w.code === 'SIGNALBOX_PEER_REFUSED' && w.theirVersion === 99))

  const future = new Router({
    context: new Context({ blocky: false }),
    curveServer: true,
    curveSecretKey: keys.secretKey,
  })
  t.after(() => future.close())
  await future.bind('tcp://127.0.0.1:*')
  const peer = { nodeId: 'b', endpoint: future.lastEndpoint!, publicKey: keys.publicKey }
  const a = await startNet(t, 'a', { peers: [peer] })
  const [route] = await future.receive()
  await future.send([route!, wire.encodeRefuse(99)])
  await until('a warned', () => a.warnings.some(w => w.theirVersion === 99 && w.peer === 'b'))
  assert.deepEqual(a.events, [])
})

test('a dialler whose key is unknown, or that knows the wrong key, says so', async t => {
  const b = await startNet(t, 'b')
  const a = await startNet(t, 'a', { peers: [peerOf('b', b)] })
  await until('a was told', () =>
    a.warnings.some(w => /does not know our public key/.test(String(w.message))),
  )
  b.net.setPeers([peerOf('a', a)], [])
  await until('up after all', () => a.net.peers().length === 1)
})

test('a killed node goes down and comes up again when it is restarted', async t => {
  const keys = makeCurveKeys()
  const a = await startNet(t, 'a', FAST)
  const options = { ...FAST, nodeId: 'b', keys, peers: [peerOf('a', a)] }
  const first = startChild(t, options)
  await until('it listens', () => first.lines.length > 0)
  const endpoint = String(first.lines[0]!.endpoint)
  a.net.setPeers([peerOf('b', { endpoint, keys })], [])
  await until('b is up', () => a.events.at(-1) === 'b up')
  await echo()

  const killedAt = performance.now()
  first.process.kill('SIGKILL')
  await until('b is down', () => a.events.at(-1)!.startsWith('b down'))
  assert.ok(performance.now() - killedAt < FAST.deadAfterMs + 200)
  assert.equal(a.net.send('b', [Buffer.from('lost')]), false)
  await first.exit

  startChild(t, { ...options, port: Number(endpoint.split(':').at(-1)) })
  await until('b is up again', () => a.events.at(-1) === 'b up')
  await echo()
  assert.equal(a.events.length, 3)

  async function echo() {
    a.frames.length = 0
    assert.ok(a.net.send('b', [Buffer.from('echo')]))
    await until('the echo came', () => a.frames[0]?.frames[0]?.toString() === 'echo')
  }
})

test('the accepting side sees a killed node too, and the new process as a new session', async t => {
  const [keys, b] = [makeCurveKeys(), await startNet(t, 'b', FAST)]
  b.net.setPeers([{ nodeId: 'a', endpoint: 'tcp://127.0.0.1:1', publicKey: keys.publicKey }], [])
  const options = { ...FAST, nodeId: 'a', keys, peers: [peerOf('b', b)] }
  const first = startChild(t, options)
  await until('a is up', () => b.events.at(-1) === 'a up')
  first.process.kill('SIGKILL')
  startChild(t, options)
  await until('a is up again', () => b.events.length === 3)
  assert.deepEqual([b.events[0], b.events[1]!.slice(0, 7), b.events[2]], ['a up', 'a down:', 'a up'])
})

test('a new session of a node that is still up is reported as down and up', async t => {
  const keys = makeCurveKeys()
  const b = await startNet(t, 'b')
  b.net.setPeers([{ nodeId: 'a', endpoint: 'tcp://127.0.0.1:1', publicKey: keys.publicKey }], [])
  const hello = () => helloOf(keys, b.keys.publicKey, 'a', { role: 'node' })
  const [one, two] = [1, 2].map(() => rawDealer(t, b.endpoint, b.keys.publicKey, keys))
  await one!.send(hello())
  const first = wire.decodeWelcome((await one!.receive())[0]!)!
  await two!.send(hello())
  const second = wire.decodeWelcome((await two!.receive())[0]!)!
  assert.notEqual(first.session, second.session)
  assert.equal(wire.decodeBye((await one!.receive())[0]!), 'replaced')
  assert.deepEqual(b.events, ['a up', 'a down: it came back with a new session', 'a up'])
})

test('a stopped process is silent, goes down in time, and comes up again when it goes on', async t => {
  const [keys, a] = [makeCurveKeys(), await startNet(t, 'a', FAST)]
  const child = startChild(t, { ...FAST, nodeId: 'b', keys, peers: [peerOf('a', a)] })
  await until('it listens', () => child.lines.length > 0)
  a.net.setPeers([peerOf('b', { endpoint: String(child.lines[0]!.endpoint), keys })], [])
  await until('b is up', () => a.events.at(-1) === 'b up')
  const stoppedAt = performance.now()
  child.process.kill('SIGSTOP')
  await until('b is down', () => a.events.length === 2)
  const silentMs = performance.now() - stoppedAt
  assert.match(a.events[1]!, /^b down: silent/)
  assert.ok(silentMs < FAST.deadAfterMs + 200, `down after ${silentMs} ms`)
  child.process.kill('SIGCONT')
  await until('b is up again', () => a.events.at(-1) === 'b up')
})

test('a receiver that does not read makes send say false, in bounded memory', async t => {
  const [keys, a] = [makeCurveKeys(), await startNet(t, 'a', { maxQueueBytes: 16 << 20 })]
  const child = startChild(t, { nodeId: 'b', keys, peers: [peerOf('a', a)] })
  await until('it listens', () => child.lines.length > 0)
  a.net.setPeers([peerOf('b', { endpoint: String(child.lines[0]!.endpoint), keys })], [])
  await until('b is up', () => a.net.peers().length === 1)
  child.process.kill('SIGSTOP')
  const frame = Buffer.alloc(64 << 10)
  const before = process.memoryUsage().rss
  let sent = 0
  while (a.net.send('b', [frame])) sent++
  // 8 MiB on the way and 16 MiB in the queue.
  assert.ok(sent > 300 && sent <= 384, `${sent} messages were taken`)
  for (let i = 0; i < 10_000; i++) assert.equal(a.net.send('b', [frame]), false)
  const rise = process.memoryUsage().rss - before
  assert.ok(rise < 64 << 20, `memory rose by ${rise >> 20} MiB`)
  child.process.kill('SIGCONT')
  await until('every message came back', () => a.frames.length === sent)
  assert.ok(a.net.send('b', [frame]))
})

test('setPeers takes a node or client out and lets it in while everything runs', async t => {
  const keys = makeCurveKeys()
  const { a, b } = await startPair(t)
  b.net.setPeers([peerOf('a', a)], [{ name: 'app', publicKey: keys.publicKey }])
  const states: string[] = []
  const options = { endpoint: b.endpoint, serverKey: b.keys.publicKey, name: 'app', keys }
  const client = startedAfter(t, { ...options, onState: state => void states.push(state) })
  client.start()
  await until('the client is up', () => states.length === 1)
  assert.deepEqual(b.events, ['a up', b.events[1]])

  b.net.setPeers([], [])
  await until('both are out', () => a.events.length === 2 && states.length === 2)
  assert.deepEqual([b.net.peers(), a.events[1]], [[], 'b down: it ended the session: removed'])
  const wrong = [{ nodeId: 'c', endpoint: 'http://x', publicKey: key() }]
  assert.throws(() => b.net.setPeers(wrong, []), { code: 'SIGNALBOX_OPTIONS_INVALID' })

  b.net.setPeers([peerOf('a', a)], [{ name: 'app', publicKey: keys.publicKey }])
  await until('both are back', () => a.events.at(-1) === 'b up' && states.at(-1) === 'up')
})

test('an error in onFrames is logged and counted, and stops nothing', async t => {
  let calls = 0
  const onFrames = () => {
    calls++
    throw new Error('on purpose')
  }
  const { a, b } = await startPair(t, { onFrames })
  for (let i = 0; i < 3; i++) a.net.send('b', [Buffer.from('x')])
  await until('three calls', () => calls === 3)
  assert.equal(b.net.counters().handlerErrors, 3)
  assert.equal(b.net.peers().length, 1)
})

test('close sends what is queued, tells the peers at once, and can be called twice', async t => {
  const { a, b } = await startPair(t)
  const frame = Buffer.alloc(1 << 20)
  for (let i = 0; i < 30; i++) assert.ok(a.net.send('b', [frame]))
  const closing = a.net.close()
  assert.equal(a.net.send('b', [frame]), false)
  await Promise.all([closing, a.net.close()])
  await until('b knows', () => b.events.length === 2)
  assert.equal(b.frames.length, 30)
  assert.deepEqual([a.events[1], b.events[1]], ['b down: this node closes', 'a down: it closes'])
})

test('close ends in time while peers cannot be reached, and during start', async t => {
  const silent = createServer(() => {})
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  t.after(() => silent.close())
  const { port } = silent.address() as { port: number }
  const peers = [
    { nodeId: 'b', endpoint: 'tcp://127.0.0.1:1', publicKey: key() },
    { nodeId: 'c', endpoint: `tcp://127.0.0.1:${port}`, publicKey: key() },
    { nodeId: 'd', endpoint: 'tcp://192.0.2.1:7000', publicKey: key() },
  ]
  const a = await startNet(t, 'a', { peers })
  const from = performance.now()
  await a.net.close()
  assert.ok(performance.now() - from < 500)

  const options = { nodeId: 'a', keys: makeCurveKeys(), peers, clients: [], log: silentLogger }
  const early = new Net({ ...options, onFrames: () => {}, onPeer: () => {} })
  const starting = early.start()
  await Promise.all([assert.rejects(starting, { code: 'SIGNALBOX_LINK_CLOSED' }), early.close()])
})

test('a process exits by itself with code 0 after close, with peers up, stopped and unreachable', async t => {
  const [keys, other, a] = [makeCurveKeys(), makeCurveKeys(), await startNet(t, 'a')]
  const unreachable = { nodeId: 'z', endpoint: 'tcp://127.0.0.1:1', publicKey: key() }
  const nowhere = { nodeId: 'b', endpoint: 'tcp://127.0.0.1:1', publicKey: keys.publicKey }
  const stopped = startChild(t, { nodeId: 'c', keys: other, peers: [nowhere] })
  await until('c listens', () => stopped.lines.length > 0)
  const c = peerOf('c', { endpoint: String(stopped.lines[0]!.endpoint), keys: other })
  const child = startChild(t, { nodeId: 'b', keys, peers: [peerOf('a', a), c, unreachable] })
  await until('b listens', () => child.lines.length > 0)
  a.net.setPeers([peerOf('b', { endpoint: String(child.lines[0]!.endpoint), keys })], [])
  await until('b is up', () => a.net.peers().length === 1)
  await until('b and c are up', () => child.lines.some(line => line.peer === 'c'))
  stopped.process.kill('SIGSTOP')
  child.process.stdin!.write('close\n')
  assert.equal(await child.exit, 0)
  assert.deepEqual(child.lines.at(-1), { closed: true })
})

test('a port that is taken is an error with a code', async t => {
  const a = await startNet(t, 'a')
  const port = Number(a.endpoint.split(':').at(-1))
  await assert.rejects(startNet(t, 'b', { port }), { code: 'SIGNALBOX_LISTEN_FAILED' })
})

test('wrong options are refused by name', () => {
  const good = { nodeId: 'a', keys: makeCurveKeys(), peers: [], clients: [], log: silentLogger }
  const make = (o: object) => () => new Net({ ...good, onFrames: () => {}, onPeer: () => {}, ...o })
  const refuses = (o: object, message: RegExp) =>
    assert.throws(make(o), { code: 'SIGNALBOX_OPTIONS_INVALID', message })
  refuses({ nodeId: 'a/b' }, /nodeId must be/)
  refuses({ port: 70000 }, /port must be/)
  refuses({ heartbeatMs: 1000, deadAfterMs: 1500 }, /deadAfterMs must be at least twice/)
  refuses({ maxQueueBytes: 0 }, /maxQueueBytes must be/)
  refuses({ keys: { ...good.keys, publicKey: key() } }, /does not belong/)
  refuses({ keys: { ...good.keys, secretKey: 'short' } }, /keys.secretKey must be a CURVE key/)
  refuses({ clients: [{ name: 'app', publicKey: '0'.repeat(40) }] }, /not a usable CURVE key/)
  refuses({ peers: [{ nodeId: 'b', endpoint: 'tcp://b', publicKey: key() }] }, /endpoint must look like/)
  const twice = { name: 'app', publicKey: key() }
  refuses({ clients: [twice, twice] }, /listed twice/)
})

/** Keeps the outcomes of handshakes; the monitor must stand before the socket connects. */
function watchHandshake(outcomes: string[]) {
  return ({ events }: Dealer) => {
    for (const type of [
      'handshake',
      'handshake:error:protocol',
      'handshake:error:auth',
      'handshake:error:other',
    ]) {
      events.on(type as 'handshake', () => outcomes.push(type))
    }
  }
}

function key(): string {
  return makeCurveKeys().publicKey
}

function helloKey(z85: string): Buffer {
  return wire.decodeHello(helloOf({ ...makeCurveKeys(), publicKey: z85 }, key(), 'x'))!.publicKey
}

function startedAfter(
  t: import('node:test').TestContext,
  o: Pick<NetClientOptions, 'endpoint' | 'serverKey' | 'name' | 'keys'> & Partial<NetClientOptions>,
): NetClient {
  const client = new NetClient({ log: silentLogger, onFrames: () => {}, onState: () => {}, ...o })
  t.after(() => client.close())
  return client
}
