/** Options of the Redis channel and connection. */
import { type Static, Type } from '../../core/schema.ts'

const CLOSED = { additionalProperties: false }
/** `proto-max-bulk-len` of a server that was not told otherwise. */
export const PROTOCOL_MAX_BYTES = 512 * 1024 * 1024

const milliseconds = (description: string, value: number, minimum = 1) =>
  Type.Integer({
    description: `${description}, in milliseconds.`,
    default: value,
    minimum,
    maximum: 86_400_000,
  })

const count = (description: string, value: number, minimum = 1, maximum = 1_000_000) =>
  Type.Integer({ description, default: value, minimum, maximum })

const name = (description: string, more: { examples?: string[]; default?: string } = {}) =>
  Type.String({ description, minLength: 1, maxLength: 1024, ...more })

const address = (description: string) =>
  Type.String({
    description,
    pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[^\\s:@/\\[\\]]+):\\d{1,5}$',
    examples: ['10.0.0.5:6379'],
  })

const pem = (description: string, secret = false) =>
  Type.String({ description, minLength: 1, ...(secret && { secret: true }) })

const tls = (description: string) =>
  Type.Object(
    {
      ca: Type.Optional(
        pem(
          'Authorities the server is trusted by: PEM text or the path of a file; default: those of Node.js.',
        ),
      ),
      cert: Type.Optional(pem('Client certificate: PEM text or the path of a file.')),
      key: Type.Optional(pem('Key of the client certificate: PEM text or the path of a file.', true)),
      servername: Type.Optional(
        name('Name that the certificate must have, where it is not that of the address.'),
      ),
      rejectUnauthorized: Type.Boolean({
        default: true,
        description: 'Refuses servers whose certificate does not verify.',
      }),
    },
    { ...CLOSED, description },
  )

const username = Type.Optional(name('User of the access control list; without it, the default user.'))
const password = Type.Optional(
  Type.String({ description: 'Password of the user.', minLength: 1, secret: true }),
)

/** Where the servers are and who we are to them: the same for both sides. */
const server = {
  url: Type.Optional(
    Type.String({
      description:
        'One server: redis://host:port, or rediss:// for TLS. Credentials and database are options.',
      pattern: '^rediss?://(\\[[0-9A-Fa-f:.]+\\]|[^\\s:@/?#\\[\\]]+)(:\\d{1,5})?$',
      examples: ['redis://127.0.0.1:6379'],
    }),
  ),
  sentinel: Type.Optional(
    Type.Object(
      {
        name: name('Name of the group whose master is wanted.', { examples: ['mymaster'] }),
        nodes: Type.Array(address('A Sentinel, host:port.'), {
          minItems: 1,
          description: 'The Sentinels, as host:port; others are found through them.',
        }),
        username,
        password,
        tls: Type.Optional(tls('TLS to the Sentinels.')),
      },
      { ...CLOSED, description: 'The server is the master that Sentinels name; a failover is followed.' },
    ),
  ),
  cluster: Type.Optional(
    Type.Object(
      {
        nodes: Type.Array(address('A node, host:port.'), {
          minItems: 1,
          description: 'Some nodes of the cluster, as host:port; the others are found through them.',
        }),
      },
      { ...CLOSED, description: 'The server is a Redis Cluster.' },
    ),
  ),
  tls: Type.Optional(tls('TLS to the servers; on with rediss:// even without these settings.')),
  username,
  password,
  db: count('Database; a cluster has number 0 only.', 0, 0, 65_535),
  keyPrefix: Type.String({
    description: 'Put before the names of keys, streams, lists and channels.',
    default: '',
    maxLength: 1024,
  }),
  clientName: Type.Optional(
    Type.String({
      description:
        'Name shown by CLIENT LIST; default: signalbox- and the name of the channel or connection.',
      pattern: '^[!-~]+$',
      maxLength: 255,
    }),
  ),
  connectTimeoutMs: milliseconds('Longest time to connect', 10_000),
  commandTimeoutMs: milliseconds(
    'Longest time for the reply to a command; a server that says nothing at all for so long counts as lost',
    5_000,
  ),
}

const maxPayloadBytes = Type.Integer({
  description: 'Largest payload in bytes; a larger one is refused.',
  default: 16 * 1024 * 1024,
  minimum: 1,
  maximum: PROTOCOL_MAX_BYTES,
})

const deadLetter = Type.Object(
  {
    stream: Type.Optional(
      name('Stream that takes them; default: the name with :dead, in the same hash slot.', {
        examples: ['orders:dead'],
      }),
    ),
    maxLen: count(
      'About how many entries it keeps; older ones are trimmed. 0: all.',
      100_000,
      0,
      1_000_000_000,
    ),
  },
  {
    ...CLOSED,
    default: {},
    description: 'Where messages go that cannot be handled, with the reason, as entries of a stream.',
  },
)

/** How messages that a source keeps are delivered again; for streams and lists. */
const redelivery = {
  maxDeliveries: count(
    'How often a message is delivered before it goes to the dead-letter stream.',
    10,
    1,
    10_000,
  ),
  redeliveryDelayMs: milliseconds(
    'Pause before a failed message is delivered again; it doubles with each failure',
    500,
  ),
  maxRedeliveryDelayMs: milliseconds('Longest such pause', 30_000),
  deadLetter,
}

