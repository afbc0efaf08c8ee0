/** Opens clients: one server, the master that Sentinels name, or a cluster. The library is loaded on first use. */
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis'
import { SignalboxError } from '../../core/errors.ts'
import { readPem } from '../../core/pem.ts'
import { connectError } from './failure.ts'
import type { ServerSettings, TlsSettings } from './options.ts'

/** The client of ioredis: all commands of Redis, typed. */
export type RedisClient = Redis | Cluster

const DEFAULT_PORT = 6379
const TCP_KEEP_ALIVE_MS = 10_000
/** How long a server may take to answer the end of a link before it is cut. */
const DISCONNECT_MS = 200
/** How much later than asked for a blocking command may be answered. */
export const BLOCK_GRACE_MS = 2_000

/** What one client is for. */
export interface ClientUse {
  /** Name for CLIENT LIST. */
  name: string
  /** Put before keys by the client itself. */
  keyPrefix?: string
  /** The longest that one of its commands blocks in the server; without it none does, and each has a time limit. */
  blockMs?: number
  /** Speaks to one node only, also of a cluster: for subscriptions, which every node of a cluster serves. */
  singleNode?: boolean
}

/** A client that is open. */
export interface OpenClient {
  readonly client: RedisClient
  /** Settles with the reason when the link is lost; never after {@link close}. */
  readonly lost: Promise<Error>
  /** Cuts the link. Idempotent. */
  close(): void
}

/** Where a client leads, for people; without secrets. */
export function endpointOf({ url, sentinel, cluster, db }: ServerSettings): string {
  const path = db === 0 ? '' : `/${db}`
  if (sentinel) return `redis-sentinel://${sentinel.nodes.join(',')}/${sentinel.name}${path}`
  if (cluster) return `redis-cluster://${cluster.nodes.join(',')}`
  return `${url}${path}`
}

/**
 * Opens a client and waits until it can be used. It never reconnects by itself: whoever opened it is told through
 * `lost`. Rejects with SIGNALBOX_CONNECT_FAILED, SIGNALBOX_CONNECT_REFUSED_CREDENTIALS, SIGNALBOX_TLS_UNVERIFIED,
 * SIGNALBOX_OPTIONS_INVALID, or SIGNALBOX_CANCELLED when the signal is aborted meanwhile.
 */
export async function openClient(
  server: ServerSettings,
  use: ClientUse,
  signal: AbortSignal,
): Promise<OpenClient> {
  const endpoint = endpointOf(server)
  let failure: Error | undefined
  let client: RedisClient | undefined
  const cut = () => client?.disconnect()
  try {
    client = await create(server, use)
    signal.throwIfAborted()
    // The promise of connect only says that it was closed; the events say why.
    client.on('error', (error: Error) => {
      failure = error
    })
    client.on('node error', (error: Error) => {
      failure ??= error
    })
    signal.addEventListener('abort', cut, { once: true })
    await client.connect()
    await client.ping()
    signal.throwIfAborted()
  } catch (thrown) {
    client?.disconnect()
    if (signal.aborted) throw cancelled(endpoint)
    throw connectError(preferred(thrown, failure), endpoint)
  } finally {
    signal.removeEventListener('abort', cut)
  }
  return watched(client, endpoint, () => failure)
}

/** The reason from the events, unless the command itself was answered. */
function preferred(thrown: unknown, failure: Error | undefined): unknown {
  const answered = thrown instanceof Error && thrown.name === 'ReplyError'
  return thrown instanceof SignalboxError || answered ? thrown : (failure ?? thrown)
}

function watched(client: RedisClient, endpoint: string, failure: () => Error | undefined): OpenClient {
  const { promise: lost, resolve } = Promise.withResolvers<Error>()
  let closed = false
  const gone = () => {
    if (closed) return
    closed = true
    client.disconnect()
    const why = failure()?.message ?? 'the server closed the link'
    resolve(new SignalboxError('SIGNALBOX_NOT_CONNECTED', `${endpoint}: ${why}`, { cause: failure() }))
  }
  client.once('close', gone)
  if (client.isCluster) watchNodes(client as Cluster, gone)
  return {
    client,
    lost,
    close() {
      closed = true
      client.disconnect()
    },
  }
}

/** The client of a cluster does not say that all nodes are gone: it has links only to those that were used. */
function watchNodes(cluster: Cluster, gone: () => void): void {
  let asking = false
  cluster.on('-node', async () => {
    if (asking) return
    asking = true
    try {
      await Promise.any(cluster.nodes('all').map(node => node.ping()))
    } catch {
      // None answers.
      gone()
    }
    asking = false
  })
}

