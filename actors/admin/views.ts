/** JSON Schemas of what the operator answers, for the OpenAPI description of the admin API. */
import { Type } from '../../core/schema.ts'

const Instant = Type.Integer({ description: 'Milliseconds since the epoch' })
const Any = Type.Unknown()

export const Health = Type.Object({
  ok: Type.Boolean(),
  reasons: Type.Array(Type.String(), { description: 'Why not, one sentence each' }),
})

const ActorSchema = Type.Object(
  {
    address: Type.String(),
    state: Type.String(),
    queued: Type.Optional(Type.Number({ description: 'Messages in the mailbox' })),
    waiting: Type.Optional(Type.Number({ description: 'Senders that wait for room in the mailbox' })),
    busy: Type.Optional(Type.Number({ description: 'Messages that are handled now' })),
    handled: Type.Optional(Type.Number()),
    dropped: Type.Optional(Type.Number()),
    restarts: Type.Optional(Type.Number()),
    rate: Type.Optional(Type.Number({ description: 'Messages a second since the last look' })),
    lastError: Type.Optional(Type.String()),
    endpoint: Type.Optional(Type.String({ description: 'Where it listens, or where it leads' })),
  },
  { additionalProperties: true },
)

export const NodeSchema = Type.Object({
  node: Type.String(),
  name: Type.String(),
  version: Type.String(),
  startedAt: Instant,
  endpoint: Type.Optional(Type.String({ description: 'Where other nodes reach it' })),
  peers: Type.Array(Type.Object({ id: Type.String(), role: Type.String(), name: Type.String() })),
  replaced: Type.Integer({ description: 'Workers that died and were replaced since the start' }),
  workers: Type.Array(
    Type.Object({
      slot: Type.Integer(),
      role: Type.Union([Type.Literal('worker'), Type.Literal('keeper')], {
        description: 'The keeper keeps queues, topics and schedules, and runs no services',
      }),
      place: Type.String(),
      state: Type.String(),
      actors: Type.Array(ActorSchema),
    }),
  ),
})

export const Services = Type.Array(
  Type.Object({
    name: Type.String(),
    file: Type.String(),
    version: Type.String(),
    description: Type.Optional(Type.String()),
    input: Type.Optional(Type.Unknown({ description: 'JSON Schema' })),
    output: Type.Optional(Type.Unknown({ description: 'JSON Schema' })),
  }),
)

export const Deployed = Type.Object({ file: Type.String(), name: Type.String(), version: Type.String() })

export const ResourceSchema = Type.Object({
  kind: Type.String(),
  type: Type.String(),
  name: Type.String(),
  options: Type.Unknown({ description: 'As the operator wrote it: secrets are references' }),
  security: Type.Optional(
    Type.Array(Type.String(), { description: 'Security definitions of which one must let a message in' }),
  ),
  revision: Type.Integer({ description: 'Also the ETag' }),
  changedAt: Instant,
})

export const Resources = Type.Array(ResourceSchema)

export const Ping = Type.Object({ ok: Type.Boolean(), error: Type.Optional(Type.String()) })

const Field = Type.Object({
  pointer: Type.String({ description: 'JSON Pointer (RFC 6901)' }),
  before: Type.Optional(Any),
  after: Type.Optional(Any),
})

export const Applied = Type.Object({
  changes: Type.Array(
    Type.Object({
      action: Type.Union([Type.Literal('create'), Type.Literal('update'), Type.Literal('delete')]),
      id: Type.String({ description: 'kind/type/name' }),
      fields: Type.Optional(Type.Array(Field)),
    }),
  ),
  text: Type.String({ description: 'The same for people: lines with +, ~ and -' }),
  etag: Type.String({ description: 'Names the state of all resources; also the ETag' }),
})

export const SecretNames = Type.Array(Type.Object({ name: Type.String(), changedAt: Instant }))

export const Audit = Type.Array(
  Type.Object({
    seq: Type.Integer(),
    at: Instant,
    who: Type.String(),
    what: Type.String(),
    target: Type.String(),
    result: Type.String(),
    before: Type.Optional(Any),
    after: Type.Optional(Any),
    remoteAddress: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  }),
)

export const AuditCheck = Type.Object({
  brokenAt: Type.Optional(Type.Integer({ description: 'First broken entry; absent when all are whole' })),
  entries: Type.Integer(),
})

export const Workers = Type.Object({ workers: Type.Integer() })

/** RFC 9457, as this API and the channels send it. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ format: 'uri' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What was wrong with this request' }),
    instance: Type.String({ description: 'Path of the request' }),
    code: Type.String({ description: 'Stable code, e.g. SIGNALBOX_INPUT_INVALID' }),
    cid: Type.String({ description: 'Correlation id: the same in the log' }),
    fix: Type.Optional(Type.String({ description: 'What to do about it' })),
    details: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: true },
)

const Step = Type.Object({
  id: Type.String({ description: 'Names the record; for its body and to send it again' }),
  worker: Type.String(),
  kind: Type.String({ description: 'channel, service, connection, publish, delivery, dead or replay' }),
  at: Type.Number({ description: 'When it began, milliseconds since the epoch' }),
  durationMs: Type.Number(),
  cid: Type.String(),
  address: Type.String({ description: 'Where it happened, e.g. channel/http/public' }),
  to: Type.Optional(Type.String()),
  from: Type.Optional(Type.String()),
  operation: Type.Optional(Type.String()),
  detail: Type.Optional(Type.String()),
  outcome: Type.String({ description: 'ok or the code of an error' }),
  status: Type.Optional(Type.Integer()),
  bytesIn: Type.Optional(Type.Integer()),
  bytesOut: Type.Optional(Type.Integer()),
  seq: Type.Optional(Type.Integer()),
  attempt: Type.Optional(Type.Integer()),
  waitedMs: Type.Optional(Type.Number({ description: 'How long a queue had it' })),
  headers: Type.Record(Type.String(), Type.String()),
  body: Type.String({ description: 'kept, or why it was not' }),
  altered: Type.Boolean({ description: 'Fields of the body are masked' }),
})
const Notes = Type.Array(Type.String(), { description: 'What a reader has to know: what is missing' })

export const Messages = Type.Object({
  records: Type.Array(Step),
  next: Type.Optional(Type.String({ description: 'For ?after= of the next page' })),
  partial: Type.Boolean({ description: 'It ran out of time; there may be more at `next`' }),
  notes: Notes,
})

export const TrailSchema = Type.Object({
  cid: Type.String(),
  from: Type.Number(),
  to: Type.Number(),
  durationMs: Type.Number(),
  steps: Type.Array(
    Type.Intersect([
      Step,
      Type.Object({
        depth: Type.Integer(),
        parent: Type.Optional(Type.String()),
        sinceStartMs: Type.Number(),
        gapMs: Type.Number(),
      }),
    ]),
  ),
  truncated: Type.Boolean(),
  notes: Notes,
})

export const Message = Type.Object({ record: Step, payload: Type.Optional(Type.Unknown()) })

export const Replayed = Type.Object({
  cid: Type.String({ description: 'The new correlation id' }),
  to: Type.String(),
  outcome: Type.String(),
  error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() })),
})