const stream = Type.Object(
  {
    name: name('The stream.', { examples: ['orders'] }),
    group: name('The consumer group; made when it is missing, and the stream with it.', {
      examples: ['billing'],
    }),
    start: Type.String({
      description:
        'Where a new group begins: $ for what comes from now on, 0 for all there is, or an entry id.',
      default: '$',
      pattern: '^(\\$|\\d+(-\\d+)?)$',
    }),
    consumer: Type.Optional(
      Type.String({
        description:
          'Begin of the consumer name; process and thread follow, for each worker is one. Default: the host.',
        pattern: '^[A-Za-z0-9._-]+$',
        maxLength: 255,
      }),
    ),
    payloadField: name('Field of an entry that holds the payload; the others are headers.', {
      default: 'payload',
    }),
    claimIdleMs: milliseconds(
      'Entries that a consumer took and did not settle for so long are given to another one',
      60_000,
      50,
    ),
    deleteSettled: Type.Boolean({
      description: 'Deletes entries once they are settled; for streams of one group only.',
      default: false,
    }),
    ...redelivery,
  },
  { ...CLOSED, description: 'Reads a stream as a consumer of a group; at least once.' },
)

const list = Type.Object(
  {
    name: name('The list.', { examples: ['jobs'] }),
    from: Type.Union([Type.Literal('left'), Type.Literal('right')], {
      description: 'End that messages are taken from; producers push at the other one.',
      default: 'left',
    }),
    claimIdleMs: milliseconds(
      'Messages of a worker that gave no sign of life for so long go back to the list',
      60_000,
      50,
    ),
    ...redelivery,
  },
  { ...CLOSED, description: 'Takes messages from a list, through a list of those under way; at least once.' },
)

const pubsub = Type.Object(
  {
    channels: Type.Optional(
      Type.Array(name('A channel.'), { minItems: 1, description: 'Channels to subscribe to.' }),
    ),
    patterns: Type.Optional(
      Type.Array(name('A pattern.'), {
        minItems: 1,
        description: 'Patterns to subscribe to, with *, ? and [abc].',
      }),
    ),
    pingIntervalMs: milliseconds(
      'Pause between pings that tell whether the server is still there',
      15_000,
      20,
    ),
  },
  {
    ...CLOSED,
    description: 'Subscribes to channels; at most once: what is published while nobody listens is gone.',
    anyOf: [{ required: ['channels'] }, { required: ['patterns'] }],
  },
)

/** A user is known by a password. */
const WHOLE_CREDENTIALS = { dependencies: { username: ['password'] } }
const ONE_SERVER = { oneOf: [{ required: ['url'] }, { required: ['sentinel'] }, { required: ['cluster'] }] }
const ONE_SOURCE = { oneOf: [{ required: ['stream'] }, { required: ['list'] }, { required: ['pubsub'] }] }
const ONE_TARGET = { oneOf: [{ required: ['service'] }, { required: ['target'] }] }

/** Options of the Redis channel. */
export const RedisChannelOptions = Type.Object(
  {
    ...server,
    stream: Type.Optional(stream),
    list: Type.Optional(list),
    pubsub: Type.Optional(pubsub),
    service: Type.Optional(Type.String({ minLength: 1, description: "Short for target 'service/<name>'." })),
    target: Type.Optional(
      Type.String({
        minLength: 3,
        description: "Address that gets the messages, e.g. 'service/orders.create' or 'topic/orders'.",
      }),
    ),
    timeoutMs: milliseconds('How long the service may take', 30_000),
    contentType: Type.Optional(
      Type.String({
        description:
          'Media type of payloads that do not say theirs, to read them by; default: payloads stay bytes.',
        minLength: 3,
        maxLength: 255,
        examples: ['application/json'],
      }),
    ),
    maxInFlight: count('Messages under way in one worker; no more are taken beyond it.', 256, 1, 65_536),
    maxPayloadBytes,
    maxDepth: count('How deep a payload that is read may be nested.', 512, 1, 10_000),
    blockMs: milliseconds('How long one wait for new messages takes', 5_000, 10),
  },
  { ...CLOSED, ...WHOLE_CREDENTIALS, allOf: [ONE_SERVER, ONE_SOURCE, ONE_TARGET] },
)

/** Options of the Redis connection. */
export const RedisConnectionOptions = Type.Object(
  {
    ...server,
    maxInFlight: count('Operations that may wait for their replies; more are refused.', 10_000),
    maxBlocking: count('Pops that may wait for a message at once; each has a link of its own.', 4, 1, 256),
    maxPayloadBytes,
  },
  { ...CLOSED, ...WHOLE_CREDENTIALS, allOf: [ONE_SERVER] },
)

export type RedisChannelSettings = Static<typeof RedisChannelOptions>
export type RedisConnectionSettings = Static<typeof RedisConnectionOptions>
/** What opens a client. */
export type ServerSettings = Pick<RedisConnectionSettings, Exclude<keyof typeof server, 'keyPrefix'>>
export type TlsSettings = NonNullable<ServerSettings['tls']>
export type StreamSettings = NonNullable<RedisChannelSettings['stream']>
export type ListSettings = NonNullable<RedisChannelSettings['list']>
export type PubSubSettings = NonNullable<RedisChannelSettings['pubsub']>
/** What streams and lists have in common. */
export type RedeliverySettings = Pick<StreamSettings, keyof typeof redelivery>
