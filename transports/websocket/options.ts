/** Options of the WebSocket channel and connection. */
import { type Static, Type } from '../../core/schema.ts'

const Milliseconds = (description: string, value: number, minimum = 1) =>
  Type.Integer({ description: `${description}, in milliseconds`, default: value, minimum })

const Count = (description: string, value: number, minimum = 1) =>
  Type.Integer({ description, default: value, minimum })

const Mode = Type.Union([Type.Literal('json'), Type.Literal('raw')], {
  default: 'json',
  description: 'json: requests and answers in the frames of the README; raw: each frame is a payload',
})

const Deflate = Type.Boolean({
  default: false,
  description: 'permessage-deflate (RFC 7692): saves bandwidth, costs memory and time for each connection',
})

const Subprotocols = Type.Array(Type.String({ pattern: "^[!#$%&'*+\\-.^_`|~0-9A-Za-z]+$" }), {
  default: [],
  description:
    'Subprotocols, the preferred first; a channel with any refuses clients that offer none of them',
})

const ChannelTls = Type.Object(
  {
    cert: Type.String({ description: 'Certificate chain: PEM text or the path of a file' }),
    key: Type.String({ secret: true, description: 'Private key: PEM text or the path of a file' }),
    ca: Type.Optional(Type.String({ description: 'Authorities that client certificates must come from' })),
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
  { additionalProperties: false, description: 'Serves wss:' },
)

const Route = Type.Object(
  {
    path: Type.String({
      pattern: '^/',
      description: "Path of the handshake, with parameters ('/rooms/:id') and wildcards",
    }),
    target: Type.Optional(
      Type.String({
        minLength: 3,
        description: 'Address that gets the messages; default: the target of the channel',
      }),
    ),
    service: Type.Optional(Type.String({ minLength: 1, description: "Short for target 'service/<name>'" })),
    timeoutMs: Type.Optional(
      Type.Integer({ minimum: 1, description: 'How long the service may take, in milliseconds' }),
    ),
  },
  { additionalProperties: false },
)

/** Options of the WebSocket channel. */
export const WebSocketChannelOptions = Type.Object(
  {
    host: Type.String({ default: '127.0.0.1', description: 'Address to listen on; 0.0.0.0 or :: for all' }),
    port: Type.Integer({
      default: 8081,
      minimum: 0,
      maximum: 65535,
      description: 'Port to listen on; 0 takes a free one',
    }),
    reusePort: Type.Boolean({
      default: process.platform === 'linux',
      description: 'Each worker opens its own listener on the same port (SO_REUSEPORT)',
    }),
    tls: Type.Optional(ChannelTls),
    routes: Type.Array(Route, {
      default: [],
      description: 'Paths that are served; without any, all go to the target of the channel',
    }),
    mode: Mode,
    subprotocols: Subprotocols,
    origins: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: "Origins of browsers that may connect beside the channel's own host; * lets in all",
    }),
    permessageDeflate: Deflate,
    maxPayloadBytes: Count(
      'Largest message in bytes, also after decompression; larger ones close the connection (1009)',
      1024 * 1024,
    ),
    maxDepth: Count('How deep a message may be nested', 512),
    maxInFlight: Count('Messages under way in one worker; beyond it sockets are read no further', 1024),
    maxInFlightPerConnection: Count(
      'Messages of one connection under way; in raw mode always 1, so that answers keep their order',
      32,
    ),
    maxBufferedBytes: Count(
      'Answers that may wait for a slow client, in bytes; one that falls behind further is cut',
      4 * 1024 * 1024,
      1024,
    ),
    maxConnections: Count('Open connections of one worker', 10_000),
    maxConnectionsPerAddress: Count('Open connections from one remote address to one worker', 1_000),
    handshakeMs: Milliseconds('Longest time for the handshake', 10_000, 20),
    pingIntervalMs: Milliseconds('Pause between pings', 30_000, 20),
    pongTimeoutMs: Milliseconds(
      'How long a peer may take to answer a ping before it counts as dead',
      10_000,
      20,
    ),
    closeTimeoutMs: Milliseconds('How long a peer may take to answer a close', 5_000, 20),
  },
  { additionalProperties: false },
)

const ConnectionTls = Type.Object(
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
    rejectUnauthorized: Type.Boolean({
      default: true,
      description: 'Refuses servers whose certificate does not verify',
    }),
  },
  { additionalProperties: false, description: 'For wss: addresses' },
)

/** Options of the WebSocket connection. */
export const WebSocketConnectionOptions = Type.Object(
  {
    url: Type.String({ pattern: '^wss?://', description: 'Address of the server' }),
    headers: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: 'Headers of the handshake, e.g. authorization',
    }),
    mode: Mode,
    subprotocols: Subprotocols,
    tls: Type.Optional(ConnectionTls),
    permessageDeflate: Deflate,
    timeoutMs: Milliseconds('How long to wait for an answer', 30_000),
    handshakeMs: Milliseconds('Longest time to connect', 10_000),
    maxPayloadBytes: Count('Largest message taken from the server, in bytes', 16 * 1024 * 1024),
    maxDepth: Count('How deep a message may be nested', 512),
    maxInFlight: Count('Requests that may wait for their answers', 1024),
    maxBufferedBytes: Count('Bytes that may wait to be sent; beyond it sending waits', 4 * 1024 * 1024, 1024),
    pingIntervalMs: Milliseconds('Pause between pings', 30_000, 20),
    pongTimeoutMs: Milliseconds('How long the server may take to answer a ping', 10_000, 20),
    closeTimeoutMs: Milliseconds('How long the server may take to answer a close', 5_000, 20),
  },
  { additionalProperties: false },
)

export type WebSocketChannelSettings = Static<typeof WebSocketChannelOptions>
export type WebSocketConnectionSettings = Static<typeof WebSocketConnectionOptions>
