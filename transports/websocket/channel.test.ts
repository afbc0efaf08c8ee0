import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Packr, unpack } from 'msgpackr'
import { SignalboxError } from '../../core/errors.ts'
import { Client, eventually, startChannel } from './testing.ts'

const packr = new Packr({ useRecords: false })

test('requests in JSON and MessagePack are answered in their own encoding', async t => {
  const { url, received } = await startChannel(
    t,
    { routes: [{ path: '/rooms/:id', service: 'chat.say', timeoutMs: 500 }] },
    message => ({
      payload: message.payload === 'bytes' ? Buffer.from([1, 2]) : message.payload,
      headers: { 'x-a': 'b' },
      status: 201,
    }),
  )
  const client = await new Client(t, `${url}/rooms/7?a=1`).opened()
  client.socket.send(
    JSON.stringify({ id: 1, payload: { a: 1 }, headers: { 'X-B': 'c' }, cid: 'my-cid', timeoutMs: 900 }),
  )
  client.socket.send(packr.pack({ id: 'two', payload: Buffer.from('raw') }))
  client.socket.send(JSON.stringify({ id: 3, payload: 'bytes' }))
  client.socket.send(JSON.stringify({ payload: 'no answer' }))
  await eventually(() => client.messages.length === 3 && received.length === 4, 'answers')
  assert.deepEqual(JSON.parse(String(client.messages[0])), {
    id: 1,
    payload: { a: 1 },
    cid: 'my-cid',
    headers: { 'x-a': 'b' },
    status: 201,
  })
  const packed = unpack(client.messages[1] as Buffer)
  assert.equal(packed.id, 'two')
  assert.deepEqual(Buffer.from(packed.payload), Buffer.from('raw'))
  assert.deepEqual(Buffer.from(unpack(client.messages[2] as Buffer).payload), Buffer.from([1, 2]))
  const [first] = received
  assert.equal(first?.target, 'service/chat.say')
  assert.equal(first?.headers['x-b'], 'c')
  assert.equal(first?.headers.upgrade, 'websocket')
  assert.equal(first?.timeoutMs, 500)
  assert.deepEqual(
    {
      ...first?.attributes,
      params: { ...(first?.attributes.params as object) },
      query: { ...(first?.attributes.query as object) },
    },
    {
      path: '/rooms/7',
      route: '/rooms/:id',
      params: { id: '7' },
      query: { a: '1' },
      remoteAddress: '127.0.0.1',
      subprotocol: '',
    },
  )
})

test('errors are answers; server errors keep their secrets', async t => {
  const { url } = await startChannel(t, {}, message => {
    if (message.payload === 'mine')
      throw new SignalboxError('ORDER_UNKNOWN', 'no order 7', { status: 404, details: { id: 7 } })
    throw new SignalboxError('SIGNALBOX_SERVICE_FAILED', 'password is x', { details: { password: 'x' } })
  })
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1,"payload":"mine"}')
  client.socket.send('{"id":2}')
  await eventually(() => client.messages.length === 2, 'errors')
  assert.deepEqual(client.json()[0]!.error, {
    code: 'ORDER_UNKNOWN',
    message: 'no order 7',
    details: { id: 7 },
    status: 404,
    retryable: false,
  })
  assert.doesNotMatch(String(client.messages[1]), /password/)
})

test('streams are sent item by item, and a request can be cancelled', async t => {
  let cancelled: unknown
  const { url } = await startChannel(t, {}, message => {
    if (message.payload !== 'wait') {
      return {
        payload: (async function* () {
          yield 1
          yield 2
        })(),
      }
    }
    return new Promise((_, reject) => {
      message.signal!.addEventListener('abort', () => {
        cancelled = message.signal!.reason
        reject(message.signal!.reason)
      })
    })
  })
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1}')
  await eventually(() => client.messages.length === 3, 'items')
  assert.deepEqual(client.json(), [
    { id: 1, item: true, payload: 1 },
    { id: 1, item: true, payload: 2 },
    { id: 1, end: true, cid: 'made' },
  ])
  client.socket.send('{"id":2,"payload":"wait"}')
  client.socket.send('{"id":2,"payload":"again"}')
  await eventually(() => client.messages.length === 4, 'conflict')
  assert.equal((client.json()[3]!.error as { code: string }).code, 'SIGNALBOX_CONFLICT')
  client.socket.send('{"id":2,"cancel":true}')
  await eventually(() => client.messages.length === 5, 'cancelled answer')
  assert.equal((cancelled as SignalboxError).code, 'SIGNALBOX_CANCELLED')
})

