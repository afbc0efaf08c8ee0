/** Scenarios of a connection: life, content, time, cancellation, lost peers. */
import assert from 'node:assert/strict'
import { SignalboxError } from '../../core/errors.ts'
import type { Capabilities, Connection, Outbound, OutgoingMessage } from '../../core/transport.ts'
import { leavesNoHandle } from './handles.ts'
import type { TestAnswer, TestMessage } from './harness.ts'
import { assertBytes, assertHeaders, BODIES, bytesOf, HEADERS } from './messages.ts'
import { type ConnectionBench, type Opened, rejection, type Scenario, skip } from './scenario.ts'
import { deferred, until, within } from './wait.ts'

const MANY = 100

const withoutReply = (c: Capabilities) => (c.requestReply ? undefined : 'capabilities.requestReply is false')
const withoutHeaders = (c: Capabilities) => (c.headers ? undefined : 'capabilities.headers is false')

/** Lets the peer answer with what it got, and returns the list of what arrives. */
function echoing(bench: ConnectionBench): TestMessage[] {
  const arrived: TestMessage[] = []
  bench.endpoint.answer(async message => {
    arrived.push(message)
    return { payload: message.payload, headers: { 'x-answer': 'yes' } }
  })
  return arrived
}

/** Lets messages arrive and never answers until the gate opens. */
function silent(bench: ConnectionBench): { arrived: () => number; open: () => void } {
  const gate = deferred<TestAnswer>()
  let count = 0
  bench.endpoint.answer(() => {
    count++
    return gate.promise
  })
  return { arrived: () => count, open: () => gate.resolve({ payload: Buffer.alloc(0), headers: {} }) }
}

function send(bench: ConnectionBench, instance: Connection, message: OutgoingMessage): Promise<Outbound> {
  const sent = instance.send({ attributes: { ...bench.endpoint.attributes }, ...message })
  sent.catch(() => {})
  return sent
}

