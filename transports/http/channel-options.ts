/** Options of the HTTP channel: one schema for validation, static types, forms, the command line and the docs. */
import { type Static, Type } from '../../core/schema.ts'

const Milliseconds = (description: string, value: number, minimum = 1) =>
  Type.Integer({ description: `${description}, in milliseconds`, default: value, minimum })

const Count = (description: string, value: number, minimum = 1) =>
  Type.Integer({ description, default: value, minimum })

const Names = (description: string, value?: string[]) =>
  Type.Array(
    Type.String({ minLength: 1 }),
    value === undefined ? { description } : { description, default: value },
  )

const Method = Type.String({ pattern: '^[A-Z][A-Z-]*$', description: 'HTTP method, in capitals' })

/** Cross-origin resource sharing, as in the Fetch standard. */
export const CorsOptions = Type.Object(
  {
    origins: Names(
      "Origins that may read answers: exact ('https://shop.example'), with a wildcard for subdomains ('https://*.example'), or '*' for all",
    ),
    methods: Type.Optional(
      Type.Array(Method, { description: 'Methods a preflight allows; default: those of the path' }),
    ),
    headers: Names('Request headers a preflight allows; * allows those the browser asks for', ['*']),
    exposeHeaders: Names('Response headers that scripts may read', ['x-signalbox-cid', 'retry-after']),
    credentials: Type.Boolean({
      description: 'Whether cookies and authorization may be sent; not with origin *',
      default: false,
    }),
    maxAgeSeconds: Type.Integer({
      description: 'How long a browser may remember a preflight',
      default: 600,
      minimum: 0,
    }),
  },
  { additionalProperties: false, description: 'Which pages of other origins may use it, in a browser' },
)

const Produces = Type.Array(Type.String({ pattern: '^[^/\\s;,]+/[^/\\s;,]+$' }), {
  minItems: 1,
  description: 'Media types of the answer, the preferred first; the Accept header chooses among them',
})

/** One entry of `routes`. */
export const RouteOptions = Type.Object(
  {
    path: Type.String({
      pattern: '^(/|\\*)',
      description: "Path with parameters ('/invoices/:id', '/:year-:month') and wildcards ('/files/*')",
    }),
    method: Type.Union([Method, Type.Array(Method, { minItems: 1 })], {
      default: 'GET',
      description: 'Method or methods; a GET route answers HEAD too',
    }),
    target: Type.Optional(
      Type.String({
        minLength: 3,
        description: "Address that handles it, e.g. 'service/orders.get'; default: the target of the channel",
      }),
    ),
    service: Type.Optional(Type.String({ minLength: 1, description: "Short for target 'service/<name>'" })),
    route: Type.Optional(Type.String({ minLength: 1, description: "Short for target 'route/<name>'" })),
    format: Type.Union(
      [
        Type.Literal('auto'),
        Type.Literal('json'),
        Type.Literal('jsonl'),
        Type.Literal('xml'),
        Type.Literal('yaml'),
        Type.Literal('csv'),
        Type.Literal('tsv'),
        Type.Literal('form'),
        Type.Literal('text'),
        Type.Literal('msgpack'),
        Type.Literal('raw'),
      ],
      {
        default: 'auto',
        description:
          'How the body is read: by its Content-Type (auto) or always the same way; raw gives a Buffer',
      },
    ),
    payload: Type.Union([Type.Literal('auto'), Type.Literal('body')], {
      default: 'auto',
      description:
        'auto: a request without a body has its query and path parameters as payload; body: it has none',
    }),
    timeoutMs: Type.Optional(
      Type.Integer({ minimum: 1, description: 'How long the service may take, in milliseconds' }),
    ),
    maxBodyBytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Overrides limits.maxBodyBytes' })),
    headers: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Matches only if these headers have these values; * is any value',
      }),
    ),
    query: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Matches only if the query has these values; * is any value',
      }),
    ),
    cors: Type.Optional(CorsOptions),
    produces: Type.Optional(Produces),
    security: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description:
          'Security definitions of which one must let a request in; overrides those of the channel',
      }),
    ),
    sse: Type.Boolean({
      default: false,
      description: 'Streams are sent as Server-Sent Events whatever the client accepts',
    }),
  },
  { additionalProperties: false },
)

