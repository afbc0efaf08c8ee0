import { type Static, Type } from '../../core/schema.ts'

const closed = { additionalProperties: false }
const section = { ...closed, default: {} }

const milliseconds = (fallback: number, description: string, minimum = 1) =>
  Type.Integer({ minimum, maximum: 86_400_000, default: fallback, description })

const pem = (description: string, secret = false) =>
  Type.String({ minLength: 1, description, ...(secret && { secret: true }) })

const auth = Type.Object(
  {
    basic: Type.Optional(
      Type.Object(
        {
          username: Type.String({ description: 'User name; no colon (RFC 7617).', pattern: '^[^:]*$' }),
          password: Type.String({ description: 'Password.', secret: true }),
        },
        { ...closed, description: 'Basic authentication (RFC 7617).' },
      ),
    ),
    bearer: Type.Optional(
      Type.Object(
        { token: Type.String({ minLength: 1, description: 'The token.', secret: true }) },
        { ...closed, description: 'A bearer token that does not change (RFC 6750).' },
      ),
    ),
    apiKey: Type.Optional(
      Type.Object(
        {
          header: Type.String({ minLength: 1, default: 'x-api-key', description: 'Name of the header.' }),
          value: Type.String({ minLength: 1, description: 'The key.', secret: true }),
        },
        { ...closed, description: 'A key in a header.' },
      ),
    ),
    oauth2: Type.Optional(
      Type.Object(
        {
          tokenUrl: Type.String({ pattern: '^https?://', description: 'The token endpoint.' }),
          clientId: Type.String({ minLength: 1, description: 'Client identifier.' }),
          clientSecret: Type.String({ minLength: 1, description: 'Client secret.', secret: true }),
          scope: Type.Optional(Type.String({ minLength: 1, description: 'Scopes, separated by spaces.' })),
          audience: Type.Optional(
            Type.String({ minLength: 1, description: 'Audience, where the server wants one.' }),
          ),
          credentialsIn: Type.Union([Type.Literal('header'), Type.Literal('body')], {
            default: 'header',
            description: 'Where the client credentials go: the Authorization header, or the form body.',
          }),
          renewBeforeMs: milliseconds(
            30_000,
            'How long before its end a token is renewed, in milliseconds.',
            0,
          ),
        },
        { ...closed, description: 'OAuth 2.0 client credentials (RFC 6749, section 4.4).' },
      ),
    ),
  },
  { ...closed, maxProperties: 1, description: 'How the connection proves who it is: at most one of these.' },
)

