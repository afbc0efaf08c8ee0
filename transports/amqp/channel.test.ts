import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { ChannelModel, ConfirmChannel } from 'amqplib'
import { SignalboxError } from '../../core/errors.ts'
import { turns, until, within } from '../../test/conformance/wait.ts'
import { RABBIT_STRANGER, RabbitServer, rabbitTest, VHOST } from '../../test/servers/rabbitmq.ts'
import { messagesIn, outside } from './harness.ts'
import { freshName, makeChannel, openChannel, put, serverOptions, take } from './test-harness.ts'

const again = () => new SignalboxError('SIGNALBOX_OVERLOADED', 'try again')
const refused = () => new SignalboxError('SIGNALBOX_REQUEST_REFUSED', 'not like this')

describe('AMQP channel', rabbitTest(), () => {
  let server: RabbitServer
  let model: ChannelModel
  let program: ConfirmChannel

  before(async () => {
    server = await RabbitServer.start()
    const opened = await outside(server)
    model = opened.model
    program = opened.channel
  })
  after(async () => {
    await model?.close().catch(() => {}) // servers and operators end it in some tests
    await server?.close()
  })

  /** Options of a channel on a queue of its own. */
  const onQueue = (queue: Record<string, unknown> = {}, options: Record<string, unknown> = {}) => {
    const name = freshName('q')
    return {
      name,
      options: {
        ...serverOptions(server),
        queue: name,
        topology: { queues: [{ name, ...queue }] },
        ...options,
      },
    }
  }

  test('a message arrives parsed by its content type, with all its properties', async t => {
    const { name, options } = onQueue({}, { service: 'orders.create' })
    const { received } = await openChannel(t, options)
    await put(program, name, '{"order":7}', {
      contentType: 'application/json; charset=utf-8',
      headers: {
        'X-Region': 'north',
        'x-count': 3,
        'x-yes': true,
        'x-list': ['a', 'b'],
        traceparent: '00-ab',
      },
      correlationId: 'cid-1',
      messageId: 'm1',
      type: 'order',
      appId: 'shop',
      priority: 3,
      timestamp: 1_700_000_000,
    })
    await until(() => received.length === 1, 'the message')
    const { payload, headers, attributes, cid, traceparent, target, bytes } = received[0]!
    assert.deepEqual(payload, { order: 7 })
    assert.deepEqual(headers, {
      'x-region': 'north',
      'x-count': '3',
      'x-yes': 'true',
      traceparent: '00-ab',
      'content-type': 'application/json; charset=utf-8',
    })
    assert.deepEqual(
      { cid, traceparent, target, bytes },
      { cid: 'cid-1', traceparent: '00-ab', target: 'service/orders.create', bytes: 11 },
    )
    assert.deepEqual(attributes, {
      queue: name,
      exchange: '',
      routingKey: name,
      redelivered: false,
      attempt: 1,
      messageId: 'm1',
      correlationId: 'cid-1',
      type: 'order',
      appId: 'shop',
      contentType: 'application/json; charset=utf-8',
      priority: 3,
      timestamp: 1_700_000_000,
      deliveryMode: 2,
      headers: { 'x-list': ['a', 'b'] },
    })
  })

  test('a compressed body is read within limits; a bomb is refused and dead-lettered', async t => {
    const dead = freshName('dead')
    await program.assertQueue(dead)
    const { name, options } = onQueue(
      { deadLetterExchange: '', deadLetterRoutingKey: dead },
      { maxBytes: 100_000 },
    )
    const { received } = await openChannel(t, options)
    const gzip = { contentType: 'application/json', contentEncoding: 'gzip' }
    await put(program, name, gzipSync('{"small":true}'), gzip)
    await put(program, name, gzipSync(Buffer.alloc(10_000_000, 32)), gzip)
    await put(program, name, 'not gzip', gzip)
    await put(program, name, Buffer.alloc(100_001), {})
    await put(program, name, '{"broken"', { contentType: 'application/json' })
    await until(() => received.length === 1, 'the message')
    assert.deepEqual(received[0]!.payload, { small: true })
    for (let i = 0; i < 4; i++) await take(program, dead)
    assert.equal(received.length, 1)
  })

  test('hostile names and values reach the service as data and nothing else', async t => {
    const { name, options } = onQueue()
    const { received } = await openChannel(t, options)
    const headers = JSON.parse('{"__proto__":{"polluted":1},"constructor":"x","a\\r\\nb":"c\\r\\nd\\u0000"}')
    headers['x'.repeat(255)] = 'long'
    await put(program, name, 'x', {
      headers,
      correlationId: 'a\r\nb',
      replyTo: 'amq.rabbitmq.reply-to.nonsense',
      contentType: 'nonsense;;;=',
    })
    await put(program, name, 'x', {
      replyTo: 'amq.\r\n\0',
      headers: { 'x-death': 'no list', 'x-signalbox-attempts': -5 },
    })
    await put(program, name, 'last', {})
    await until(() => received.length === 3, 'all messages')
    const [first, second] = received
    assert.equal(({} as Record<string, unknown>).polluted, undefined)
    assert.equal(first!.headers.polluted, undefined)
    assert.equal(Object.hasOwn(first!.headers, '__proto__'), false)
    assert.equal(first!.headers['a\r\nb'], 'c\r\nd\0')
    assert.equal(first!.cid, undefined)
    assert.equal(second!.attributes.attempt, 1)
    await until(async () => (await messagesIn(server, name)) === 0, 'all are acknowledged')
  })

  for (const type of ['classic', 'quorum']) {
    test(`a message that fails again and again is dead-lettered after maxAttempts: ${type} queue`, async t => {
      const dead = freshName('dead')
      await program.assertQueue(dead)
      const { name, options } = onQueue(
        { type, deadLetterExchange: '', deadLetterRoutingKey: dead },
        { retry: { delaysMs: [1], maxAttempts: 3 } },
      )
      const { received } = await openChannel(t, options, message => {
        if (String(message.payload) === 'poison') throw again()
        return {}
      })
      await put(program, name, 'poison')
      const message = await take(program, dead)
      assert.equal(message.properties.headers!['x-death']![0]!.reason, 'rejected')
      assert.deepEqual(
        received.map(one => one.attributes.attempt),
        [1, 2, 3],
      )
      await put(program, name, 'good')
      await until(() => received.length === 4, 'the next message')
    })
  }

  test('a failure that repetition does not mend is dead-lettered at once', async t => {
    const dead = freshName('dead')
    await program.assertQueue(dead)
    const { name, options } = onQueue({ deadLetterExchange: '', deadLetterRoutingKey: dead })
    const { received } = await openChannel(t, options, () => {
      throw refused()
    })
    await put(program, name, 'bad')
    await take(program, dead)
    assert.equal(received.length, 1)
  })

  test('delay queues: failed messages come back when they expire, then are published with the reason', async t => {
    const dead = freshName('dead')
    await program.assertQueue(dead)
    const { name, options } = onQueue(
      {},
      {
        retry: { by: 'delayQueues', delaysMs: [20, 40], maxAttempts: 3 },
        failed: { to: 'publish', routingKey: dead },
      },
    )
    const { received } = await openChannel(t, options, () => {
      throw again()
    })
    await put(program, name, 'poison', {
      messageId: 'm7',
      expiration: '60000',
      userId: 'bus',
      headers: { 'x-own': 'kept', CC: [dead] },
    })
    // The copy that the sender asked for; moving the message makes no further ones.
    assert.equal((await take(program, dead)).properties.headers!['x-signalbox-error'], undefined)
    const { properties, content } = await take(program, dead)
    assert.equal(content.toString(), 'poison')
    assert.equal(properties.messageId, 'm7')
    assert.equal(properties.deliveryMode, 2)
    assert.equal(properties.expiration, undefined)
    const headers = properties.headers!
    assert.deepEqual(
      ['x-own', 'x-signalbox-error', 'x-signalbox-error-message', 'x-signalbox-attempts'].map(
        one => headers[one],
      ),
      ['kept', 'SIGNALBOX_OVERLOADED', 'try again', 3],
    )
    assert.equal(headers['x-signalbox-failed-queue'], name)
    assert.deepEqual(
      received.map(one => one.attributes.attempt),
      [1, 2, 3],
    )
    assert.equal(await program.get(dead), false)
  })

  test('a dead letter that cannot be published stays in its queue', async t => {
    const { name, options } = onQueue({}, { failed: { to: 'publish', routingKey: freshName('nowhere') } })
    const { received } = await openChannel(t, options, () => {
      throw refused()
    })
    await put(program, name, 'bad')
    await until(() => received.length >= 2, 'it comes again')
    assert.equal(await messagesIn(server, name), 1)
  })

  test('the dead-letter exchange of the queue may bring messages back: its record counts the attempts', async t => {
    const [dead, wait] = [freshName('dead'), freshName('wait')]
    await program.assertQueue(dead)
    const { name, options } = onQueue(
      { deadLetterExchange: '', deadLetterRoutingKey: wait },
      {
        retry: { by: 'deadLetter', maxAttempts: 3 },
        failed: { to: 'publish', routingKey: dead },
      },
    )
    await program.assertQueue(wait, { messageTtl: 5, deadLetterExchange: '', deadLetterRoutingKey: name })
    const { received } = await openChannel(t, options, () => {
      throw again()
    })
    await put(program, name, 'poison')
    await take(program, dead)
    assert.deepEqual(
      received.map(one => one.attributes.attempt),
      [1, 2, 3],
    )
  })

  test('discard acknowledges what failed for good', async t => {
    const { name, options } = onQueue({}, { failed: { to: 'discard' } })
    await openChannel(t, options, () => {
      throw refused()
    })
    await put(program, name, 'bad')
    await until(async () => (await messagesIn(server, name)) === 0, 'it is gone')
  })

  test('several consumers share maxInFlight', async t => {
    const { name, options } = onQueue({}, { consumers: 3, maxInFlight: 7 })
    const gate = Promise.withResolvers<void>()
    const { received } = await openChannel(t, options, async () => {
      await gate.promise
      return {}
    })
    for (let i = 0; i < 20; i++) await put(program, name, String(i))
    await until(() => received.length === 7, 'the limit')
    await turns(50)
    assert.equal(received.length, 7)
    const lines = await server.control('list_consumers', 'queue_name', 'prefetch_count')
    const counts = lines.split('\n').filter(line => line.startsWith(`${name}\t`))
    assert.deepEqual(counts.map(line => Number(line.split('\t')[1])).sort(), [2, 2, 3])
    gate.resolve()
    await until(() => received.length === 20, 'all messages')
  })

  test('a drain gives back at once what waits for another delivery', async t => {
    const { name, options } = onQueue({}, { retry: { delaysMs: [600_000] } })
    const { channel, received } = await openChannel(t, options, () => {
      throw again()
    })
    await put(program, name, 'later')
    await until(() => received.length === 1, 'the message')
    await within(channel.drain(), 'drain')
    const { content } = await take(program, name)
    assert.equal(content.toString(), 'later')
  })

  test('answers go to queues of the server, and to others only when all are allowed', async t => {
    const open = freshName('open')
    await program.assertQueue(open)
    const { queue: temporary } = await program.assertQueue('', { exclusive: true })
    const answer = () => ({ payload: { ok: true }, status: 201, headers: { 'x-own': 'yes' } })
    const closed = onQueue()
    await openChannel(t, closed.options, answer)
    await put(program, closed.name, 'q', { replyTo: open, correlationId: '1' })
    await put(program, closed.name, 'q', { replyTo: temporary, correlationId: '2' })
    const { content, properties } = await take(program, temporary)
    assert.deepEqual(JSON.parse(content.toString()), { ok: true })
    assert.equal(properties.contentType, 'application/json')
    assert.equal(properties.correlationId, '2')
    assert.deepEqual(properties.headers, {
      'x-own': 'yes',
      'x-signalbox-cid': '2',
      'x-signalbox-status': '201',
    })
    const all = onQueue({}, { replies: 'any' })
    await openChannel(t, all.options, answer)
    await put(program, all.name, 'q', { replyTo: open, correlationId: '3' })
    assert.equal((await take(program, open)).properties.correlationId, '3')
    const none = onQueue({}, { replies: 'none' })
    await openChannel(t, none.options, answer)
    await put(program, none.name, 'q', { replyTo: temporary, correlationId: '4' })
    await until(async () => (await messagesIn(server, none.name)) === 0, 'it is acknowledged')
    assert.equal(await program.get(temporary), false)
    assert.equal(await program.get(open), false)
  })

  test('an answer that cannot be written is told as an error, and the message is settled', async t => {
    const { queue: temporary } = await program.assertQueue('', { exclusive: true })
    const answers = [
      { payload: 1n },
      { headers: { big: 'x'.repeat(200_000) } },
      { headers: { ['n'.repeat(300)]: 'x' } },
      {
        payload: (async function* () {
          yield 1
        })(),
      },
    ]
    const { name, options } = onQueue()
    await openChannel(t, options, (_message, delivery) => answers[delivery - 1] ?? { payload: 'fine' })
    for (let i = 0; i <= answers.length; i++) await put(program, name, 'q', { replyTo: temporary })
    for (const code of [
      'CODEC_UNENCODABLE',
      'ANSWER_INVALID',
      'ANSWER_INVALID',
      'CODEC_UNENCODABLE',
      undefined,
    ]) {
      const { headers } = (await take(program, temporary)).properties
      assert.equal(headers!['x-signalbox-error'], code && `SIGNALBOX_${code}`)
    }
    await until(async () => (await messagesIn(server, name)) === 0, 'all are settled')
  })

  test('an inner error keeps its message to itself, the fault of the sender does not', async t => {
    const { queue: temporary } = await program.assertQueue('', { exclusive: true })
    const errors = [new SignalboxError('SIGNALBOX_SERVICE_FAILED', 'the password is 123'), refused()]
    const { name, options } = onQueue()
    await openChannel(t, options, (_message, delivery) => {
      throw errors[delivery - 1]
    })
    await put(program, name, 'q', { replyTo: temporary })
    await put(program, name, 'q', { replyTo: temporary })
    const bodies = [await take(program, temporary), await take(program, temporary)].map(one =>
      String(one.content),
    )
    assert.doesNotMatch(bodies[0]!, /123/)
    assert.match(bodies[1]!, /not like this/)
  })

  test('the topology is declared, and what is there must be the same', async t => {
    const [queue, exchange, other] = [freshName('q'), freshName('e'), freshName('e')]
    const topology = {
      exchanges: [
        { name: exchange, type: 'topic', alternateExchange: 'amq.fanout' },
        { name: other, type: 'headers' },
      ],
      queues: [
        { name: queue, type: 'quorum', deliveryLimit: 5, maxLength: 1_000, overflow: 'reject-publish' },
        { name: `${queue}.p`, maxPriority: 5, messageTtlMs: 60_000, arguments: { 'x-queue-mode': 'lazy' } },
      ],
      bindings: [
        { source: exchange, queue, routingKey: 'orders.#' },
        { source: other, exchange, arguments: { 'x-match': 'all', region: 'north' } },
      ],
    }
    const { received } = await openChannel(t, { ...serverOptions(server), queue, topology })
    program.publish(exchange, 'orders.new', Buffer.from('1'))
    program.publish(exchange, 'invoices.new', Buffer.from('no'))
    program.publish(other, 'orders.x', Buffer.from('2'), { headers: { region: 'north' } })
    program.publish(other, 'orders.x', Buffer.from('no'), { headers: { region: 'south' } })
    await until(() => received.length === 2, 'both messages')
    assert.deepEqual(received.map(one => String(one.payload)).sort(), ['1', '2'])
    const wrong = { queues: [{ name: queue, type: 'classic' }] }
    const { channel } = makeChannel(t, { ...serverOptions(server), queue, topology: wrong })
    await assert.rejects(channel.connect(never), (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_BROKER_TOPOLOGY')
      assert.match(error.message, /queue q-.*PRECONDITION_FAILED - inequivalent arg/)
      assert.equal(error.retryable, false)
      return true
    })
  })

  test('a queue, exchange or permission that is missing is a clear error', async t => {
    const absent = freshName('absent')
    const cases: [Record<string, unknown>, string, RegExp][] = [
      [{ queue: absent }, 'SIGNALBOX_BROKER_TOPOLOGY', new RegExp(`no queue '${absent}'`)],
      [
        { queue: absent, topology: { exchanges: [{ name: absent, passive: true }] } },
        'SIGNALBOX_BROKER_TOPOLOGY',
        new RegExp(`no exchange '${absent}'`),
      ],
      [
        { queue: absent, username: RABBIT_STRANGER, topology: { queues: [{ name: absent }] } },
        'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS',
        /ACCESS_REFUSED/,
      ],
      [
        { queue: absent, vhost: 'nowhere' },
        'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS',
        /no virtual host 'nowhere'/,
      ],
      [
        { queue: absent, vhost: VHOST, username: RABBIT_STRANGER },
        'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS',
        /virtual host 'tenant\/one'/,
      ],
    ]
    for (const [options, code, text] of cases) {
      const { channel } = makeChannel(t, { ...serverOptions(server), ...options })
      await assert.rejects(channel.connect(never), (error: SignalboxError) => {
        assert.equal(error.code, code, error.message)
        assert.match(error.message, text)
        assert.equal(error.retryable, false)
        return true
      })
      await assert.rejects(channel.ping())
    }
  })

  test('a queue that is deleted, and a channel that the broker closes, end the channel', async t => {
    const { name, options } = onQueue()
    const { lost } = await openChannel(t, options)
    await program.deleteQueue(name)
    await until(() => lost.length > 0, 'lost() is called')
    assert.match(lost[0]!.message, /was the queue deleted/)
    const other = onQueue()
    const second = await openChannel(t, other.options)
    const [connection] = (await server.control('list_connections', 'pid', 'client_properties'))
      .split('\n')
      .filter(line => line.includes('signalbox test'))
    assert.ok(connection)
    for (const line of (await server.control('list_connections', 'pid'))
      .split('\n')
      .filter(one => one.startsWith('<')))
      await server.control('close_connection', line.trim(), 'closed by an operator').catch(() => {})
    await until(() => second.lost.length > 0, 'lost() is called')
    assert.equal((second.lost[0] as SignalboxError).code, 'SIGNALBOX_NOT_CONNECTED')
    assert.match(second.lost[0]!.message, /closed by an operator/)
    const opened = await outside(server)
    model = opened.model
    program = opened.channel
  })

  test('options that contradict each other are refused', t => {
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ failed: { to: 'publish' } }, /\/failed needs/],
      [{ retry: { by: 'deadLetter' } }, /come back for ever/],
      [{ service: 'a', target: 'service/b' }, /\/service/],
      [{ tls: {} }, /\/url must be amqps/],
      [{ url: 'amqps://h', tls: { cert: 'x' } }, /both cert and key/],
      [{ url: 'amqp://u:p@h' }, /pattern/],
      [{ url: 'amqp://h/%zz' }, /not escaped/],
      [{ topology: { bindings: [{ source: 'e' }] } }, /either queue or exchange/],
    ]
    for (const [options, text] of cases) {
      const make = () => makeChannel(t, { url: 'amqp://127.0.0.1', queue: 'q', ...options })
      assert.throws(make, (error: SignalboxError) => {
        assert.equal(error.code, 'SIGNALBOX_OPTIONS_INVALID')
        assert.match(error.message, text)
        return true
      })
    }
  })
})

async function never(): Promise<never> {
  throw new Error('nothing may arrive')
}