const Tls = Type.Object(
  {
    cert: Type.String({ description: 'Certificate chain: PEM text or the path of a file' }),
    key: Type.String({ secret: true, description: 'Private key: PEM text or the path of a file' }),
    ca: Type.Optional(
      Type.String({
        description: 'Authorities that client certificates must come from: PEM text or the path of a file',
      }),
    ),
    requestClientCert: Type.Boolean({
      default: false,
      description: 'Asks clients for a certificate (mutual TLS)',
    }),
    rejectUnauthorized: Type.Boolean({
      default: true,
      description: 'Refuses clients whose certificate does not verify',
    }),
    minVersion: Type.Union([Type.Literal('TLSv1.2'), Type.Literal('TLSv1.3')], {
      default: 'TLSv1.2',
      description: 'Oldest version of TLS that is accepted',
    }),
  },
  { additionalProperties: false, description: 'Serves HTTPS' },
)

const Limits = Type.Object(
  {
    maxBodyBytes: Count('Largest request body in bytes, also after decompression', 10 * 1024 * 1024, 0),
    maxHeaderBytes: Count('Largest request line and headers together, in bytes', 16 * 1024, 1024),
    maxInflationRatio: Count('How many times larger than its wire size a compressed body may become', 100),
    maxJsonDepth: Count('How deep JSON, XML and MessagePack bodies may be nested', 512),
    maxParts: Count('Parts of a multipart body', 1000),
    maxFields: Count('Fields of a multipart body', 1000),
    maxFieldBytes: Count('Largest multipart field in bytes', 1024 * 1024),
    maxQueryParameters: Count('Parameters in the query', 1000),
    uploadExtensions: Type.Optional(
      Type.Array(Type.String({ pattern: '^\\.[^./\\\\]+$' }), {
        description: "File name extensions that uploads may have, e.g. '.xml'; default: all",
      }),
    ),
  },
  { additionalProperties: false, default: {}, description: 'How large what a client sends may be' },
)

const Timeouts = Type.Object(
  {
    headersMs: Milliseconds('Longest time for the request line and headers', 10_000, 20),
    requestMs: Milliseconds('Longest time for a whole request to arrive', 300_000, 20),
    bodyMinBytesPerSecond: Count('A body that arrives more slowly than this is cut off; 0 lets it', 1024, 0),
    bodyGraceMs: Milliseconds('Over which time the speed of a body is measured', 5_000, 20),
    keepAliveMs: Milliseconds('How long an idle connection stays open', 5_000),
    writeMs: Milliseconds('Longest time in which a client takes nothing of an answer', 30_000, 20),
    sseKeepAliveMs: Milliseconds('Pause between comments that keep an idle event stream open', 15_000, 20),
  },
  { additionalProperties: false, default: {}, description: 'How slow a client may be' },
)

const Compression = Type.Object(
  {
    thresholdBytes: Count('Answers smaller than this are not compressed', 1024, 0),
    encodings: Type.Array(Type.Union([Type.Literal('br'), Type.Literal('gzip'), Type.Literal('zstd')]), {
      default: ['br', 'gzip'],
      description: 'Content encodings offered, the preferred first; an empty list switches compression off',
    }),
  },
  { additionalProperties: false, default: {}, description: 'Which answers are compressed' },
)

/** Options of the HTTP channel. */
export const HttpChannelOptions = Type.Object(
  {
    host: Type.String({ default: '127.0.0.1', description: 'Address to listen on; 0.0.0.0 or :: for all' }),
    port: Type.Integer({
      default: 8080,
      minimum: 0,
      maximum: 65535,
      description: 'Port to listen on; 0 takes a free one',
    }),
    reusePort: Type.Boolean({
      default: process.platform === 'linux',
      description:
        'Each worker opens its own listener on the same port (SO_REUSEPORT) and the kernel spreads connections',
    }),
    tls: Type.Optional(Tls),
    routes: Type.Array(RouteOptions, {
      default: [],
      description: 'What is served; without any, every path and method goes to the target of the channel',
    }),
    cors: Type.Optional(CorsOptions),
    limits: Limits,
    timeouts: Timeouts,
    compression: Compression,
    maxConnections: Count('Open connections of one worker', 10_000),
    maxConnectionsPerAddress: Count('Open connections from one remote address to one worker', 1_000),
    maxInFlight: Count('Requests under way in one worker; beyond it clients get 503 and Retry-After', 1_024),
    uploadFolder: Type.Optional(
      Type.String({
        description:
          'Where uploaded files wait for the service, in a private folder; default: the temporary folder of the system',
      }),
    ),
    exposeErrorDetails: Type.Boolean({
      default: false,
      description: 'Sends messages and details of server errors (5xx) to clients; for development',
    }),
  },
  { additionalProperties: false },
)

export type HttpChannelSettings = Static<typeof HttpChannelOptions>
export type HttpRoute = Static<typeof RouteOptions>
export type HttpCors = Static<typeof CorsOptions>
