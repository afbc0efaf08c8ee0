/** What the handlers of queues, topics, messages and schedules take and answer. */
import { Type } from '../../core/schema.ts'
import * as views from './kept-views.ts'
import type { HandlerSchema } from './schemas.ts'

const closed = { additionalProperties: false }
const KEPT_NAME = '^[A-Za-z][A-Za-z0-9_.-]{0,127}$'
const STATES = ['ready', 'waiting', 'leased', 'delayed', 'dead', 'settled']
const STATE_LIST = `^(${STATES.join('|')})(,(${STATES.join('|')}))*$`
const PURGED = ['ready', 'waiting', 'delayed', 'dead'] as const
const MAX_SEQS = 10_000
const MAX_MS = 315_576_000_000

const Name = Type.String({ pattern: KEPT_NAME })
const Kind = Type.Union([Type.Literal('queue'), Type.Literal('topic')])
const Seq = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })
const Log = Type.Object({ kind: Kind, name: Name }, closed)
const Topic = Type.Object({ name: Name }, closed)
const Message = Type.Object(
  { kind: Kind, name: Name, seq: Type.String({ pattern: '^[1-9][0-9]{0,14}$', description: 'Its number' }) },
  closed,
)
const Schedule = Type.Object({ name: Type.String({ pattern: KEPT_NAME }) }, closed)

const Subscription = Type.Optional(
  Type.String({
    pattern: KEPT_NAME,
    description: 'Of a topic; need not be named where there is only one',
  }),
)
const BROWSE = {
  subscription: Subscription,
  state: Type.Optional(
    Type.String({ pattern: STATE_LIST, description: `Parted by commas: ${STATES.join(', ')}` }),
  ),
  cid: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: 'Correlation id' })),
  after: Type.Integer({ minimum: 0, default: 0, description: 'Only messages with a greater number' }),
  limit: Type.Integer({ minimum: 1, maximum: 1_000, default: 100 }),
}
const Ms = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_MS, description: `${description}, in milliseconds` }))
const Headers = Type.Optional(
  Type.Record(Type.String({ pattern: '^[^\\u0000-\\u001f]{1,256}$' }), Type.String({ maxLength: 8_192 }), {
    maxProperties: 100,
  }),
)
/** At most one of the two; neither is a message that says nothing. */
const PAYLOAD = {
  payload: Type.Optional(Type.Unknown({ description: 'Any JSON' })),
  payloadBase64: Type.Optional(
    Type.String({
      pattern: '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
      description: 'Instead of payload: bytes',
    }),
  ),
}
const Text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 256, description }))

const PUBLICATION = {
  ...PAYLOAD,
  headers: Headers,
  id: Text('Within the window a second message of this id is dropped'),
  key: Text('Messages of one key are delivered in order, one at a time'),
  priority: Type.Optional(Type.Integer({ minimum: 0, maximum: 9, description: 'Higher ones come first' })),
  delayMs: Ms('Not delivered sooner'),
  expiresInMs: Ms('Not delivered later'),
}
const Seqs = Type.Array(Seq, { minItems: 1, maxItems: MAX_SEQS })

const StartAt = Type.Union([
  Type.Object({ at: Type.Union([Type.Literal('beginning'), Type.Literal('end')]) }, closed),
  Type.Object({ at: Type.Literal('time'), time: Type.Number() }, closed),
  Type.Object({ at: Type.Literal('seq'), seq: Seq }, closed),
])

/** By name of the handler. */
export const KEPT_SCHEMAS = {
  logs: { query: Type.Object({ kind: Type.Optional(Kind) }, closed), answer: views.Logs },
  log: { params: Log, answer: views.LogSchema },
  keptMessages: { params: Log, query: Type.Object(BROWSE, closed), answer: views.MessageHeads },
  browse: {
    params: Log,
    query: Type.Object(
      {
        ...BROWSE,
        search: Type.Optional(
          Type.String({
            minLength: 1,
            maxLength: 256,
            description: 'Text in payload, headers, id or key; letters of any case',
          }),
        ),
      },
      closed,
    ),
    answer: views.Messages,
  },
  keptMessage: {
    params: Message,
    query: Type.Object({ subscription: Subscription }, closed),
    answer: views.MessageSchema,
  },
  publish: { params: Log, body: Type.Object(PUBLICATION, closed), answer: views.Published },
  edit: {
    params: Message,
    query: Type.Object({ subscription: Subscription }, closed),
    body: Type.Object({ ...PAYLOAD, headers: Headers }, closed),
  },
  resend: {
    params: Log,
    body: Type.Object({ subscription: Subscription, seqs: Type.Optional(Seqs) }, closed),
    answer: views.HowMany,
  },
  drop: { params: Log, body: Type.Object({ seqs: Seqs }, closed), answer: views.HowMany },
  purge: {
    params: Log,
    body: Type.Object(
      {
        subscription: Subscription,
        states: Type.Optional(
          Type.Array(Type.Union(PURGED.map(state => Type.Literal(state))), {
            minItems: 1,
            maxItems: 4,
            description: 'Default: all but dead letters. What consumers have in hand stays',
          }),
        ),
      },
      closed,
    ),
    answer: views.HowMany,
  },
  seek: { params: Topic, body: Type.Object({ subscription: Subscription, to: StartAt }, closed) },
  schedules: { answer: views.Schedules },
  scheduleHistory: {
    params: Schedule,
    query: Type.Object({ limit: Type.Integer({ minimum: 1, maximum: 1_000, default: 20 }) }, closed),
    answer: views.Runs,
  },
  runSchedule: {
    params: Schedule,
    query: Type.Object(
      {
        waitMs: Type.Integer({
          minimum: 0,
          maximum: 600_000,
          default: 30_000,
          description: 'How long to wait for its end, in milliseconds; it goes on afterwards',
        }),
      },
      closed,
    ),
    answer: views.RunSchema,
  },
  pauseSchedule: { params: Schedule },
  resumeSchedule: { params: Schedule },
} as const satisfies Record<string, HandlerSchema>

export type KeptHandlerName = keyof typeof KEPT_SCHEMAS
