/** The actors of channels and connections, with the memory transport and scripted ones. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { channelActor } from '../../actors/channel-host.ts'
import { connectionActor } from '../../actors/connection-host.ts'
import { ActorSystem, type Envelope } from '../../core/actor/index.ts'
import { TestClock } from '../../core/clock.ts'
import { SignalboxError } from '../../core/errors.ts'
import { parseOptions, Type } from '../../core/schema.ts'
import type { Channel, Connection, OutgoingMessage, Receive, Transport } from '../../core/transport.ts'
import { memory } from '../../transports/memory/index.ts'

const NOBODY = { cid: undefined, trace: undefined }

/** Lets actors and promises have their turns. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}

function transport(parts: Partial<Transport>): Transport {
  return { name: 'scripted', description: 'for tests', capabilities: memory.capabilities, ...parts }
}

/** A channel whose `receive` the test calls, and a service that answers with what it was sent. */
async function channelSetUp(connect: () => Promise<void> = async () => {}) {
  const system = new ActorSystem()
  let receive: Receive = () => Promise.reject(new Error('not connected'))
  const channel: Channel = {
    connect: async given => {
      receive = given
      await connect()
    },
    drain: async () => {},
    close: async () => {},
    ping: async () => {},
    endpoint: () => 'scripted:here',
  }
  const side = { options: Type.Object({}), placement: 'everyWorker' as const, create: () => channel }
  const actor = channelActor(system, transport({ channel: side }), { name: 'in', options: {} })
  system.spawn('channel/scripted/in', actor.spec)
  const seen: Envelope[] = []
  let answer: (envelope: Envelope) => unknown = ({ payload }) => payload
  system.spawn('service/target', {
    concurrency: 10,
    behaviour: () => ({
      receive: (_payload, envelope) => {
        seen.push(envelope)
        return answer(envelope)
      },
    }),
  })
  return {
    system,
    actor,
    seen,
    receive: (message: Partial<Parameters<Receive>[0]>) =>
      receive({ payload: 1, headers: {}, attributes: {}, target: 'service/target', ...message }),
    answerWith: (next: typeof answer) => {
      answer = next
    },
  }
}

test('a channel hands a message to its target with everything the protocol knows', async () => {
  const { actor, receive, seen } = await channelSetUp()
  await actor.opened()
  const answer = await receive({
    payload: { a: 1 },
    headers: { x: 'y' },
    attributes: { path: '/a' },
    cid: 'c1',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  })
  assert.deepEqual(answer, { payload: { a: 1 }, headers: {}, cid: 'c1' })
  const { context } = seen[0]!
  assert.deepEqual(
    { ...context },
    {
      ...context,
      cid: 'c1',
      headers: { x: 'y' },
      trace: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      origin: { channel: { transport: 'scripted', name: 'in', attributes: { path: '/a' } } },
    },
  )
})

test('a channel makes a correlation id when there is none, another one each time', async () => {
  const { receive, seen } = await channelSetUp()
  const [first, second] = [await receive({}), await receive({})]
  assert.ok(first.cid.length > 8)
  assert.notEqual(first.cid, second.cid)
  assert.deepEqual([first.cid, second.cid], [seen[0]!.context.cid, seen[1]!.context.cid])
})

test('a channel passes status and headers of the answer on', async () => {
  const { receive, answerWith } = await channelSetUp()
  answerWith(envelope => {
    envelope.resolve('made', { status: 201, headers: { location: '/7' } })
    return undefined
  })
  const { cid, ...answer } = await receive({})
  assert.deepEqual(answer, { payload: 'made', status: 201, headers: { location: '/7' } })
  assert.ok(cid)
})

test('a channel keeps code, status and details of an error, and adds the correlation id', async () => {
  const { receive, answerWith } = await channelSetUp()
  answerWith(envelope => {
    const options = { status: 409, details: { order: 7 }, retryable: true, retryAfterMs: 50 }
    envelope.reject(new SignalboxError('ORDER_BUSY', 'order 7 is busy', options))
  })
  await assert.rejects(receive({ cid: 'c2' }), {
    code: 'ORDER_BUSY',
    message: 'order 7 is busy',
    status: 409,
    retryable: true,
    retryAfterMs: 50,
    details: { order: 7, cid: 'c2' },
  })
})

test('a channel refuses a message that nobody is to handle, and one for somebody who is not there', async () => {
  const { receive } = await channelSetUp()
  await assert.rejects(receive({ target: 'service/nobody', cid: 'c3' }), {
    code: 'SIGNALBOX_ADDRESS_UNKNOWN',
    details: { cid: 'c3' },
  })
  const system = new ActorSystem()
  const queue = { queue: 'no-target', maxAttempts: 1 }
  const { channel, connection } = memory
  const options = parseOptions(channel!.options, queue, 'in')
  const inbound = channelActor(system, memory, { name: 'in', options })
  system.spawn('channel/memory/in', inbound.spec)
  const outbound = connectionActor(
    system,
    memory,
    'out',
    parseOptions(connection!.options, { queue: 'no-target' }, 'out'),
  )
  system.spawn('connection/memory/out', outbound.spec)
  await turns()
  await assert.rejects(outbound.current(NOBODY).send({ payload: 1 }), { code: 'SIGNALBOX_CONFIG_INVALID' })
  await system.shutdown()
})

