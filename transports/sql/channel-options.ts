/** Options of the SQL channel. */
import { type Static, Type } from '../../core/schema.ts'
import { Count, DATABASE, IDENTIFIER, Milliseconds, TABLE } from './options.ts'

const Column = (description: string) => Type.String({ pattern: IDENTIFIER, description })

const Values = (description: string) =>
  Type.Record(
    Type.String({ pattern: IDENTIFIER }),
    Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]),
    { description },
  )

const Mark = (when: string) =>
  Type.Object(
    {
      delete: Type.Optional(Type.Literal(true, { description: 'The row is deleted' })),
      set: Type.Optional(Values('Columns that are set, e.g. { status: done }')),
      momentColumn: Type.Optional(Column('Column that gets the moment')),
      errorColumn: Type.Optional(Column('Column that gets code and message of the error')),
    },
    {
      additionalProperties: false,
      description: `What becomes of a row ${when}: delete, or set and the others`,
    },
  )

const Table = Type.Object(
  {
    name: Type.String({ pattern: TABLE, description: 'Table that is polled' }),
    keyColumn: Type.String({
      default: 'id',
      pattern: IDENTIFIER,
      description: 'Column that tells rows apart',
    }),
    orderBy: Type.Array(Type.String({ pattern: IDENTIFIER }), {
      default: [],
      description: 'Columns that rows are taken in order of; default: the key',
    }),
    pending: Type.Optional(Values('Rows that are taken have these values, e.g. { status: new }')),
    done: Mark('whose message succeeded'),
    failed: Mark('whose message failed for good'),
    attemptsColumn: Type.Optional(
      Column('Column that counts failed attempts; without it the worker remembers them until it ends'),
    ),
    retryAtColumn: Type.Optional(
      Column('Column that gets the moment before which a failed row is not taken again'),
    ),
  },
  { additionalProperties: false, description: 'Polls a table' },
)

const Sql = (description: string) =>
  Type.Union(
    [
      Type.String({ minLength: 1 }),
      Type.Object(
        { name: Type.String({ minLength: 1, description: 'Name of a query in queriesFolder' }) },
        { additionalProperties: false },
      ),
    ],
    { description: `${description}; SQL, or { name } of a query in queriesFolder` },
  )

const Query = Type.Object(
  {
    select: Sql('Query that gives the rows; parameters :limit and :now'),
    keyColumn: Type.String({
      default: 'id',
      pattern: IDENTIFIER,
      description: 'Column that tells rows apart',
    }),
    onSuccess: Sql(
      'Statement for each row whose message succeeded; parameters: the columns of the row, :now',
    ),
    onFailure: Sql(
      'Statement for each row whose message failed for good; also :error_code, :error_message, :attempt',
    ),
    onRetry: Type.Optional(
      Sql('Statement for each row that is to be delivered again; also :retry_at and those of onFailure'),
    ),
  },
  { additionalProperties: false, description: 'Polls a query' },
)

const Outbox = Type.Object(
  {
    table: Type.String({
      default: 'signalbox_outbox',
      pattern: TABLE,
      description: 'Table that the outbox writes to',
    }),
    keep: Type.Boolean({
      default: false,
      description: 'Published rows stay, with the state sent; otherwise they are deleted',
    }),
    destinations: Type.Array(Type.String({ pattern: '^(topic|queue|service)/' }), {
      default: ['topic/', 'queue/', 'service/'],
      description: 'Beginnings of the addresses that messages may go to',
    }),
  },
  { additionalProperties: false, description: 'Publishes what transactions have put into an outbox table' },
)

const Listen = Type.Object(
  {
    channels: Type.Array(Type.String({ minLength: 1, maxLength: 63 }), {
      minItems: 1,
      description: 'Channels of NOTIFY',
    }),
    format: Type.Union([Type.Literal('text'), Type.Literal('json')], {
      default: 'text',
      description: 'How the payload of a notification is read',
    }),
  },
  { additionalProperties: false, description: 'PostgreSQL: each notification is a message, at most once' },
)

/** Options of the SQL channel: of `table`, `query`, `outbox` and `listen` exactly one. */
export const SqlChannelOptions = Type.Object(
  {
    ...DATABASE,
    queriesFolder: Type.Optional(Type.String({ description: 'Folder of .sql files with named queries' })),
    target: Type.Optional(Type.String({ minLength: 3, description: 'Address that gets the messages' })),
    service: Type.Optional(Type.String({ minLength: 1, description: "Short for target 'service/<name>'" })),
    table: Type.Optional(Table),
    query: Type.Optional(Query),
    outbox: Type.Optional(Outbox),
    listen: Type.Optional(Listen),
    payloadColumn: Type.Optional(Column('Column that is the payload; default: the whole row, as an object')),
    headersColumn: Type.Optional(Column('Column with headers, as a JSON object of texts')),
    cidColumn: Type.Optional(Column('Column with the correlation id')),
    intervalMs: Milliseconds('Pause between two polls when there was nothing more', 1_000, 1),
    batch: Count('Rows that are taken in one transaction', 100, 1, 1_000),
    maxInFlight: Count('Messages under way in one worker, in at most pool.max transactions', 100, 1, 10_000),
    wakeOn: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 63,
        description: 'PostgreSQL: channel of NOTIFY that makes it poll at once',
      }),
    ),
    holdTransaction: Type.Boolean({
      default: true,
      description:
        'The transaction stays open while services work, so that rows stay locked; never with SQLite',
    }),
    runOn: Type.Union([Type.Literal('singleton'), Type.Literal('everyWorker')], {
      default: 'singleton',
      description:
        'Whether one worker of the cluster polls, or each; each needs locks that skip (SKIP LOCKED)',
    }),
    maxAttempts: Count('How often a message is delivered before its failure is final', 10),
    redeliveryDelayMs: Milliseconds(
      'Pause before a failed message is delivered again, doubled each time, when the failure names none',
      1_000,
    ),
    maxRedeliveryDelayMs: Milliseconds('Longest of these pauses', 60_000),
    serviceTimeoutMs: Milliseconds('How long the service may take', 30_000),
  },
  { additionalProperties: false },
)

export type SqlChannelSettings = Static<typeof SqlChannelOptions>
export type TableSettings = NonNullable<SqlChannelSettings['table']>
export type QuerySettings = NonNullable<SqlChannelSettings['query']>
export type OutboxSettings = NonNullable<SqlChannelSettings['outbox']>
