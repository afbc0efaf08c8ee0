/** Options that both sides share: how to reach the servers, and what is declared on them. */
import type { TProperties } from 'typebox'
import { type Static, Type } from '../../core/schema.ts'

/** A time in milliseconds. */
export const Milliseconds = (description: string, value: number, minimum = 1, maximum = 86_400_000) =>
  Type.Integer({ description: `${description}, in milliseconds`, default: value, minimum, maximum })

/** A number of things, or of bytes. */
export const Count = (description: string, value: number, minimum = 1, maximum = 2_147_483_647) =>
  Type.Integer({ description, default: value, minimum, maximum })

// Names are short strings of the protocol: at most 255 bytes (AMQP 0-9-1, 4.2.5.3).
const Name = (description: string) => Type.String({ description, minLength: 1, maxLength: 255 })
const Key = (description: string) => Type.String({ description, default: '', maxLength: 255 })
const Arguments = (description: string) =>
  Type.Record(Type.String({ maxLength: 255 }), Type.Unknown(), { description, default: {} })
const Optional = (minimum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum, description }))

// User and password are options of their own: a URL ends up in logs and exports.
const Url = (description: string) =>
  Type.String({ pattern: '^amqps?://[^@/?#\\s]+(/[^/?#\\s]*)?$', description })

const Tls = Type.Object(
  {
    ca: Type.Optional(
      Type.String({
        description: 'Authorities of the server: PEM text or the path of a file; default: those of Node.js',
      }),
    ),
    cert: Type.Optional(Type.String({ description: 'Client certificate: PEM text or the path of a file' })),
    key: Type.Optional(
      Type.String({ secret: true, description: 'Client key: PEM text or the path of a file' }),
    ),
    passphrase: Type.Optional(Type.String({ secret: true, description: 'Passphrase of the client key' })),
    servername: Type.Optional(
      Type.String({ description: 'Name that the certificate must be for; default: the host of the URL' }),
    ),
    rejectUnauthorized: Type.Boolean({
      default: true,
      description: 'Refuses servers whose certificate does not verify',
    }),
    minVersion: Type.Union([Type.Literal('TLSv1.2'), Type.Literal('TLSv1.3')], {
      default: 'TLSv1.2',
      description: 'Oldest version of TLS that is accepted',
    }),
  },
  { additionalProperties: false, description: 'For amqps: addresses' },
)

const Exchange = Type.Object(
  {
    name: Name('Name of the exchange'),
    type: Type.String({
      default: 'direct',
      minLength: 1,
      maxLength: 255,
      description: 'direct, topic, fanout, headers, or a type that a plugin adds',
    }),
    passive: Type.Boolean({ default: false, description: 'Only checks that it is there' }),
    durable: Type.Boolean({ default: true, description: 'Survives a restart of the server' }),
    autoDelete: Type.Boolean({ default: false, description: 'Is deleted with its last binding' }),
    internal: Type.Boolean({ default: false, description: 'Takes messages from other exchanges only' }),
    alternateExchange: Type.Optional(Name('Exchange that gets what this one cannot route')),
    arguments: Arguments('Further arguments'),
  },
  { additionalProperties: false },
)

