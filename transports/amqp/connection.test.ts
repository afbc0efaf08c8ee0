import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import { SignalboxError } from '../../core/errors.ts'
import { clientCertificate, testCa } from '../../test/certificates/certificates.ts'
import { until, within } from '../../test/conformance/wait.ts'
import { RABBIT_PASSWORD, RabbitServer, rabbitTest, VHOST } from '../../test/servers/rabbitmq.ts'
import { outside } from './harness.ts'
import {
  freshName,
  makeConnection,
  openChannel,
  openConnection,
  serverOptions,
  take,
} from './test-harness.ts'

/** Larger messages are refused by the server of these tests. */
const MAX_MESSAGE_BYTES = 1_000_000

describe('AMQP connection', rabbitTest(), () => {
  let server: RabbitServer
  let model: ChannelModel
  let program: ConfirmChannel

  before(async () => {
    server = await RabbitServer.start({ config: [`max_message_size = ${MAX_MESSAGE_BYTES}`] })
    const opened = await outside(server)
    model = opened.model
    program = opened.channel
  })
  after(async () => {
    await model?.close()
    await server?.close()
  })

  const queueFor = async (options = {}) => {
    const { queue } = await program.assertQueue(freshName('out'), options)
    return queue
  }

  test('a message has the properties of the call, else those of the connection', async t => {
    const queue = await queueFor({ maxPriority: 9 })
    const { connection } = await openConnection(t, {
      ...serverOptions(server),
      routingKey: queue,
      appId: 'shop',
      type: 'note',
      priority: 2,
      expirationMs: 60_000,
      headers: { 'x-from': 'bus' },
    })
    const answer = await connection.send({
      payload: { order: 7 },
      headers: { 'X-Own': 'a\r\nb\0' },
      attributes: { type: 'order', priority: 7, messageId: 'm1', path: '/not/for/amqp' },
      cid: 'cid-1',
    })
    assert.deepEqual(answer, { payload: undefined, headers: {}, cid: 'cid-1' })
    const { content, properties } = await take(program, queue)
    assert.equal(content.toString(), '{"order":7}')
    assert.deepEqual(
      { ...properties, headers: { ...properties.headers } },
      {
        ...properties,
        contentType: 'application/json',
        headers: { 'x-from': 'bus', 'X-Own': 'a\r\nb\0', 'x-signalbox-cid': 'cid-1' },
        deliveryMode: 2,
        priority: 7,
        correlationId: 'cid-1',
        messageId: 'm1',
        type: 'order',
        appId: 'shop',
        expiration: '60000',
      },
    )
    await connection.publish({
      payload: '<a/>',
      contentType: 'application/xml',
      persistent: false,
      correlationId: 'own',
      userId: 'bus',
      replyTo: 'answers',
      timestamp: 5,
      headers: { number: 3, list: ['a'], table: { yes: true } },
    })
    const second = (await take(program, queue)).properties
    assert.equal(second.contentType, 'application/xml')
    assert.equal(second.deliveryMode, 1)
    assert.deepEqual(
      [second.correlationId, second.userId, second.replyTo, second.timestamp],
      ['own', 'bus', 'answers', 5],
    )
    assert.deepEqual(second.headers, { 'x-from': 'bus', number: 3, list: ['a'], table: { yes: true } })
  })

  test('payloads: objects by content type, texts and bytes as they are, nothing as nothing', async t => {
    const queue = await queueFor()
    const { connection } = await openConnection(t, { ...serverOptions(server), routingKey: queue })
    const cases: [unknown, string | undefined, string, string | undefined][] = [
      [{ a: { b: 1 } }, 'application/xml', '<a><b>1</b></a>', 'application/xml'],
      [['x'], undefined, '["x"]', 'application/json'],
      ['héllo', undefined, 'héllo', 'text/plain; charset=utf-8'],
      [Buffer.from('raw'), undefined, 'raw', undefined],
      [undefined, undefined, '', undefined],
      [null, undefined, 'null', 'application/json'],
    ]
    for (const [payload, contentType, body, type] of cases) {
      await connection.publish({ payload, ...(contentType && { contentType }) })
      const { content, properties } = await take(program, queue)
      assert.ok(content.toString().includes(body), content.toString())
      assert.equal(properties.contentType, type)
    }
  })

  test('a message that no queue gets is an error, and concerns no other', async t => {
    const queue = await queueFor()
    const { connection } = await openConnection(t, { ...serverOptions(server), timeoutMs: 5_000 })
    const sent = Array.from({ length: 60 }, (_, i) =>
      connection.publish({
        payload: String(i),
        routingKey: i % 3 === 0 ? freshName('nowhere') : queue,
        messageId: 'same',
      }),
    )
    const outcomes = await Promise.allSettled(sent)
    for (const [i, outcome] of outcomes.entries()) {
      if (i % 3 !== 0) assert.equal(outcome.status, 'fulfilled')
      else {
        const error = (outcome as PromiseRejectedResult).reason as SignalboxError
        assert.equal(error.code, 'SIGNALBOX_MESSAGE_UNROUTABLE')
        assert.equal(error.retryable, false)
        assert.match(error.message, /nowhere-.*NO_ROUTE/)
      }
    }
    await connection.publish({ payload: 'x', routingKey: freshName('nowhere'), mandatory: false })
  })

  test('mistakes in one message do not stop the others', async t => {
    const queue = await queueFor()
    const { connection, lost } = await openConnection(t, { ...serverOptions(server), routingKey: queue })
    const cases: [object, string, RegExp][] = [
      [{ exchange: 'absent' }, 'SIGNALBOX_BROKER_TOPOLOGY', /no exchange 'absent'/],
      [{ userId: 'somebody' }, 'SIGNALBOX_BROKER_TOPOLOGY', /somebody/],
      [{ payload: Buffer.alloc(MAX_MESSAGE_BYTES + 1) }, 'SIGNALBOX_FORMAT_LIMIT', /larger than configured/],
      [{ headers: { big: 'x'.repeat(70_000) } }, 'SIGNALBOX_MESSAGE_INVALID', /headers are larger/],
      [{ headers: { ['n'.repeat(256)]: 'x' } }, 'SIGNALBOX_MESSAGE_INVALID', /longer than 255 bytes/],
      [{ headers: { CC: 'other' } }, 'SIGNALBOX_MESSAGE_INVALID', /use cc/],
      [{ headers: { no: Number.NaN } }, 'SIGNALBOX_MESSAGE_INVALID', /cannot be written/],
      [{ type: 'é'.repeat(200) }, 'SIGNALBOX_MESSAGE_INVALID', /cannot be written/],
      [{ priority: 300 }, 'SIGNALBOX_MESSAGE_INVALID', /\/priority/],
      [{ expirationMs: -1 }, 'SIGNALBOX_MESSAGE_INVALID', /\/expirationMs/],
      [{ payload: 1n }, 'SIGNALBOX_CODEC_UNENCODABLE', /./],
    ]
    for (const [message, code, text] of cases) {
      await assert.rejects(
        within(connection.publish({ payload: 'x', ...message }), code),
        (error: SignalboxError) => {
          assert.equal(error.code, code, error.message)
          assert.match(error.message, text)
          assert.equal(error.retryable, false)
          return true
        },
      )
      await within(connection.publish({ payload: 'good' }), 'the next message')
      assert.equal((await take(program, queue)).content.toString(), 'good')
    }
    assert.deepEqual(lost, [])
  })

  test('a frame limit of the connection limits headers, not bodies', async t => {
    const queue = await queueFor()
    const options = { ...serverOptions(server), routingKey: queue, frameMaxBytes: 8_192 }
    const { connection, lost } = await openConnection(t, options)
    await assert.rejects(
      connection.publish({ headers: { big: 'x'.repeat(5_000) } }),
      /headers are larger than 4096/,
    )
    const headers = { ok: 'x'.repeat(4_000) }
    await connection.publish({ payload: Buffer.alloc(100_000), headers, type: 'x'.repeat(255) })
    assert.equal((await take(program, queue)).content.length, 100_000)
    assert.deepEqual(lost, [])
  })

  test('a batch is published in order; what failed is listed', async t => {
    const queue = await queueFor()
    const { connection } = await openConnection(t, serverOptions(server))
    const batch = Array.from({ length: 500 }, (_, i) => ({ payload: String(i) }))
    await connection.publishBatch(batch, { routingKey: queue, headers: { 'x-batch': '1' }, cid: 'c' })
    for (let i = 0; i < 500; i++) {
      const { content, properties } = await take(program, queue)
      assert.equal(content.toString(), String(i))
      assert.equal(properties.headers!['x-batch'], '1')
    }
    const mixed = [{ payload: '1' }, { payload: '2', routingKey: freshName('nowhere') }, { payload: 3n }]
    await assert.rejects(connection.publishBatch(mixed, { routingKey: queue }), (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_MESSAGE_UNROUTABLE')
      const failed = error.details!.failed as { index: number; code: string }[]
      assert.deepEqual(
        failed.map(one => [one.index, one.code]),
        [
          [1, 'SIGNALBOX_MESSAGE_UNROUTABLE'],
          [2, 'SIGNALBOX_CODEC_UNENCODABLE'],
        ],
      )
      return true
    })
    assert.equal((await take(program, queue)).content.toString(), '1')
  })

  test('a full queue refuses, and that may pass', async t => {
    const queue = await queueFor({ maxLength: 1, overflow: 'reject-publish' })
    const { connection } = await openConnection(t, { ...serverOptions(server), routingKey: queue })
    await connection.publish({ payload: '1' })
    await assert.rejects(connection.publish({ payload: '2' }), (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_BROKER_REFUSED')
      assert.equal(error.retryable, true)
      return true
    })
  })

  test('limits of what is under way: sending waits, then fails when too many wait', async t => {
    const queue = await queueFor()
    const options = { ...serverOptions(server), routingKey: queue, maxInFlight: 2, maxQueued: 10 }
    const { connection } = await openConnection(t, options)
    const sent = Array.from({ length: 13 }, (_, i) => connection.publish({ payload: String(i) }))
    const outcomes = await Promise.allSettled(sent)
    const failed = outcomes.filter(one => one.status === 'rejected').map(one => one.reason.code)
    assert.deepEqual(failed, ['SIGNALBOX_OVERLOADED'])
    for (let i = 0; i < 12; i++) assert.equal((await take(program, queue)).content.toString(), String(i))
  })

  for (const replyQueue of ['direct', 'exclusive']) {
    test(`a request through a channel of ours, answers by a ${replyQueue} queue`, async t => {
      const queue = freshName('rpc')
      const topology = { queues: [{ name: queue }] }
      await openChannel(t, { ...serverOptions(server), queue, topology, retry: { by: 'never' } }, message => {
        if (message.payload === 'bad')
          throw new SignalboxError('ORDER_UNKNOWN', 'no order 7', { status: 404 })
        return { payload: { echo: message.payload }, status: 201 }
      })
      const { connection } = await openConnection(t, {
        ...serverOptions(server),
        routingKey: queue,
        replyQueue,
      })
      const ask = (payload: string) => connection.request({ payload, contentType: 'text/plain', cid: 'c1' })
      const answers = await Promise.all(['a', 'b', 'c'].map(ask))
      assert.deepEqual(
        answers.map(one => one.payload),
        [{ echo: 'a' }, { echo: 'b' }, { echo: 'c' }],
      )
      assert.equal(answers[0]!.status, 201)
      assert.equal(answers[0]!.cid, 'c1')
      await assert.rejects(ask('bad'), (error: SignalboxError) => {
        assert.deepEqual([error.code, error.message, error.status], ['ORDER_UNKNOWN', 'no order 7', 404])
        return true
      })
      const nowhere = connection.request({ payload: 'x', routingKey: freshName('nowhere') })
      await assert.rejects(nowhere, { code: 'SIGNALBOX_MESSAGE_UNROUTABLE' })
      // The channel that answers come by is closed by a mistake, and opened again.
      await assert.rejects(connection.publish({ exchange: 'absent' }), { code: 'SIGNALBOX_BROKER_TOPOLOGY' })
      await until(
        () =>
          ask('again').then(
            () => true,
            () => false,
          ),
        'answers come again',
      )
      if (replyQueue === 'direct') return
      // The queue for answers is deleted: requests under way fail, the next one makes another queue.
      const silent = await queueFor()
      const waiting = connection.request({ payload: 'x', routingKey: silent })
      waiting.catch(() => {})
      const { replyTo } = (await take(program, silent)).properties
      await server.control('delete_queue', replyTo)
      await assert.rejects(within(waiting, 'the request'), { code: 'SIGNALBOX_NOT_CONNECTED' })
      assert.deepEqual((await ask('new queue')).payload, { echo: 'new queue' })
    })
  }

  test('hostile answers fail the request that they are for, or nothing', async t => {
    const queue = await queueFor()
    const { connection, lost } = await openConnection(t, { ...serverOptions(server), routingKey: queue })
    const answers = [
      { body: '{"broken', properties: { contentType: 'application/json' }, code: 'SIGNALBOX_FORMAT_INVALID' },
      { body: '[]', properties: { headers: { 'x-signalbox-error': 'X_1' } }, code: 'X_1' },
      {
        body: '{"error":{"code":"E","message":"m","status":"x","__proto__":1}}',
        properties: { contentType: 'application/json', headers: { 'x-signalbox-error': 'E' } },
        code: 'SIGNALBOX_FORMAT_INVALID',
      },
      {
        body: '{"error":{"code":"E","message":"m","status":"x"}}',
        properties: { contentType: 'application/json', headers: { 'x-signalbox-error': 'E' } },
        code: 'E',
      },
    ]
    for (const { body, properties, code } of answers) {
      const asked = connection.request({ payload: 'q' })
      asked.catch(() => {})
      const { replyTo, correlationId, expiration } = (await take(program, queue)).properties
      assert.equal(expiration, '30000')
      program.sendToQueue(replyTo, Buffer.from('stray'), { correlationId: 'nobody' })
      program.sendToQueue(replyTo, Buffer.from('stray'))
      program.sendToQueue(replyTo, Buffer.from(body), { correlationId, ...properties })
      await assert.rejects(within(asked, 'the answer'), { code })
      program.sendToQueue(replyTo, Buffer.from('twice'), { correlationId })
    }
    await connection.ping()
    assert.deepEqual(lost, [])
  })

  test('a broker that takes no messages makes senders wait, then lets them on', async t => {
    const queue = await queueFor()
    const { connection } = await openConnection(t, { ...serverOptions(server), routingKey: queue })
    await server.control('set_vm_memory_high_watermark', '0')
    try {
      // The broker says that it is blocked to a connection that publishes.
      const first = connection.publish({ payload: '1' })
      await until(
        () =>
          connection.ping().then(
            () => false,
            error => error.code === 'SIGNALBOX_OVERLOADED',
          ),
        'blocked',
      )
      const late = connection.publish({ payload: 'late', timeoutMs: 20 })
      await assert.rejects(late, (error: SignalboxError) => {
        assert.equal(error.code, 'SIGNALBOX_TIMEOUT_DEADLINE')
        assert.match(error.message, /takes no messages at the moment: low on memory/)
        return true
      })
      const second = connection.publish({ payload: '2' })
      await server.control('set_vm_memory_high_watermark', 'absolute', '2GB')
      await within(Promise.all([first, second]), 'both are taken')
    } finally {
      await server.control('set_vm_memory_high_watermark', 'absolute', '2GB')
    }
    const bodies = [await take(program, queue), await take(program, queue)].map(one => String(one.content))
    assert.deepEqual(bodies, ['1', '2'])
    await connection.ping()
  })

  test('servers are tried in turn; the virtual host may be in the URL', async t => {
    const { port } = new URL(server.url)
    const vhost = encodeURIComponent(VHOST)
    const { connection } = await openConnection(t, {
      ...serverOptions(server),
      url: 'amqp://127.0.0.1:1',
      failoverUrls: ['amqp://127.0.0.1:2', `amqp://127.0.0.1:${port}/${vhost}`],
      connectionName: 'shop floor',
      topology: { queues: [{ name: 'tenant-queue' }] },
      routingKey: 'tenant-queue',
    })
    assert.equal(connection.endpoint(), `amqp://127.0.0.1:${port}/${vhost}`)
    await connection.publish({ payload: 'x' })
    const lines = await server.control('list_connections', 'vhost', 'client_properties')
    assert.match(lines, /tenant\/one.*shop floor/)
    const { connection: none } = makeConnection(t, {
      ...serverOptions(server),
      url: 'amqp://127.0.0.1:1',
      failoverUrls: ['amqp://127.0.0.1:2'],
    })
    await assert.rejects(none.connect(), (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_CONNECT_FAILED')
      assert.match(error.message, /127.0.0.1:1.*127.0.0.1:2/)
      assert.equal(error.retryable, true)
      return true
    })
  })

  test('TLS with the right authority, and a client certificate', async t => {
    const queue = await queueFor()
    const tls = { ca: testCa, ...clientCertificate }
    const options = { ...serverOptions(server), url: server.tlsUrl, tls, routingKey: queue }
    const { connection } = await openConnection(t, options)
    await connection.publish({ payload: 'secret' })
    assert.equal((await take(program, queue)).content.toString(), 'secret')
    const wrongName = { ...options, tls: { ...tls, servername: 'other.invalid' } }
    await assert.rejects(makeConnection(t, wrongName).connection.connect(), {
      code: 'SIGNALBOX_TLS_UNVERIFIED',
    })
    const noKey = { ...options, tls: { ca: 'nonsense-----BEGIN', cert: 'x', key: 'y' } }
    await assert.rejects(makeConnection(t, noKey).connection.connect(), { code: 'SIGNALBOX_OPTIONS_INVALID' })
    const plain = { ...options, url: server.url.replace('amqp:', 'amqps:'), connectTimeoutMs: 3_000 }
    await assert.rejects(makeConnection(t, plain).connection.connect(), { code: 'SIGNALBOX_CONNECT_FAILED' })
    const external = { ...options, auth: 'external' }
    await assert.rejects(makeConnection(t, external).connection.connect(), {
      code: 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS',
    })
    const amqplain = { ...options, auth: 'amqplain' }
    await (await openConnection(t, amqplain)).connection.ping()
    const wrong = { ...options, auth: 'amqplain', password: `${RABBIT_PASSWORD}x` }
    await assert.rejects(makeConnection(t, wrong).connection.connect(), {
      code: 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS',
    })
  })
})
