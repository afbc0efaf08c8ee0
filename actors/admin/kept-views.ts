/** JSON Schemas of queues, topics, messages and schedules, as the admin API shows them. */
import { Type } from '../../core/schema.ts'

const Instant = Type.Integer({ description: 'Milliseconds since the epoch' })
const Count = Type.Integer()
const Some = (description: string) => Type.Optional(Type.Number({ description }))

const Problem = Type.Object({ code: Type.String(), message: Type.String() })

const SubscriptionSchema = Type.Object(
  {
    name: Type.String(),
    ready: Count,
    leased: Type.Integer({ description: 'In the hands of consumers' }),
    delayed: Count,
    dead: Type.Integer({ description: 'Dead letters' }),
    oldestAt: Type.Optional(Instant),
    startSeq: Count,
    delivered: Count,
    settled: Count,
    failures: Count,
    leaseMs: Count,
    target: Type.Optional(Type.String({ description: 'Who gets its messages; absent: clients fetch them' })),
  },
  { additionalProperties: true },
)

export const LogSchema = Type.Object(
  {
    kind: Type.Union([Type.Literal('queue'), Type.Literal('topic')]),
    name: Type.String(),
    ready: Some('Of a topic the sum over its subscriptions, as the next three'),
    leased: Some('In the hands of consumers'),
    delayed: Some('Delivered later'),
    dead: Some('Dead letters'),
    messages: Some('Messages that somebody has not settled'),
    bytes: Some('Their size'),
    maxMessages: Some('How many may wait'),
    maxBytes: Some('How many bytes may wait'),
    kept: Some('Messages that stay to be replayed'),
    oldestAt: Type.Optional(Instant),
    published: Some('Since the keeper has started, as the next three'),
    duplicates: Some('Dropped because their id had come before'),
    expired: Some('Not delivered in time'),
    dropped: Some('Taken away by age, size or hand'),
    publishedPerSecond: Some('Over the last seconds'),
    settledPerSecond: Some('Over the last seconds'),
    subscriptions: Type.Array(SubscriptionSchema),
    error: Type.Optional(Problem),
  },
  { description: 'One that did not open has an error and no figures' },
)

export const Logs = Type.Array(LogSchema)

const HEAD = {
  seq: Count,
  state: Type.String({ description: 'ready, waiting, leased, delayed, dead or settled' }),
  attempts: Count,
  publishedAt: Instant,
  dueAt: Type.Optional(Instant),
  expiresAt: Type.Optional(Instant),
  id: Type.Optional(Type.String()),
  key: Type.Optional(Type.String()),
  priority: Count,
  cid: Type.Optional(Type.String()),
  from: Type.Optional(Type.String({ description: 'Where it came from' })),
  bytes: Count,
}
const Failure = Type.Object(
  { code: Type.String(), message: Type.String(), at: Instant },
  { additionalProperties: true, description: 'Of the last attempt' },
)
const Next = Type.Optional(Type.Integer({ description: 'Give this as `after` to go on; absent at the end' }))

export const MessageHeads = Type.Object({
  messages: Type.Array(Type.Object({ ...HEAD, failure: Type.Optional(Failure) })),
  next: Next,
})

export const MessageSchema = Type.Object(
  {
    ...HEAD,
    headers: Type.Record(Type.String(), Type.String()),
    payload: Type.Optional(Type.Unknown()),
    payloadBase64: Type.Optional(Type.String({ description: 'A payload of bytes' })),
    payloadOmitted: Type.Optional(
      Type.Literal(true, { description: 'It is large: ask for it by its number' }),
    ),
    failure: Type.Optional(Failure),
  },
  { additionalProperties: true },
)

export const Messages = Type.Object({ messages: Type.Array(MessageSchema), next: Next })

export const Published = Type.Object({ seq: Count, duplicate: Type.Boolean(), cid: Type.String() })

export const HowMany = Type.Object({ count: Type.Integer({ description: 'How many messages' }) })

export const RunSchema = Type.Object({
  number: Count,
  dueAt: Type.Optional(Instant),
  startedAt: Instant,
  endedAt: Type.Optional(Instant),
  outcome: Type.String({ description: 'running, ok, failed, interrupted or skipped' }),
  reason: Type.Optional(Type.String()),
})

export const Runs = Type.Array(RunSchema)

export const Schedules = Type.Array(
  Type.Object({
    name: Type.String(),
    type: Type.String(),
    target: Type.String({ description: 'What it calls' }),
    paused: Type.Optional(Type.Boolean()),
    nextAt: Type.Optional(Instant),
    running: Some('Runs under way'),
    last: Type.Optional(RunSchema),
    error: Type.Optional(Type.String({ description: 'Why it does not run' })),
  }),
)
