/** What the tests of the admin API share: an operator that records calls, and a server in front of it. */
import http from 'node:http'
import net from 'node:net'
import type { AuditRecord } from '../../core/audit/entry.ts'
import type { AuditQuery } from '../../core/audit/query.ts'
import { SignalboxError } from '../../core/errors.ts'
import { may, ROLES, type Role } from '../../core/security/roles.ts'
import { silentLogger } from '../../core/telemetry/log.ts'
import type { Authenticated } from './auth.ts'
import type { KeptOperator } from './kept-operator.ts'
import type { Actor, Operator, ResourceView, TailEvent, TailFilter, WantedResource } from './operator.ts'
import { AdminServer, type AdminServerOptions } from './server.ts'

/** The roles of the node, and that of somebody who is known and has none. */
export const TEST_ROLES = [...(Object.keys(ROLES) as Role[]), 'none'] as const
export type TestRole = (typeof TEST_ROLES)[number]

/** Tokens are `token-of-ROLE`, or `expired-token-of-ROLE`. */
export async function authenticate(token: string | undefined): Promise<Authenticated | undefined> {
  const role = /^(?:expired-)?token-of-(.+)$/.exec(token ?? '')?.[1]
  const expired = token?.startsWith('expired-') === true
  if (role === undefined || !(TEST_ROLES as readonly string[]).includes(role)) return undefined
  return { name: `ann-${role}`, roles: role === 'none' ? [] : [role], ...(expired && { expired }) }
}

const MESSAGE = {
  seq: 1,
  state: 'ready',
  attempts: 0,
  publishedAt: 1,
  dueAt: undefined,
  expiresAt: undefined,
  id: undefined,
  key: undefined,
  priority: 4,
  bytes: 1,
  headers: {},
  payload: 'hello',
  failure: undefined,
} as const
const RUN = { number: 1, dueAt: undefined, startedAt: 1, endedAt: 2, outcome: 'ok' } as const

/** An operator that records what it is asked and answers as a small node would. */
export class RecordingOperator implements Operator {
  readonly log = silentLogger
  readonly kept: KeptOperator = {
    list: kind => this.#note('list', [kind], []),
    log: (kind, name) => this.#note('log', [kind, name], { kind, name, subscriptions: [] }),
    messages: request => this.#note('messages', [request], { messages: [], next: undefined }),
    browse: (...args) => this.#note('browse', args, { messages: [], next: undefined }),
    message: (...args) => this.#note('message', args, MESSAGE),
    publish: (...args) => this.#note('publish', args, { seq: 1, duplicate: false, cid: 'c' }),
    edit: (...args) => this.#note('edit', args, undefined),
    resend: (...args) => this.#note('resend', args, 1),
    drop: (...args) => this.#note('drop', args, 1),
    purge: (...args) => this.#note('purge', args, 1),
    seek: (...args) => this.#note('seek', args, undefined),
    schedules: () => this.#note('schedules', [], []),
    history: (...args) => this.#note('history', args, []),
    runSchedule: (...args) => this.#note('runSchedule', args, RUN),
    pauseSchedule: (...args) => this.#note('pauseSchedule', args, undefined),
  }
  readonly calls: { method: string; args: unknown[] }[] = []
  readonly refusals: { actor: Actor; permission: string; target: string }[] = []
  readonly listeners = new Set<(event: TailEvent) => void>()
  filter: TailFilter | undefined
  ready_ = { ok: true, reasons: [] as string[] }
  document: unknown = { openapi: '3.1.1', info: { title: 'empty', version: '1' }, paths: {} }
  invocation: (payload: unknown) => unknown = payload => ({ echo: payload })
  revision = 3

