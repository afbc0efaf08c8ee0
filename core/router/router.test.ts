import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import { silentLogger } from '../telemetry/log.ts'
import type { DirectoryChange } from './directory.ts'
import { makeCurveKeys, NetClient } from './net.ts'
import { peerOf, type Seen, startNet, until } from './net-test-kit.ts'
import { placeOfClient } from './place.ts'
import { Router } from './router.ts'
import { decodeHeader, encodeHeader } from './router-frames.ts'
import { type Forwarded, RouterPipes } from './router-pipe.ts'

const CLIENT = makeCurveKeys()

interface Bench {
  router: Router
  /** A node that says whatever the test wants. */
  peer: Seen
  endpoint: string
  publicKey: string
  /** What the worker of the router was told. */
  changes: DirectoryChange[]
  lost: string[]
  finished: string[]
  batches: Forwarded[]
  port: MessageChannel['port1']
}

/** Router `b` with worker `b/0:1`, and a bare net as node `a`. */
async function start(t: TestContext): Promise<Bench> {
  const [keysA, keys] = [makeCurveKeys(), makeCurveKeys()]
  const peers = [{ nodeId: 'a', endpoint: 'tcp://127.0.0.1:9', publicKey: keysA.publicKey }]
  const clients = [{ name: 'app', publicKey: CLIENT.publicKey }]
  const router = new Router({ nodeId: 'b', log: silentLogger, network: { keys, peers, clients } })
  t.after(() => router.close())
  const { port1, port2 } = new MessageChannel()
  const seen = { changes: [] as DirectoryChange[], lost: [] as string[], finished: [] as string[] }
  const batches: Forwarded[] = []
  port2.on('message', (message: Forwarded) => batches.push(message))
  router.add({
    place: 'b/0:1',
    port: port1,
    directory: change => void seen.changes.push(change),
    lost: (place, error) => void seen.lost.push(`${place} ${error.code}`),
    finish: place => void seen.finished.push(place),
    activate: () => {},
    deactivate: () => {},
  })
  const { endpoint } = (await router.start())!
  const peer = await startNet(t, 'a', { keys: keysA, peers: [peerOf('b', { endpoint, keys })] })
  await until('both are up', () => peer.net.peers().length === 1 && router.peers().length === 1)
  return { router, peer, endpoint, publicKey: keys.publicKey, batches, port: port2, ...seen }
}

const control = (value: unknown) => [Buffer.from(`C${JSON.stringify(value)}`)]
const registration = (place: string, balance = 'localFirst') => ({ address: 'service/x', place, balance })

test('a node speaks for its own places only', async t => {
  const { router, peer, changes, finished } = await start(t)
  router.register({ address: 'service/own', place: 'b/0:1', balance: 'localFirst' })
  const before = changes.length
  const forged = [
    { type: 'add', registrations: [registration('b/0:1')] },
    { type: 'add', registrations: [registration('a/0:1'), registration('c/0:1')] },
    { type: 'add', registrations: [registration('a/0:1', 'whatever')] },
    { type: 'add', registrations: [registration('a/\0/0:1')] },
    { type: 'remove', address: 'service/own', place: 'b/0:1' },
    { type: 'leave', node: 'b' },
    { type: 'leave', place: 'b/0:1' },
    { type: 'leave', node: 'a', place: 'b/0:1' },
    { type: 'nonsense', place: 'a/0:1' },
  ]
  for (const change of forged) peer.net.send('b', control({ type: 'directory', change }))
  peer.net.send('b', control({ type: 'finish', place: 'b/0:1' }))
  peer.net.send('b', [Buffer.from('Cnot json')])
  const honest = { type: 'add', registrations: [registration('a/0:1')] }
  peer.net.send('b', control({ type: 'directory', change: honest }))
  peer.net.send('b', control({ type: 'finish', place: 'a/0:1' }))
  await until('the honest ones arrived', () => finished.length === 1)
  assert.deepEqual(changes.slice(before), [honest])
  assert.deepEqual(finished, ['a/0:1'])
  assert.deepEqual(
    router
      .list()
      .map(({ place }) => place)
      .sort(),
    ['a/0:1', 'b/0:1'],
  )
})

test('a batch with a forged source, of an unknown destination or without a header is dropped and counted', async t => {
  const { router, peer, batches } = await start(t)
  const body = Buffer.from('body')
  const batch = (to: string, source: string, sessions: [number, number] = [1, 0]) =>
    peer.net.send('b', [encodeHeader({ to, source, sessions }), body])
  batch('b/0:1', 'b/1:1')
  batch('b/0:1', 'c/0:1')
  batch('b/9:1', 'a/0:1')
  batch('b/0:1', 'a/0:1', [0, 0])
  batch('b/0:1', 'a/0:1', [1, -1])
  batch('b/0:1', 'a/0:1', [Number.NaN, 0])
  peer.net.send('b', [Buffer.from('D'), body])
  peer.net.send('b', [Buffer.from('Xb/0:1'), body])
  batch('b/0:1', 'a/0:1', [7, 3])
  await until('the good one arrived', () => batches.length === 1)
  assert.deepEqual(batches[0]!.slice(0, 3), ['a/0:1', 7, 3])
  assert.equal(Buffer.from(batches[0]![3]!).toString(), 'body')
  assert.equal(router.dropped, 7)
})

