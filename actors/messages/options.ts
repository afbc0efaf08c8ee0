/** What can be configured of queues, topics and subscriptions. */
import { type Static, type TSchema, Type } from '../../core/schema.ts'
import { DEFAULT_LOG, DEFAULT_RETRY, DEFAULT_SUBSCRIPTION } from '../../core/store/messages/message.ts'

const closed = { additionalProperties: false }
const Ms = (description: string, more: object = {}) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 315_576_000_000, description, ...more }))

const Retry = Type.Optional(
  Type.Object(
    {
      maxAttempts: Type.Optional(
        Type.Integer({
          minimum: 1,
          maximum: 1_000,
          default: DEFAULT_RETRY.maxAttempts,
          description: 'After so many attempts a message is a dead letter.',
        }),
      ),
      minMs: Ms('Pause after the first attempt, ms.', { default: DEFAULT_RETRY.minMs }),
      maxMs: Ms('Longest pause, ms.', { default: DEFAULT_RETRY.maxMs }),
      factor: Type.Optional(
        Type.Number({
          minimum: 1,
          maximum: 10,
          default: DEFAULT_RETRY.factor,
          description: 'Each pause is so many times the one before.',
        }),
      ),
      jitter: Type.Optional(
        Type.Number({
          minimum: 0,
          maximum: 1,
          default: DEFAULT_RETRY.jitter,
          description: 'Share of a pause that is random.',
        }),
      ),
    },
    { ...closed, default: {}, description: 'When a message that failed is delivered again.' },
  ),
)

const DELIVERY = {
  service: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Service that handles the messages. Without it and a connection clients fetch them.',
    }),
  ),
  route: Type.Optional(
    Type.String({ minLength: 1, description: 'Route that handles the messages, in the place of a service.' }),
  ),
  connection: Type.Optional(
    Type.Object(
      {
        name: Type.String({ minLength: 1, names: 'connection', description: 'Name of the connection.' }),
        attributes: Type.Optional(
          Type.Record(Type.String(), Type.Unknown(), {
            default: {},
            description: 'What its protocol needs beside the payload, e.g. method and path.',
          }),
        ),
      },
      { ...closed, description: 'Connection that the messages are sent by, e.g. to a webhook.' },
    ),
  ),
  prefetch: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000,
      default: 32,
      description: 'How many messages each worker handles at once.',
    }),
  ),
  timeoutMs: Ms('How long the service may take for one message, ms.', { default: 30_000 }),
  leaseMs: Ms('How long a client that fetched a message may keep it, ms.', {
    default: DEFAULT_SUBSCRIPTION.leaseMs,
  }),
  retry: Retry,
}

const Names = (description: string) =>
  Type.Optional(Type.Array(Type.String(), { maxItems: 1_000, description }))

const ACCESS = {
  publishers: Names('Identities that may publish by the pub/sub API. Default: whoever its channel lets in.'),
  consumers: Names('Identities that may consume by the pub/sub API. Default: whoever its channel lets in.'),
}

const LIMITS = {
  maxMessages: Type.Optional(
    Type.Integer({
      minimum: 1,
      default: DEFAULT_LOG.maxMessages,
      description: 'How many messages may wait.',
    }),
  ),
  maxBytes: Type.Optional(
    Type.Integer({ minimum: 1_024, default: DEFAULT_LOG.maxBytes, description: 'How many bytes may wait.' }),
  ),
  overflow: Type.Optional(
    Type.Union([Type.Literal('reject'), Type.Literal('dropOldest')], {
      default: 'reject',
      description: 'What happens beyond: publishers are refused, or the oldest message is dropped.',
    }),
  ),
  maxAgeMs: Ms('Messages older than this are dropped, ms. Default: never.'),
  dedupWindowMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 86_400_000,
      default: DEFAULT_LOG.dedupWindowMs,
      description: 'Within this time a second message of the same id is dropped, ms.',
    }),
  ),
  dedupMaxIds: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 10_000_000,
      default: DEFAULT_LOG.dedupMaxIds,
      description: 'So many ids are remembered at most.',
    }),
  ),
}

const QueueSchema = Type.Object({ ...DELIVERY, ...LIMITS, ...ACCESS }, closed)

const TopicSchema = Type.Object(
  {
    ...LIMITS,
    ...ACCESS,
    keep: Type.Optional(
      Type.Object(
        {
          ageMs: Type.Integer({ minimum: 1, description: 'How long a message stays, ms.' }),
          bytes: Type.Integer({ minimum: 1_024, description: 'How many bytes of them stay.' }),
        },
        {
          ...closed,
          description: 'Messages stay to be replayed although everyone has them. Default: they go.',
        },
      ),
    ),
  },
  closed,
)

const SubscriptionSchema = Type.Object(
  {
    topic: Type.String({ minLength: 1, names: 'topic', description: 'Name of the topic.' }),
    ...DELIVERY,
    filter: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())]), {
        description: 'Only messages with these headers: one value, or any of several.',
      }),
    ),
    start: Type.Optional(
      Type.Union(
        [
          Type.Object({ at: Type.Union([Type.Literal('end'), Type.Literal('beginning')]) }, closed),
          Type.Object({ at: Type.Literal('time'), time: Type.Number() }, closed),
          Type.Object({ at: Type.Literal('seq'), seq: Type.Integer({ minimum: 1 }) }, closed),
        ],
        { description: 'Where a new subscription begins. Default: with the next message.' },
      ),
    ),
  },
  closed,
)

export type QueueResource = Static<typeof QueueSchema>
export type TopicResource = Static<typeof TopicSchema>
export type SubscriptionResource = Static<typeof SubscriptionSchema>

/** Schemas of the options by kind. */
export const DURABLE_OPTIONS: Readonly<Record<'queue' | 'topic' | 'subscription', TSchema>> = {
  queue: QueueSchema,
  topic: TopicSchema,
  subscription: SubscriptionSchema,
}