async function create(server: ServerSettings, use: ClientUse): Promise<RedisClient> {
  const ioredis = await import('ioredis')
  const { url, sentinel, cluster, db } = server
  const common = await commonOptions(server, use)
  if (sentinel) {
    const { name, nodes, username, password, tls } = sentinel
    return new ioredis.Redis({
      ...common,
      db,
      name,
      sentinels: nodes.map(hostAndPort),
      // The role of the server is told by its INFO: a master that was demoted is refused.
      enableReadyCheck: true,
      failoverDetector: true,
      sentinelRetryStrategy: () => null,
      sentinelReconnectStrategy: () => 1_000,
      sentinelCommandTimeout: server.commandTimeoutMs,
      ...(username !== undefined && { sentinelUsername: username }),
      ...(password !== undefined && { sentinelPassword: password }),
      ...(tls && { sentinelTLS: await tlsOptions(tls) }),
      enableTLSForSentinelMode: common.tls !== undefined,
    })
  }
  if (cluster) {
    if (db !== 0)
      throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', '/db must be 0: a cluster has no other database')
    if (use.singleNode) return new ioredis.Redis({ ...common, ...(await reachable(cluster.nodes, server)) })
    return new ioredis.Cluster(cluster.nodes.map(hostAndPort), clusterOptions(common, server))
  }
  const { hostname, port } = new URL(url!)
  const host = hostname.replace(/^\[|\]$/g, '')
  return new ioredis.Redis({ ...common, db, host, port: port === '' ? DEFAULT_PORT : Number(port) })
}

async function commonOptions(server: ServerSettings, use: ClientUse): Promise<RedisOptions> {
  const { username, password, tls, url, connectTimeoutMs, commandTimeoutMs, clientName } = server
  const { blockMs } = use
  const secure = tls !== undefined || url?.startsWith('rediss://') === true
  return {
    lazyConnect: true,
    // The same replies from all servers.
    protocol: 2,
    connectionName: clientName ?? use.name,
    disableClientInfo: true,
    ...(use.keyPrefix !== undefined && { keyPrefix: use.keyPrefix }),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(secure && { tls: tls ? await tlsOptions(tls) : {} }),
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: DISCONNECT_MS,
    keepAlive: TCP_KEEP_ALIVE_MS,
    ...(blockMs === undefined && { commandTimeout: commandTimeoutMs }),
    socketTimeout: blockMs === undefined ? commandTimeoutMs : blockMs + commandTimeoutMs + BLOCK_GRACE_MS,
    // PING tells whether the server is ready, and every user may send it; INFO is a right.
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: null,
    // What is lost is opened again by whoever opened it, and seen by people.
    retryStrategy: null,
    // A master that has become a replica: Sentinel knows the new one.
    reconnectOnError: error => error.message.startsWith('READONLY'),
  }
}

function clusterOptions(common: RedisOptions, server: ServerSettings): ClusterOptions {
  const { keyPrefix, lazyConnect, retryStrategy: _, enableOfflineQueue: __, ...redisOptions } = common
  return {
    lazyConnect: lazyConnect!,
    redisOptions,
    ...(keyPrefix !== undefined && { keyPrefix }),
    enableOfflineQueue: false,
    clusterRetryStrategy: null,
    // A command whose link broke may have been executed: whoever sent it decides whether to send it again.
    retryDelayOnFailover: 0,
    slotsRefreshTimeout: server.connectTimeoutMs,
    // Certificates are for names, not for the addresses they stand for.
    ...(redisOptions.tls && { dnsLookup: (host, found) => found(null, host) }),
  }
}

/** The first node that takes a connection. */
async function reachable(
  nodes: readonly string[],
  server: ServerSettings,
): Promise<{ host: string; port: number }> {
  const { createConnection } = await import('node:net')
  let failure: unknown
  for (const node of nodes) {
    const at = hostAndPort(node)
    try {
      await new Promise<void>((resolve, reject) => {
        const socket = createConnection({ ...at, timeout: server.connectTimeoutMs })
        const end = (error?: Error) => {
          socket.destroy()
          if (error) reject(error)
          else resolve()
        }
        socket.once('connect', () => end())
        socket.once('timeout', () => end(new Error(`${node}: connect timed out`)))
        socket.once('error', end)
      })
      return at
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

async function tlsOptions(tls: TlsSettings): Promise<TlsOptions> {
  const { ca, cert, key, servername, rejectUnauthorized } = tls
  return {
    rejectUnauthorized,
    ...(ca !== undefined && { ca: await readPem(ca) }),
    ...(cert !== undefined && { cert: await readPem(cert) }),
    ...(key !== undefined && { key: await readPem(key) }),
    ...(servername !== undefined && { servername }),
  }
}

function hostAndPort(node: string): { host: string; port: number } {
  const at = node.lastIndexOf(':')
  return { host: node.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(node.slice(at + 1)) }
}

function cancelled(endpoint: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_CANCELLED', `${endpoint}: closed while it was opening`)
}