test('a client has one place, may change nothing, and sees public addresses only', async t => {
  const { router, endpoint, publicKey, batches, changes } = await start(t)
  router.register({ address: 'service/x', place: 'b/0:1', balance: 'localFirst' })
  router.register({ address: 'channel/x', place: 'b/0:1', balance: 'localFirst' })
  const before = changes.length
  const heard: string[] = []
  const client = new NetClient({
    name: 'app',
    endpoint,
    serverKey: publicKey,
    keys: CLIENT,
    log: silentLogger,
    onFrames: (frames: Buffer[]) => void heard.push(frames[0]!.toString()),
    onState: () => {},
  })
  t.after(() => client.close())
  client.start()
  await until('the client is up', () => router.peers().some(({ role }) => role === 'client'))
  await until('it heard the directory', () => heard.length > 0)
  assert.match(heard[0]!, /service\/x/)
  assert.doesNotMatch(heard.join(), /channel\/x/)
  const { id } = router.peers().find(({ role }) => role === 'client')!
  const send = (source: string) =>
    client.send([encodeHeader({ to: 'b/0:1', source, sessions: [1, 0] }), Buffer.from('body')])
  const sources = [`${id}/1:1`, `${id}/0:2`, id, 'a/0:1', 'client/other/x/0:1', placeOfClient(id)]
  for (const source of sources) send(source)
  client.send(
    control({ type: 'directory', change: { type: 'add', registrations: [registration(`${id}/0:1`)] } }),
  )
  // Whatever it says it is, it is who it has proved to be.
  await until('its batches arrived', () => batches.length === sources.length)
  assert.deepEqual(
    batches.map(([source]) => source),
    sources.map(() => placeOfClient(id)),
  )
  assert.equal(router.dropped, 0)
  assert.equal(changes.length, before)
})

test('the worker is told at once when what it sends cannot go', async t => {
  const { lost, port } = await start(t)
  const send = (...message: unknown[]) => port.postMessage(message)
  send('nowhere/0:1', 1, 0, new Uint8Array(3))
  send('b/5:1', 2, 0, new Uint8Array(3))
  send('a/0:1', 3, 0, new Uint8Array(65 * 1024 * 1024))
  send('nowhere/0:1', 4, 0) // a link that it has closed itself
  await until('all are answered', () => lost.length === 3)
  assert.deepEqual(lost, [
    'nowhere/0:1 SIGNALBOX_NODE_LOST',
    'b/5:1 SIGNALBOX_WORKER_LOST',
    'a/0:1 SIGNALBOX_FORMAT_LIMIT',
  ])
})

test('headers keep places and sessions', () => {
  const header = { to: 'n1/0:1', source: 'client/a/b_-/0:1', sessions: [12, 34] as [number, number] }
  assert.deepEqual(decodeHeader(encodeHeader(header)), header)
})

test('sessions: what belongs to an ended one is thrown away, a new one of the other side ends the old', async t => {
  const { port1: far, port2 } = new MessageChannel()
  const got: string[] = []
  const sent: Forwarded[] = []
  const pipes = new RouterPipes(port2, (from, body) => got.push(`${from} ${body}`))
  pipes.onClosed = (place, { code }) => got.push(`${place} closed: ${code}`)
  far.on('message', (message: Forwarded) => sent.push(message))
  t.after(() => pipes.close())
  const text = (value: string) => new Uint8Array(Buffer.from(value))
  const say = async (...message: unknown[]) => {
    far.postMessage(message)
    // What it sends next, it sends after it has heard this.
    far.postMessage(['echo/0:1', 1, 0, text('.')])
    await until('it was heard', () => got.at(-1) === 'echo/0:1 .')
    got.pop()
  }
  const pipe = pipes.to('a/0:1')
  pipe.post(text('one'), [])
  await until('it was sent', () => sent.length === 1)
  assert.deepEqual(sent[0]!.slice(0, 3), ['a/0:1', 1, 0])
  await say('a/0:1', 5, 1, text('answer'))
  await say('a/0:1', 4, 1, text('of an older session there'))
  await say('a/0:1', 5, 9, text('for another session here'))
  assert.deepEqual(got.splice(0), ['a/0:1 answer'])
  await say('a/0:1', 6, 0, text('a new start'))
  assert.deepEqual(got.splice(0), ['a/0:1 closed: SIGNALBOX_LINK_CLOSED', 'a/0:1 a new start'])
  pipe.post(text('of the old'), [])
  const next = pipes.to('a/0:1')
  next.post(text('of the new'), [])
  await until('it was sent', () => sent.length === 2)
  assert.equal(sent[1]![2], 6)
  await say('a/0:1', 6, 0)
  assert.deepEqual(got.splice(0), ['a/0:1 closed: SIGNALBOX_LINK_CLOSED'])
  next.close()
  const last = pipes.to('a/0:1')
  last.close()
  await until('it says that it has closed', () => sent.length === 3)
  assert.equal(sent[2]!.length, 3)
})