/** Options of an HTTP connection. */
export const connectionOptions = Type.Object(
  {
    url: Type.String({
      pattern: '^https?://[^\\s?#]+$',
      description: 'Base URL: every request goes below it. No credentials, query or fragment.',
      examples: ['https://api.example.com/v1'],
    }),
    headers: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'Headers of every request to the base URL.',
    }),
    pool: Type.Object(
      {
        connections: Type.Integer({
          minimum: 1,
          maximum: 10_000,
          default: 64,
          description: 'Most sockets to one origin; further requests wait.',
        }),
        pipelining: Type.Integer({
          minimum: 1,
          maximum: 100,
          default: 1,
          description: 'Requests on one socket before the first answer; above 1 only for servers you trust.',
        }),
        keepAliveMs: milliseconds(30_000, 'How long an idle socket is kept, in milliseconds.'),
      },
      { ...section, description: 'The sockets.' },
    ),
    timeouts: Type.Object(
      {
        connectMs: milliseconds(5_000, 'Longest time to open a socket, TLS included, in milliseconds.'),
        headersMs: milliseconds(30_000, 'Longest wait for the head of the answer, in milliseconds.'),
        bodyMs: milliseconds(30_000, 'Longest pause within the body of the answer, in milliseconds.'),
        totalMs: milliseconds(60_000, 'Longest time of a request with its retries, in milliseconds.'),
      },
      { ...section, description: 'Time limits.' },
    ),
    retry: Type.Object(
      {
        attempts: Type.Integer({
          minimum: 1,
          maximum: 20,
          default: 3,
          description: 'How often a request is tried in all; 1 never repeats.',
        }),
        minDelayMs: milliseconds(
          100,
          'Ceiling of the first random pause, in milliseconds; it doubles each time.',
          0,
        ),
        maxDelayMs: milliseconds(5_000, 'Highest ceiling of a random pause, in milliseconds.', 0),
        statuses: Type.Array(Type.Integer({ minimum: 400, maximum: 599 }), {
          default: [408, 429, 502, 503, 504],
          description: 'Statuses worth another try. Retry-After is always waited for.',
        }),
        allMethods: Type.Boolean({
          default: false,
          description: 'Repeat POST and PATCH as well, which the server may then carry out twice.',
        }),
      },
      { ...section, description: 'Repetition of failed requests.' },
    ),
    circuitBreaker: Type.Object(
      {
        enabled: Type.Boolean({
          default: true,
          description: 'Whether a failing server is left alone for a while.',
        }),
        threshold: Type.Number({
          exclusiveMinimum: 0,
          exclusiveMaximum: 1,
          default: 0.5,
          description: 'Share of failed requests above which the circuit opens.',
        }),
        minimumRequests: Type.Integer({
          minimum: 1,
          default: 10,
          description: 'Requests within the sampling time below which it never opens.',
        }),
        samplingMs: milliseconds(5_000, 'Time over which requests are counted, in milliseconds.', 1_000),
        halfOpenAfterMs: milliseconds(
          5_000,
          'Pause before one request probes the server, in milliseconds.',
          1_000,
        ),
      },
      { ...section, description: 'Circuit breaker, one for each origin.' },
    ),
    auth: Type.Optional(auth),
    tls: Type.Object(
      {
        ca: Type.Optional(pem('PEM of the authorities to trust instead of the usual ones.')),
        cert: Type.Optional(pem('PEM of the client certificate, for mutual TLS.')),
        key: Type.Optional(pem('PEM of the key of the client certificate.', true)),
        servername: Type.Optional(
          Type.String({
            minLength: 1,
            description: 'Name that the certificate must have, when it is not the host.',
          }),
        ),
        rejectUnauthorized: Type.Boolean({
          default: true,
          description: 'Refuse certificates that do not verify. Leave it on.',
        }),
      },
      { ...section, description: 'TLS.' },
    ),
    redirects: Type.Object(
      {
        max: Type.Integer({
          minimum: 0,
          maximum: 20,
          default: 5,
          description: 'Redirects to follow; 0 hands them to the caller.',
        }),
      },
      { ...section, description: 'Redirects. Each hop is checked like a target that a message names.' },
    ),
    maxResponseBytes: Type.Integer({
      minimum: 1,
      maximum: 2 ** 31,
      default: 16 * 1024 * 1024,
      description: 'Largest answer that is read into memory, before and after decompression.',
    }),
    errorStatus: Type.Union([Type.Literal('throw'), Type.Literal('return')], {
      default: 'throw',
      description: 'Whether an answer of status 400 or more is an error or a result.',
    }),
    ping: Type.Object(
      {
        method: Type.Union([Type.Literal('HEAD'), Type.Literal('GET'), Type.Literal('OPTIONS')], {
          default: 'HEAD',
          description: 'Method of a ping.',
        }),
        path: Type.String({
          pattern: '^/',
          default: '/',
          description: 'Path of a ping, below the base URL.',
        }),
      },
      { ...section, description: 'What ping asks; any answer below 500 except 401 counts as working.' },
    ),
    targets: Type.Object(
      {
        dynamic: Type.Boolean({
          default: false,
          description: 'Whether a message may name the URL it goes to (attributes.url).',
        }),
        allow: Type.Array(Type.String({ minLength: 1 }), {
          default: [],
          description:
            'Hosts (also *.example.com), addresses or CIDR blocks to allow although they are not public.',
        }),
      },
      {
        ...section,
        description: 'Targets named by messages and redirects. Only public addresses are reached.',
      },
    ),
  },
  closed,
)

export type ConnectionOptions = Static<typeof connectionOptions>
