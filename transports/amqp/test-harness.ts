/** For the tests of this folder: channels and connections on a private server, and bare programs outside. */
import type { TestContext } from 'node:test'
import type { ConfirmChannel, GetMessage, Options } from 'amqplib'
import { systemClock } from '../../core/clock.ts'
import { parseOptions } from '../../core/schema.ts'
import type { Logger } from '../../core/telemetry/log.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type { Inbound, Outbound, TransportContext } from '../../core/transport.ts'
import { until } from '../../test/conformance/wait.ts'
import { RABBIT_PASSWORD, RABBIT_USER, type RabbitServer } from '../../test/servers/rabbitmq.ts'
import { AmqpChannel } from './channel.ts'
import { AmqpConnection } from './connection.ts'
import {
  AmqpChannelOptions,
  type AmqpChannelSettings,
  AmqpConnectionOptions,
  type AmqpConnectionSettings,
} from './options.ts'

/** Something that tests await: what the transport said to its context. */
export interface Heard {
  lost: Error[]
  context: TransportContext
}

export function heard(log: Logger = silentLogger): Heard {
  const lost: Error[] = []
  const { signal } = new AbortController()
  return {
    lost,
    context: { name: 'test', log, clock: systemClock, signal, lost: error => lost.push(error) },
  }
}

type Answer = Partial<Outbound>

/** A channel that is not connected yet. */
export function makeChannel(t: TestContext, options: Record<string, unknown>) {
  const settings = parseOptions<AmqpChannelSettings>(AmqpChannelOptions, options, 'test')
  const { context, lost } = heard()
  const channel = new AmqpChannel(settings, context)
  t.after(() => channel.close())
  return { channel, lost }
}

/** An open channel; `answer` is the service. */
export async function openChannel(
  t: TestContext,
  options: Record<string, unknown>,
  answer: (message: Inbound, delivery: number) => Answer | Promise<Answer> = () => ({}),
) {
  const { channel, lost } = makeChannel(t, options)
  const received: Inbound[] = []
  await channel.connect(async message => {
    received.push(message)
    const given = await answer(message, received.length)
    return { payload: undefined, headers: {}, cid: message.cid ?? 'made', ...given }
  })
  return { channel, lost, received }
}

/** A connection that is not connected yet. */
export function makeConnection(t: TestContext, options: Record<string, unknown>) {
  const settings = parseOptions<AmqpConnectionSettings>(AmqpConnectionOptions, options, 'test')
  const { context, lost } = heard()
  const connection = new AmqpConnection(settings, context)
  t.after(() => connection.close())
  return { connection, lost }
}

export async function openConnection(t: TestContext, options: Record<string, unknown>) {
  const made = makeConnection(t, options)
  await made.connection.connect()
  return made
}

/** Options that reach the server as a user who may do everything. */
export function serverOptions(server: RabbitServer): Record<string, unknown> {
  return { url: server.url, username: RABBIT_USER, password: RABBIT_PASSWORD }
}

let count = 0

/** A name that no other test uses. */
export function freshName(what: string): string {
  return `${what}-${process.pid}-${count++}`
}

/** Sends from outside and resolves when the server has the message. */
export async function put(
  channel: ConfirmChannel,
  queue: string,
  body: string | Buffer,
  options: Options.Publish = {},
): Promise<void> {
  channel.sendToQueue(queue, Buffer.from(body), { persistent: true, ...options })
  await channel.waitForConfirms()
}

/** Takes the next message of a queue, as soon as there is one. */
export async function take(channel: ConfirmChannel, queue: string): Promise<GetMessage> {
  let found: GetMessage | false = false
  await until(async () => {
    found = await channel.get(queue, { noAck: true })
    return found !== false
  }, `a message in ${queue}`)
  return found as unknown as GetMessage
}
