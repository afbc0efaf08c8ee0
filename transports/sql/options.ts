/** Options of the SQL transport: what a channel and a connection have in common, and those of the connection. */
import { type Static, Type } from '../../core/schema.ts'

export const DIALECTS = ['postgresql', 'mysql', 'mariadb', 'mssql', 'oracle', 'sqlite'] as const

/** A database product. */
export type Dialect = (typeof DIALECTS)[number]

/** What an identifier in options may look like: a name, or a schema and a name. */
export const IDENTIFIER = '^[A-Za-z_][A-Za-z0-9_$]{0,62}$'
export const TABLE = '^[A-Za-z_][A-Za-z0-9_$]{0,62}(\\.[A-Za-z_][A-Za-z0-9_$]{0,62})?$'

export const Milliseconds = (description: string, value: number, minimum = 1) =>
  Type.Integer({
    description: `${description}, in milliseconds`,
    default: value,
    minimum,
    maximum: 86_400_000,
  })

export const Count = (description: string, value: number, minimum = 1, maximum = 1_000_000) =>
  Type.Integer({ description, default: value, minimum, maximum })

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
    servername: Type.Optional(
      Type.String({ description: 'Name that the certificate must have; default: the host' }),
    ),
    rejectUnauthorized: Type.Boolean({
      default: true,
      description: 'Refuses servers whose certificate does not verify',
    }),
  },
  { additionalProperties: false, description: 'Encrypts the connection; without it, it is plain' },
)

const Pool = Type.Object(
  {
    min: Count('Sessions that are kept open', 0, 0, 1000),
    max: Count('Most sessions of one worker; SQLite in memory has one', 10, 1, 1000),
    acquireTimeoutMs: Milliseconds('How long a statement may wait for a free session', 10_000),
    idleTimeoutMs: Milliseconds('How long a session above min may be idle before it is closed', 30_000),
    maxLifetimeMs: Milliseconds('Age at which a session is replaced when it is free', 1_800_000),
  },
  { additionalProperties: false, default: {}, description: 'Sessions of one worker' },
)

const Values = Type.Object(
  {
    bigints: Type.Union([Type.Literal('safe'), Type.Literal('bigint'), Type.Literal('string')], {
      default: 'safe',
      description:
        'How 64-bit integers are read: safe: a number where it is exact, else a bigint; bigint or string: always',
    }),
    timestamps: Type.Union([Type.Literal('date'), Type.Literal('string')], {
      default: 'date',
      description:
        'How moments (with a time zone) are read: a Date, exact to the millisecond, or the text of the database',
    }),
  },
  { additionalProperties: false, default: {}, description: 'How values are read' },
)

/** What a channel and a connection have in common: how the database is reached. */
export const DATABASE = {
  dialect: Type.Union(
    [
      Type.Literal('postgresql'),
      Type.Literal('mysql'),
      Type.Literal('mariadb'),
      Type.Literal('mssql'),
      Type.Literal('oracle'),
      Type.Literal('sqlite'),
    ],
    { description: 'Which database it is' },
  ),
  host: Type.String({
    default: '127.0.0.1',
    description: 'Host of the server, or the folder of its Unix socket',
  }),
  port: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 65535,
      description: 'Port of the server; default: that of the product',
    }),
  ),
  database: Type.Optional(Type.String({ description: 'Name of the database; of Oracle: the service name' })),
  databaseFile: Type.Optional(
    Type.String({
      description: 'SQLite: the file, made when it is missing; without it, a database in memory',
    }),
  ),
  username: Type.Optional(Type.String({ description: 'User of the database' })),
  password: Type.Optional(Type.String({ secret: true, description: 'Password of the user' })),
  tls: Type.Optional(Tls),
  pool: Pool,
  connectTimeoutMs: Milliseconds('Longest time to open a session', 10_000),
  timeoutMs: Milliseconds('Longest time of a statement, when the call sets none', 30_000),
  transactionTimeoutMs: Milliseconds('Longest time of a transaction, when the call sets none', 60_000),
  initStatements: Type.Array(Type.String({ minLength: 1 }), {
    default: [],
    description: 'Statements that each new session executes first, e.g. set search_path to sales',
  }),
  slowQueryMs: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: 'Statements that take at least so long, in milliseconds, are logged (never their values)',
    }),
  ),
  preparedStatements: Count(
    'PostgreSQL: statements that each session keeps prepared; 0, as poolers like PgBouncer may need, keeps none',
    0,
    0,
    10_000,
  ),
  values: Values,
}

/** Options of the SQL connection. */
export const SqlConnectionOptions = Type.Object(
  {
    ...DATABASE,
    queriesFolder: Type.Optional(
      Type.String({ description: 'Folder of .sql files with named queries: -- name: orders_of_customer' }),
    ),
    tables: Type.Record(
      Type.String({ pattern: TABLE }),
      Type.Array(Type.String({ pattern: IDENTIFIER }), { minItems: 1 }),
      {
        default: {},
        description: 'Tables that insert may write to, each with the columns it may set',
      },
    ),
    procedures: Type.Array(Type.String({ pattern: TABLE }), {
      default: [],
      description: 'Stored procedures that call may call',
    }),
    outboxTable: Type.String({
      default: 'signalbox_outbox',
      pattern: TABLE,
      description: 'Table that outbox writes messages to',
    }),
    sendQuery: Type.Optional(
      Type.String({
        description:
          'Named query that send executes when the message names none; parameters: the members of the payload, else payload; headers (JSON) and cid',
      }),
    ),
    streamBatch: Count('Rows that a stream reads ahead', 256, 1, 100_000),
    streamTimeoutMs: Milliseconds('Longest time a stream may stay open', 600_000),
  },
  { additionalProperties: false },
)

export type SqlConnectionSettings = Static<typeof SqlConnectionOptions>
/** The part of the options that says how the database is reached. */
export type DatabaseSettings = Pick<SqlConnectionSettings, keyof typeof DATABASE>