const Queue = Type.Object(
  {
    name: Name('Name of the queue'),
    type: Type.Union([Type.Literal('classic'), Type.Literal('quorum')], {
      default: 'classic',
      description: 'quorum: replicated in a cluster, counts deliveries',
    }),
    passive: Type.Boolean({ default: false, description: 'Only checks that it is there' }),
    durable: Type.Boolean({
      default: true,
      description: 'Survives a restart of the server; quorum queues always do',
    }),
    autoDelete: Type.Boolean({ default: false, description: 'Is deleted with its last consumer' }),
    singleActiveConsumer: Type.Boolean({
      default: false,
      description: 'One consumer at a time gets messages, the others stand by: order over all workers',
    }),
    messageTtlMs: Optional(0, 'Messages expire after so many milliseconds'),
    expiresMs: Optional(1, 'The queue is deleted when unused for so many milliseconds'),
    maxLength: Optional(0, 'Most messages it keeps'),
    maxLengthBytes: Optional(0, 'Most bytes it keeps'),
    overflow: Type.Optional(
      Type.Union(
        [Type.Literal('drop-head'), Type.Literal('reject-publish'), Type.Literal('reject-publish-dlx')],
        { description: 'What happens when it is full; reject-publish makes senders fail' },
      ),
    ),
    maxPriority: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 255, description: 'Levels of priority; classic queues only' }),
    ),
    deliveryLimit: Optional(1, 'Redeliveries before the server dead-letters a message; quorum queues only'),
    deadLetterExchange: Type.Optional(
      Type.String({ maxLength: 255, description: 'Exchange for rejected and expired messages' }),
    ),
    deadLetterRoutingKey: Type.Optional(
      Type.String({ maxLength: 255, description: 'Routing key of dead letters; default: their own' }),
    ),
    arguments: Arguments('Further arguments, by their own names (x-...)'),
  },
  { additionalProperties: false },
)

const Binding = Type.Object(
  {
    source: Name('Exchange that messages come from'),
    queue: Type.Optional(Name('Queue that gets them')),
    exchange: Type.Optional(Name('Exchange that gets them, instead of a queue')),
    routingKey: Key('Routing key or pattern'),
    arguments: Arguments('What a headers exchange matches'),
  },
  { additionalProperties: false },
)

const Topology = Type.Object(
  {
    exchanges: Type.Array(Exchange, { default: [], description: 'Exchanges' }),
    queues: Type.Array(Queue, { default: [], description: 'Queues' }),
    bindings: Type.Array(Binding, { default: [], description: 'Bindings' }),
  },
  {
    additionalProperties: false,
    default: {},
    description:
      'Declared, in this order, each time that it connects; what is there already must be the same',
  },
)

const serverProperties = {
  url: Url('Address of the server, without credentials: amqp://host:5672/vhost or amqps://host:5671'),
  failoverUrls: Type.Array(Url('Address of a server'), {
    default: [],
    description: 'Further servers of the cluster, tried in turn when the first cannot be reached',
  }),
  vhost: Type.Optional(Name('Virtual host; default: the path of the URL, or /')),
  username: Type.String({ default: 'guest', description: 'User name' }),
  password: Type.String({ secret: true, default: 'guest', description: 'Password' }),
  auth: Type.Union([Type.Literal('plain'), Type.Literal('amqplain'), Type.Literal('external')], {
    default: 'plain',
    description: 'SASL mechanism; external: the client certificate says who it is',
  }),
  tls: Type.Optional(Tls),
  connectionName: Type.Optional(
    Name('Name that the server shows; default: signalbox and the name of the channel or connection'),
  ),
  connectTimeoutMs: Milliseconds('Longest time to connect to one server, handshakes included', 10_000),
  closeTimeoutMs: Milliseconds('How long the server may take to answer a close', 5_000),
  heartbeatMs: Type.Integer({
    default: 10_000,
    minimum: 0,
    maximum: 600_000,
    multipleOf: 1000,
    description:
      'Pause between heartbeats, in milliseconds, whole seconds; two missed ones end the connection; 0: none',
  }),
  frameMaxBytes: Count('Largest frame in bytes; the server may lower it', 131_072, 8_192, 16_777_216),
  topology: Topology,
} satisfies TProperties

/** The shared options with those of one side. */
export function withServer<P extends TProperties>(own: P) {
  return Type.Object({ ...serverProperties, ...own }, { additionalProperties: false })
}

const ServerOptions = Type.Object(serverProperties)

export type ServerSettings = Static<typeof ServerOptions>
export type TopologySettings = Static<typeof Topology>
export type QueueSettings = Static<typeof Queue>