test('a client that leaves aborts what it asked for, in raw mode too', async t => {
  for (const mode of ['json', 'raw']) {
    let aborted = false
    const { url, received } = await startChannel(t, { mode }, message => {
      message.signal!.addEventListener('abort', () => {
        aborted = true
      })
      return new Promise(() => undefined)
    })
    const client = await new Client(t, url).opened()
    client.socket.send('{"id":1}')
    await eventually(() => received.length === 1, 'message')
    client.socket.terminate()
    await eventually(() => aborted, `abort in ${mode} mode`)
  }
})

test('raw mode hands over frames and answers in order', async t => {
  let running = 0
  let most = 0
  const { url } = await startChannel(t, { mode: 'raw' }, async ({ payload }) => {
    most = Math.max(most, ++running)
    await new Promise(resolve => setImmediate(resolve))
    running--
    if (payload === 'fail') throw new SignalboxError('SIGNALBOX_CONFLICT', 'no')
    return { payload: payload === 'none' ? undefined : payload === 'object' ? { a: 1 } : payload }
  })
  const client = await new Client(t, url).opened()
  for (const data of ['a', Buffer.from([1]), 'none', 'object', 'fail', 'z']) client.socket.send(data)
  await eventually(() => client.messages.length === 5, 'answers')
  assert.deepEqual(client.messages.slice(0, 3), ['a', Buffer.from([1]), '{"a":1}'])
  assert.match(String(client.messages[3]), /SIGNALBOX_CONFLICT/)
  assert.equal(client.messages[4], 'z')
  assert.equal(most, 1)
})

test('drain waits for what is under way and says goodbye with 1001', async t => {
  const release = Promise.withResolvers<void>()
  const { url, channel, received } = await startChannel(t, {}, async () => {
    await release.promise
    return { payload: 'done' }
  })
  const busy = await new Client(t, url).opened()
  const idle = await new Client(t, url).opened()
  busy.socket.send('{"id":1}')
  await eventually(() => received.length === 1, 'request')
  const draining = channel.drain()
  await eventually(() => idle.closeCode !== undefined, 'end of the idle client')
  assert.equal(idle.closeCode, 1001)
  busy.socket.send('{"id":2}')
  const late = new Client(t, url)
  await eventually(() => late.closeCode !== undefined, 'refusal')
  assert.equal(busy.closeCode, undefined)
  release.resolve()
  await draining
  await eventually(() => busy.closeCode !== undefined, 'end of the busy client')
  assert.equal(busy.closeCode, 1001)
  assert.deepEqual(busy.json(), [{ id: 1, payload: 'done', cid: 'made' }])
  assert.equal(received.length, 1)
  await channel.drain()
})

test('drain ends streams, also those that wait for their next item', async t => {
  const { url, channel } = await startChannel(t, {}, () => ({
    payload: (async function* () {
      yield 1
      await new Promise(() => undefined)
    })(),
  }))
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1}')
  await eventually(() => client.messages.length === 1, 'item')
  await channel.drain()
  assert.equal((client.json()[1]!.error as { code: string }).code, 'SIGNALBOX_ACTOR_STOPPED')
})

test('close is idempotent and ends everything', async t => {
  const { url, channel } = await startChannel(t, {}, () => new Promise(() => undefined))
  await channel.ping()
  const client = await new Client(t, url).opened()
  client.socket.send('{"id":1}')
  await Promise.all([channel.close(), channel.close()])
  await eventually(() => client.closeCode !== undefined, 'end')
  await assert.rejects(channel.ping(), { code: 'SIGNALBOX_NOT_CONNECTED' })
  await assert.rejects(startChannel(t, { tls: { cert: '/none', key: 'x' } }), {
    code: 'SIGNALBOX_OPTIONS_INVALID',
  })
})