export const CONNECTION_LIFE: readonly Scenario<ConnectionBench>[] = [
  {
    name: 'connection: open, ping, close',
    async run(bench) {
      echoing(bench)
      const { instance } = await bench.open()
      await within(instance.ping(), 'ping of an open connection')
      assert.ok(instance.endpoint().length > 0, 'endpoint() says where it leads')
      await within(instance.close(), 'close')
      await rejection(instance.ping(), 'ping of a closed connection')
      await rejection(send(bench, instance, { payload: Buffer.from('late') }), 'send on a closed connection')
    },
  },
  {
    name: 'connection: ping and send before connect are rejected',
    async run(bench) {
      const { instance } = bench.make()
      await rejection(instance.ping(), 'ping before connect')
      await rejection(send(bench, instance, { payload: Buffer.from('early') }), 'send before connect')
    },
  },
  {
    name: 'connection: close twice, at once, and before connect',
    async run(bench) {
      const { instance } = await bench.open()
      await within(instance.close(), 'first close')
      await within(Promise.all([instance.close(), instance.close()]), 'two more at once')
      await within(bench.make().instance.close(), 'close of a connection that was never opened')
    },
  },
  {
    name: 'connection: close while connecting',
    async run(bench) {
      const { instance } = bench.make()
      const outcome = instance.connect().then(
        () => undefined,
        (error: unknown) => error,
      )
      await within(instance.close(), 'close while connecting')
      const error = await within(outcome, 'connect settles after close')
      assert.ok(error === undefined || error instanceof SignalboxError, 'connect resolves or rejects typed')
      await rejection(instance.ping(), 'ping after close')
    },
  },
  {
    name: 'connection: close while a send is blocked rejects the send',
    without: withoutReply,
    async run(bench) {
      const peer = silent(bench)
      const { instance } = await bench.open()
      const sent = send(bench, instance, { payload: Buffer.from('blocked') })
      await until(() => peer.arrived() === 1, 'the message arrives')
      await within(instance.close(), 'close while a send is blocked')
      await rejection(sent, 'the blocked send')
      peer.open()
    },
  },
  {
    name: 'connection: reopen',
    async run(bench) {
      const arrived = echoing(bench)
      for (let round = 1; round <= 3; round++) {
        const { instance } = await bench.open()
        await within(send(bench, instance, { payload: Buffer.from(`round ${round}`) }), 'a message')
        await until(() => arrived.length === round, 'the message arrives')
        await within(instance.close(), 'close')
      }
    },
  },
  {
    name: 'connection: a lost peer is noticed, and works again when it is back',
    async run(bench) {
      const { peer } = bench.endpoint
      if (!peer) skip('there is no server that could go away')
      const arrived = echoing(bench)
      let opened: Opened<Connection> = await bench.open()
      await within(send(bench, opened.instance, { payload: Buffer.from('before') }), 'a message')
      await peer.stop()
      await rejection(opened.instance.ping(), 'ping without a peer')
      const failed = await rejection(
        send(bench, opened.instance, { payload: Buffer.from('x') }),
        'send without a peer',
      )
      assert.equal(failed.retryable, true, 'a missing server is worth another try')
      await peer.start()
      if (opened.lost.length > 0) {
        await within(opened.instance.close(), 'close of the lost connection')
        opened = await bench.open()
      }
      await until(
        () => succeeds(send(bench, opened.instance, { payload: Buffer.from('after') })),
        'it works again',
      )
      await until(
        () => arrived.at(-1)?.payload.toString() === 'after',
        'the message after the return arrives',
      )
      await within(opened.instance.ping(), 'ping after the return')
    },
  },
  {
    name: 'connection: bad credentials are refused for good',
    async run(bench) {
      const { badCredentials } = bench.endpoint
      if (!badCredentials) skip('the connection presents no credentials')
      echoing(bench)
      const error = await firstUse(bench, badCredentials, 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS')
      assert.equal(error.retryable, false)
    },
  },
  {
    name: 'connection: a certificate that does not verify is refused',
    async run(bench) {
      const { badCertificate } = bench.endpoint
      if (!badCertificate) skip('the connection verifies no certificate')
      echoing(bench)
      await firstUse(bench, badCertificate, 'SIGNALBOX_TLS_UNVERIFIED')
    },
  },
  {
    name: 'connection: no handle stays open',
    async run(bench) {
      echoing(bench)
      await leavesNoHandle(async () => {
        const { instance } = await bench.open()
        await within(send(bench, instance, { payload: Buffer.from('one') }), 'a message')
        await within(instance.ping(), 'ping')
        await bench.close()
      })
    },
  },
]

export const CONNECTION_CONTENT: readonly Scenario<ConnectionBench>[] = [
  ...BODIES.map(
    ({ name, payload }): Scenario<ConnectionBench> => ({
      name: `connection: ${name} arrives, and comes back as an answer`,
      without: c =>
        c.maxBytes !== undefined && payload.length > c.maxBytes
          ? 'larger than capabilities.maxBytes'
          : undefined,
      async run(bench) {
        const arrived = echoing(bench)
        const { instance } = await bench.open()
        const answer = await within(send(bench, instance, { payload }), name)
        await until(() => arrived.length > 0, 'the message arrives')
        assertBytes(arrived[0]!.payload, payload, 'arrived')
        if (bench.transport.capabilities.requestReply) assertBytes(answer.payload, payload, 'answered')
      },
    }),
  ),
  {
    name: 'connection: headers arrive, and come back with names in lower case',
    without: withoutHeaders,
    async run(bench) {
      const arrived = echoing(bench)
      const { instance } = await bench.open()
      const answer = await within(
        send(bench, instance, { payload: Buffer.from('x'), headers: HEADERS }),
        'a message',
      )
      await until(() => arrived.length > 0, 'the message arrives')
      assertHeaders(arrived[0]!.headers, HEADERS)
      if (bench.transport.capabilities.requestReply) assertHeaders(answer.headers, { 'x-answer': 'yes' })
    },
  },
  {
    name: 'connection: the correlation id arrives, and is that of the answer',
    without: withoutHeaders,
    async run(bench) {
      const arrived = echoing(bench)
      const { instance } = await bench.open()
      const answer = await within(
        send(bench, instance, { payload: Buffer.from('x'), cid: 'cid-4711' }),
        'a message',
      )
      await until(() => arrived.length > 0, 'the message arrives')
      assert.equal(arrived[0]!.cid, 'cid-4711')
      assert.equal(answer.cid, 'cid-4711')
    },
  },
  {
    name: 'connection: order is kept',
    without: c => (c.ordered ? undefined : 'capabilities.ordered is false'),
    async run(bench) {
      const arrived = echoing(bench)
      const { instance } = await bench.open()
      const sent = Array.from({ length: MANY }, (_, i) => `message ${i}`)
      await within(
        Promise.all(sent.map(one => send(bench, instance, { payload: Buffer.from(one) }))),
        'all messages',
      )
      await until(() => arrived.length >= MANY, 'all messages arrive')
      assert.deepEqual(
        arrived.map(message => message.payload.toString()),
        sent,
      )
    },
  },
  {
    name: 'connection: every send gets its own answer',
    without: withoutReply,
    async run(bench) {
      bench.endpoint.answer(async message => ({
        payload: Buffer.from(`answer to ${message.payload}`),
        headers: {},
      }))
      const { instance } = await bench.open()
      const asked = Array.from({ length: MANY }, (_, i) => `question ${i}`)
      const answers = await within(
        Promise.all(asked.map(one => send(bench, instance, { payload: Buffer.from(one) }))),
        'all answers',
      )
      assert.deepEqual(
        answers.map(answer => bytesOf(answer.payload).toString()),
        asked.map(one => `answer to ${one}`),
      )
    },
  },
]

export const CONNECTION_TIME: readonly Scenario<ConnectionBench>[] = [
  {
    name: 'connection: a send without an answer ends at its time limit',
    without: withoutReply,
    async run(bench) {
      const peer = silent(bench)
      const { instance } = await bench.open()
      const sent = send(bench, instance, { payload: Buffer.from('slow'), timeoutMs: 50 })
      await rejection(sent, 'the time limit', 'SIGNALBOX_TIMEOUT_DEADLINE')
      peer.open()
      echoing(bench)
      await within(send(bench, instance, { payload: Buffer.from('next') }), 'the connection still works')
    },
  },
  {
    name: 'connection: a send is cancelled by its signal',
    without: withoutReply,
    async run(bench) {
      const peer = silent(bench)
      const { instance } = await bench.open()
      const caller = new AbortController()
      const sent = send(bench, instance, { payload: Buffer.from('never mind'), signal: caller.signal })
      await until(() => peer.arrived() === 1, 'the message arrives')
      caller.abort()
      await rejection(sent, 'the cancelled send', 'SIGNALBOX_CANCELLED')
      peer.open()
      echoing(bench)
      await within(send(bench, instance, { payload: Buffer.from('next') }), 'the connection still works')
    },
  },
  {
    name: 'connection: a send that was cancelled before it began sends nothing',
    async run(bench) {
      const arrived = echoing(bench)
      const { instance } = await bench.open()
      const sent = send(bench, instance, { payload: Buffer.from('never'), signal: AbortSignal.abort() })
      await rejection(sent, 'the cancelled send', 'SIGNALBOX_CANCELLED')
      await within(send(bench, instance, { payload: Buffer.from('next') }), 'the next one')
      await until(() => arrived.length > 0, 'the next one arrives')
      assert.equal(arrived[0]!.payload.toString(), 'next')
    },
  },
]

/** What connect, ping or the first send rejects with: protocols differ in when they check. */
async function firstUse(
  bench: ConnectionBench,
  overrides: Record<string, unknown>,
  code: string,
): Promise<SignalboxError> {
  const { instance } = bench.make(overrides)
  const use = async () => {
    await instance.connect()
    await instance.ping()
    await send(bench, instance, { payload: Buffer.from('x') })
  }
  return await rejection(use(), 'connect, ping or the first send', code)
}

function succeeds(sent: Promise<unknown>): Promise<boolean> {
  return sent.then(
    () => true,
    () => false,
  )
}