test('a message has the time limit that the protocol gives it', async () => {
  const { receive, answerWith, seen, system } = await channelSetUp()
  answerWith(() => new Promise(() => {}))
  const startMs = system.clock.monotonic()
  await assert.rejects(receive({ timeoutMs: 50 }), { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
  assert.ok(system.clock.monotonic() - startMs < 5_000)
  assert.equal(seen[0]!.signal.aborted, true)
})

test('a message is cancelled when its sender gives up', async () => {
  const { receive, answerWith, seen } = await channelSetUp()
  answerWith(() => new Promise(() => {}))
  const sender = new AbortController()
  const answer = receive({ signal: sender.signal })
  await turns()
  sender.abort()
  await assert.rejects(answer, { code: 'SIGNALBOX_CANCELLED' })
  assert.equal(seen[0]!.signal.aborted, true)
})

test('the start of a channel fails when it cannot listen or when trying again is of no use', async () => {
  for (const code of ['SIGNALBOX_LISTEN_FAILED', 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS'] as const) {
    const { actor, system } = await channelSetUp(() => Promise.reject(new SignalboxError(code)))
    await assert.rejects(actor.opened(), { code })
    await system.shutdown()
  }
})

test('the start of a channel does not wait for a server that is away; a ping says why', async () => {
  const { actor, system } = await channelSetUp(() =>
    Promise.reject(new SignalboxError('SIGNALBOX_CONNECT_FAILED', 'nobody there')),
  )
  await actor.opened()
  await assert.rejects(system.ask('channel/scripted/in', 'ping'), {
    code: 'SIGNALBOX_NOT_CONNECTED',
    message: /nobody there/,
  })
  const [view] = system.inspect().filter(({ address }) => address === 'channel/scripted/in')
  assert.equal(view!.connection, 'waiting')
  assert.equal(view!.lastError, 'SIGNALBOX_CONNECT_FAILED: nobody there')
  assert.equal(view!.restarts, 0)
  await system.shutdown()
})

/** A connection whose `send` and `connect` the test scripts. */
function connectionSetUp() {
  const clock = new TestClock()
  const system = new ActorSystem({ clock, random: () => 0 })
  const script = {
    connect: async (): Promise<void> => {},
    send: async ({ payload }: OutgoingMessage) => ({ payload, headers: {}, cid: 'c' }),
  }
  const lost: ((error: Error) => void)[] = []
  const side = {
    options: Type.Object({}),
    create: (_options: object, context: { lost(error: Error): void }): Connection => {
      lost.push(context.lost)
      return {
        connect: () => script.connect(),
        close: async () => {},
        ping: async () => {},
        endpoint: () => 'scripted:there',
        send: message => script.send(message),
      }
    },
  }
  const actor = connectionActor(system, transport({ connection: side }), 'out', {})
  system.spawn('connection/scripted/out', actor.spec)
  return { system, clock, script, lost, actor }
}

test('a connection that is away says so with the last error, and is there again after a pause', async () => {
  const { actor, clock, lost } = connectionSetUp()
  await turns()
  assert.equal(actor.current(NOBODY).endpoint(), 'scripted:there')
  lost[0]!(new Error('cut off'))
  assert.throws(() => actor.current(NOBODY), {
    code: 'SIGNALBOX_NOT_CONNECTED',
    message: 'connection out is not connected: cut off',
  })
  await turns()
  clock.advance(100)
  await turns()
  assert.equal(actor.current(NOBODY).endpoint(), 'scripted:there')
  assert.equal(lost.length, 2)
})

test('a connection sends what its actor is asked to, and stops when the caller gives up', async () => {
  const { system, script } = connectionSetUp()
  await turns()
  assert.deepEqual(await system.ask('connection/scripted/out', { payload: 'x' }), {
    payload: 'x',
    headers: {},
    cid: 'c',
  })
  let signal: AbortSignal | undefined
  script.send = message => {
    signal = message.signal
    return new Promise(() => {})
  }
  const caller = new AbortController()
  const asked = system.ask('connection/scripted/out', { payload: 'x' }, { signal: caller.signal })
  await turns()
  caller.abort()
  await assert.rejects(asked, { code: 'SIGNALBOX_CANCELLED' })
  assert.equal(signal?.aborted, true)
})

test('failed sends do not restart the connection, however many', async () => {
  const { system, script, lost } = connectionSetUp()
  await turns()
  script.send = () => Promise.reject(new SignalboxError('SIGNALBOX_HTTP_STATUS', '500'))
  for (let i = 0; i < 20; i++) {
    await assert.rejects(system.ask('connection/scripted/out', { payload: 'x' }), {
      code: 'SIGNALBOX_HTTP_STATUS',
    })
  }
  const [view] = system.inspect()
  assert.equal(view!.restarts, 0)
  assert.equal(view!.connection, 'open')
  assert.equal(lost.length, 1)
})

test('a transport without the side that is asked for is refused', () => {
  const system = new ActorSystem()
  assert.throws(() => channelActor(system, transport({}), { name: 'x', options: {} }), {
    code: 'SIGNALBOX_TRANSPORT_UNKNOWN',
  })
  assert.throws(() => connectionActor(system, transport({}), 'x', {}), {
    code: 'SIGNALBOX_TRANSPORT_UNKNOWN',
  })
})
