/** Options of the AMQP channel and connection. */
import { type Static, Type } from '../../core/schema.ts'
import { Count, Milliseconds, withServer } from './server-options.ts'

const Format = Type.Union(
  [
    ...(['auto', 'raw', 'json', 'xml', 'form', 'text', 'msgpack', 'edifact', 'x12', 'hl7'] as const).map(
      name => Type.Literal(name),
    ),
  ],
  {
    default: 'auto',
    description: 'How bodies are read. auto: by their content type, bytes when it is unknown; raw: as bytes',
  },
)

const bodyLimits = {
  format: Format,
  maxBytes: Count(
    'Largest body in bytes, also after decompression; a larger one fails for good',
    16 * 1024 * 1024,
  ),
  maxDepth: Count('How deep a body may be nested', 512),
  maxInflationRatio: Count('How many times its size a compressed body may grow to', 100),
}

const Retry = Type.Object(
  {
    by: Type.Union(
      [
        Type.Literal('requeue'),
        Type.Literal('delayQueues'),
        Type.Literal('deadLetter'),
        Type.Literal('never'),
      ],
      {
        default: 'requeue',
        description:
          'requeue: kept for the delay, then given back; delayQueues: moved to a queue whose messages come ' +
          'back when they expire; deadLetter: rejected, the dead-letter exchange of the queue brings it back; ' +
          'never: the first failure is the last',
      },
    ),
    delaysMs: Type.Array(Type.Integer({ minimum: 0, maximum: 86_400_000 }), {
      default: [1_000],
      minItems: 1,
      maxItems: 16,
      description:
        'Pauses before the deliveries after the first, in milliseconds; the last one stays. requeue: at most ' +
        '600,000, and an error that says when to try again goes before',
    }),
    maxAttempts: Count('Deliveries before the last failure becomes final; 0: no limit', 10, 0),
  },
  {
    additionalProperties: false,
    default: {},
    description: 'What becomes of messages that failed and may succeed later',
  },
)

const Failed = Type.Object(
  {
    to: Type.Union([Type.Literal('reject'), Type.Literal('publish'), Type.Literal('discard')], {
      default: 'reject',
      description:
        'reject: the server dead-letters it, or drops it if the queue has no dead-letter exchange; publish: ' +
        'sent to the exchange below with the reason in its headers; discard: acknowledged',
    }),
    exchange: Type.String({ default: '', maxLength: 255, description: 'Exchange to publish to' }),
    routingKey: Type.String({
      default: '',
      maxLength: 255,
      description: 'Routing key to publish with; the name of a queue with the default exchange',
    }),
  },
  {
    additionalProperties: false,
    default: {},
    description: 'What becomes of messages that failed for good and have no sender who waits for the answer',
  },
)

/** Options of the AMQP channel. */
export const AmqpChannelOptions = withServer({
  queue: Type.String({
    minLength: 1,
    maxLength: 255,
    description: 'Queue to take messages from; it must be there, or in the topology',
  }),
  service: Type.Optional(Type.String({ minLength: 1, description: "Short for target 'service/<name>'" })),
  target: Type.Optional(Type.String({ minLength: 3, description: 'Address that gets the messages' })),
  timeoutMs: Milliseconds('How long the service may take', 30_000, 1, 1_500_000),
  maxInFlight: Count(
    'Messages under way in one worker: the prefetch count, shared by its consumers',
    256,
    1,
    65_535,
  ),
  consumers: Count('Consumers of one worker, each on a channel of its own; above 1 order is lost', 1, 1, 256),
  consumerPriority: Type.Optional(
    Type.Integer({ minimum: -1_000, maximum: 1_000, description: 'Higher ones get messages first' }),
  ),
  consumerArguments: Type.Record(Type.String({ maxLength: 255 }), Type.Unknown(), {
    default: {},
    description: 'Further arguments of the consumers, by their own names (x-...)',
  }),
  ...bodyLimits,
  retry: Retry,
  failed: Failed,
  replies: Type.Union([Type.Literal('temporary'), Type.Literal('any'), Type.Literal('none')], {
    default: 'temporary',
    description:
      'Which reply-to queues get the answer. temporary: those with names made by the server (amq.), which no ' +
      'sender can choose; any: all queues of the virtual host; none: no answers',
  }),
})

const Property = (description: string) => Type.Optional(Type.String({ maxLength: 255, description }))

/** Options of the AMQP connection. */
export const AmqpConnectionOptions = withServer({
  exchange: Type.String({
    default: '',
    maxLength: 255,
    description: 'Exchange to send to, when the message names none; empty: the default exchange',
  }),
  routingKey: Type.String({
    default: '',
    maxLength: 255,
    description: 'Routing key, when the message has none; with the default exchange the name of the queue',
  }),
  mandatory: Type.Boolean({
    default: true,
    description: 'A message that no queue gets is an error',
  }),
  persistent: Type.Boolean({
    default: true,
    description: 'Messages survive a restart of the server in durable queues',
  }),
  contentType: Property('Content type, when the message has none; default: by the payload'),
  type: Property('Property type, when the message has none'),
  appId: Property('Property app-id, when the message has none'),
  userId: Property('Property user-id, when the message has none; the server checks it'),
  priority: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 255, description: 'Priority, when the message has none' }),
  ),
  expirationMs: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Messages expire after so many milliseconds' }),
  ),
  headers: Type.Record(Type.String(), Type.String(), {
    default: {},
    description: 'Headers of every message',
  }),
  reply: Type.Boolean({
    default: false,
    description: 'send waits for an answer, unless its attributes say otherwise',
  }),
  replyQueue: Type.Union([Type.Literal('direct'), Type.Literal('exclusive')], {
    default: 'direct',
    description:
      'Where answers come to. direct: the pseudo-queue amq.rabbitmq.reply-to; exclusive: a temporary queue',
  }),
  timeoutMs: Milliseconds('How long to wait for the confirmation or the answer', 30_000),
  maxInFlight: Count('Messages that may wait for their confirmation; beyond it sending waits', 1_024),
  maxInFlightBytes: Count('Bytes that may wait for their confirmation', 64 * 1024 * 1024, 1_024),
  maxQueued: Count('Messages that may wait to be sent; beyond it sending fails', 10_000),
  ...bodyLimits,
})

export type AmqpChannelSettings = Static<typeof AmqpChannelOptions>
export type AmqpConnectionSettings = Static<typeof AmqpConnectionOptions>