  #note<T>(method: string, args: unknown[], result: T): Promise<T> {
    this.calls.push({ method, args })
    return Promise.resolve(result)
  }

  #resource(kind: string, type: string, name: string, options: unknown): ResourceView {
    return { kind, type, name, options, revision: this.revision, changedAt: 1 }
  }

  #checkRevision(ifRevision: number | undefined): void {
    if (ifRevision === undefined || ifRevision === this.revision) return
    throw new SignalboxError('SIGNALBOX_STORE_CONFLICT', 'it has changed since', { status: 409 })
  }

  denied = async (actor: Actor, permission: string, target: string) => {
    this.refusals.push({ actor, permission, target })
  }
  node() {
    return this.#note('node', [], {
      node: 'n1',
      name: 'test',
      version: '0',
      startedAt: 1,
      endpoint: undefined,
      peers: [],
      replaced: 0,
      workers: [],
    })
  }
  live = () => this.#note('live', [], { ok: true, reasons: [] })
  ready = () => this.#note('ready', [], this.ready_)
  metrics = () => this.#note('metrics', [], 'up 1\n')
  scale = (actor: Actor, workers: number) => this.#note('scale', [actor, workers], { workers })
  services = () => this.#note('services', [], [])
  invoke = async (actor: Actor, service: string, payload: unknown, timeoutMs: number) => {
    await this.#note('invoke', [actor, service, payload, timeoutMs], undefined)
    return this.invocation(payload)
  }
  deploy = (actor: Actor, file: string, source: string) =>
    this.#note('deploy', [actor, file, source], { file, name: 'orders.create', version: 'v2' })
  undeploy = (actor: Actor, file: string) => this.#note('undeploy', [actor, file], undefined)
  deployRoute = (actor: Actor, file: string, source: string) =>
    this.#note('deployRoute', [actor, file, source], { file, name: 'orders.intake', version: 'v2' })
  undeployRoute = (actor: Actor, file: string) => this.#note('undeployRoute', [actor, file], undefined)
  resources = (kind?: string) => this.#note('resources', [kind], [])
  resource = (id: string) => {
    const [kind = '', type = '', name = ''] = id.split('/')
    return this.#note('resource', [id], this.#resource(kind, type, name, {}))
  }
  put = async (actor: Actor, resource: WantedResource, ifRevision?: number) => {
    this.#checkRevision(ifRevision)
    this.revision++
    const view = this.#resource(resource.kind, resource.type, resource.name, resource.options)
    return this.#note('put', [actor, resource, ifRevision], view)
  }
  remove = async (actor: Actor, id: string, ifRevision?: number) => {
    this.#checkRevision(ifRevision)
    return this.#note('remove', [actor, id, ifRevision], undefined)
  }
  ping = (id: string) => this.#note('ping', [id], { ok: true })
  diff = (yaml: string) => this.#note('diff', [yaml], { changes: [], text: '', etag: 'tag' })
  apply = (actor: Actor, yaml: string, ifEtag?: string) =>
    this.#note('apply', [actor, yaml, ifEtag], { changes: [], text: '', etag: 'tag' })
  export = () => this.#note('export', [], 'name: test\n')
  secrets = () => this.#note('secrets', [], [{ name: 'TOKEN', changedAt: 1 }])
  setSecret = (actor: Actor, name: string, value: string) =>
    this.#note('setSecret', [actor, name, value], undefined)
  removeSecret = (actor: Actor, name: string) => this.#note('removeSecret', [actor, name], undefined)
  openapi = () => this.#note('openapi', [], this.document)
  tail = async (actor: Actor, filter: TailFilter) => {
    this.calls.push({ method: 'tail', args: [actor, filter] })
    this.filter = filter
    return (listener: (event: TailEvent) => void) => {
      this.listeners.add(listener)
      return () => this.listeners.delete(listener)
    }
  }
  messages = (query: AuditQuery) =>
    this.#note('messages', [query], { records: [], next: undefined, partial: false, notes: [] })
  trail = (cid: string) =>
    this.#note('trail', [cid], { cid, from: 0, to: 0, durationMs: 0, steps: [], truncated: false, notes: [] })
  messageBody = (actor: Actor, id: string) => this.#note('messageBody', [actor, id], { record: record(id) })
  replay = (actor: Actor, id: string, timeoutMs: number) =>
    this.#note('replay', [actor, id, timeoutMs], { cid: 'new', to: 'service/greet', outcome: 'ok' })
  audit = (after: number, limit: number) => this.#note('audit', [after, limit], [])
  verifyAudit = () => this.#note('verifyAudit', [], { brokenAt: undefined, entries: 0 })
}

function record(id: string): AuditRecord {
  return {
    id,
    worker: 'n1/0',
    kind: 'channel',
    at: 1,
    durationMs: 1,
    cid: 'c',
    address: 'channel/http/public',
    outcome: 'ok',
    headers: {},
    body: 'none',
    altered: false,
  }
}

export interface Started {
  operator: RecordingOperator
  server: AdminServer
  url: string
  port: number
}

/** A server on a free port; `options` override those of the tests. */
export async function startAdmin(options: Partial<AdminServerOptions> = {}): Promise<Started> {
  const operator = new RecordingOperator()
  const server = new AdminServer({
    operator,
    port: 0,
    authenticate,
    may,
    log: silentLogger,
    ...options,
  })
  const { url } = await server.start()
  return { operator, server, url, port: Number(new URL(url).port) }
}

export interface RawAnswer {
  status: number
  headers: http.IncomingHttpHeaders
  body: string
}

/** A request with exactly this path and these headers; fetch would change them. */
export function send(
  port: number,
  method: string,
  path: string,
  headers: Record<string, string | string[]> = {},
  body?: string | Buffer,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
    const request = http.request(
      { host: '127.0.0.1', port, method, path, headers: { ...length, ...headers }, agent: false },
      response => {
        const chunks: Buffer[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode!,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        )
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

/** Headers of a role, and of a JSON body. */
export function as(role: string, type?: string): Record<string, string> {
  return { authorization: `Bearer token-of-${role}`, ...(type && { 'content-type': type }) }
}

/** Sends bytes and resolves with everything that comes back until the server closes the connection. */
export function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = net.connect({ port, host: '127.0.0.1' }, () => socket.write(text))
    socket.on('data', chunk => {
      answer += chunk
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', error => (answer === '' ? reject(error) : resolve(answer)))
  })
}
