/** Both sides of the conformance harness: bare amqplib programs on a real RabbitMQ. */
import { type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect, credentials } from 'amqplib'
import type {
  ChannelEndpoint,
  ConnectionEndpoint,
  TestAnswer,
  TestMessage,
  TestPeer,
} from '../../test/conformance/transport.ts'
import { deferred } from '../../test/conformance/wait.ts'
import { RABBIT_PASSWORD, RABBIT_USER, type RabbitServer } from '../../test/servers/rabbitmq.ts'
import { freshName, serverOptions } from './test-harness.ts'

const DIRECT = 'amq.rabbitmq.reply-to'
const CID = 'x-signalbox-cid'

const wrong = (server: RabbitServer) => ({
  badCredentials: { password: 'wrong' },
  // Without the authority of the tests nothing vouches for the certificate.
  badCertificate: { url: server.tlsUrl, tls: {} },
})

/** A connection of a program outside; it breaks when the server stops. */
export async function outside(
  server: RabbitServer,
): Promise<{ model: ChannelModel; channel: ConfirmChannel }> {
  const model = await connect(server.url, { credentials: credentials.plain(RABBIT_USER, RABBIT_PASSWORD) })
  // Servers are killed on purpose here.
  model.on('error', () => {})
  const channel = await model.createConfirmChannel()
  channel.on('error', () => {})
  return { model, channel }
}

/** A queue that the suite's channels read, and a program that sends to it and waits for answers. */
export async function openChannelEndpoint(server: RabbitServer): Promise<ChannelEndpoint> {
  const queue = freshName('in')
  const sender = new Sender(server, queue)
  await sender.open()
  return {
    options: { ...serverOptions(server), queue },
    ...wrong(server),
    peer: {
      stop: () => server.kill(),
      start: async () => {
        await server.start()
        await sender.open()
      },
    },
    send: message => sender.send(message),
    unsettled: async () => {
      // What is not confirmed may not be on disk yet.
      await sender.confirmed()
      return await messagesIn(server, queue)
    },
    close: () => sender.close(),
  }
}

/** How many messages a queue keeps, those under way included. */
export async function messagesIn(server: RabbitServer, queue: string): Promise<number> {
  const lines = (await server.control('list_queues', 'name', 'messages')).split('\n')
  const line = lines.find(one => one.startsWith(`${queue}\t`))
  return Number(line?.split('\t')[1] ?? 0)
}

class Sender {
  readonly #server: RabbitServer
  readonly #queue: string
  readonly #waiting = new Map<string, (message: ConsumeMessage) => void>()
  #open: { model: ChannelModel; channel: ConfirmChannel } | undefined
  #last = 0

  constructor(server: RabbitServer, queue: string) {
    this.#server = server
    this.#queue = queue
  }

  async open(): Promise<void> {
    const { model, channel } = await outside(this.#server)
    this.#open = { model, channel }
    channel.setMaxListeners(0)
    await channel.assertQueue(this.#queue, { durable: true })
    await channel.consume(
      DIRECT,
      message => message && this.#waiting.get(message.properties.correlationId)?.(message),
      { noAck: true },
    )
  }

  async send({ payload, headers, cid, signal }: TestMessage): Promise<TestAnswer> {
    const correlationId = cid ?? `c${this.#last++}`
    const { promise, resolve, reject } = deferred<ConsumeMessage>()
    this.#waiting.set(correlationId, resolve)
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
    const { channel } = this.#open!
    channel.once('close', () => reject(new Error('the server went away')))
    channel.sendToQueue(this.#queue, payload, { headers, correlationId, replyTo: DIRECT, persistent: true })
    const { content, properties } = await promise
    const { 'x-signalbox-error': error, ...rest } = properties.headers ?? {}
    if (error !== undefined) throw new Error(`${error}: ${content}`)
    return { payload: content, headers: rest }
  }

  async confirmed(): Promise<void> {
    await this.#open?.channel.waitForConfirms()
  }

  async close(): Promise<void> {
    await this.#open?.channel.deleteQueue(this.#queue).catch(() => {})
    await this.#open?.model.close().catch(() => {})
  }
}

/** A queue that the suite's connections send to, and a program that answers. */
export async function openConnectionEndpoint(server: RabbitServer): Promise<ConnectionEndpoint> {
  const queue = freshName('out')
  let handler: (message: TestMessage) => Promise<TestAnswer> = async ({ payload }) => ({
    payload,
    headers: {},
  })
  let model: ChannelModel
  const listen = async () => {
    const opened = await outside(server)
    model = opened.model
    await opened.channel.assertQueue(queue, { durable: true })
    await opened.channel.consume(queue, message => message && void answer(opened.channel, message, handler))
  }
  await listen()
  const peer: TestPeer = {
    stop: () => server.kill(),
    start: async () => {
      await server.start()
      await listen()
    },
  }
  return {
    options: { ...serverOptions(server), routingKey: queue, reply: true },
    ...wrong(server),
    peer,
    answer(next) {
      handler = next
    },
    close: async () => {
      await model.close().catch(() => {})
    },
  }
}

async function answer(
  channel: ConfirmChannel,
  message: ConsumeMessage,
  handler: (message: TestMessage) => Promise<TestAnswer>,
): Promise<void> {
  channel.ack(message)
  const { headers = {}, replyTo, correlationId } = message.properties
  const texts = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)])
  const { payload, headers: back } = await handler({
    payload: message.content,
    headers: Object.fromEntries(texts),
    ...(headers[CID] !== undefined && { cid: headers[CID] }),
  })
  if (replyTo !== undefined) channel.sendToQueue(replyTo, payload, { headers: back, correlationId })
}
