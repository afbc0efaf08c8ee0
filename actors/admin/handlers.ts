/** What each route of the admin API does: one function for each handler of the table, on the operator alone. */

import type { AuditQuery } from '../../core/audit/query.ts'
import { DOCS_CSP, DOCS_PAGE } from './docs-page.ts'
import { KEPT_HANDLERS } from './kept-handlers.ts'
import { ADMIN_OPENAPI } from './openapi.ts'
import type { Actor, ApplyResult, HealthView, Operator, ResourceView, Tail, TailFilter } from './operator.ts'
import { type HandlerName, SCHEMAS } from './schemas.ts'

/** A request, checked. */
export interface AdminCall {
  actor: Actor
  params: Record<string, string>
  query: Record<string, unknown>
  /** Parsed JSON, a text, or undefined. */
  body: unknown
  /** From If-Match. */
  ifRevision: number | undefined
  /** From If-Match, of routes whose tag is no revision. */
  ifEtag: string | undefined
}

/** What to answer: a value as JSON, a text, bytes, or nothing (204). */
export interface AdminAnswer {
  status?: number
  headers?: Record<string, string>
  json?: unknown
  text?: string
  bytes?: Uint8Array
  /** Events until the client leaves. Called with the listener; returns what stops it. */
  events?: Tail
}

export type Handler = (operator: Operator, call: AdminCall) => AdminAnswer | Promise<AdminAnswer>

const NOTHING: AdminAnswer = { status: 204 }

/** By name, as the table of routes has them. */
export const HANDLERS: Readonly<Record<HandlerName, Handler>> = {
  live: async operator => health(await operator.live()),
  ready: async operator => health(await operator.ready()),
  metrics: async operator => text('metrics', await operator.metrics()),
  docs: () => ({
    ...text('docs', DOCS_PAGE),
    headers: { 'content-type': SCHEMAS.docs.answerType, ...DOCS_CSP },
  }),
  openapi: async operator => ({ json: await operator.openapi() }),
  adminOpenapi: () => ({ json: ADMIN_OPENAPI }),
  node: async operator => ({ json: await operator.node() }),
  async scale(operator, { actor, body }) {
    return { json: await operator.scale(actor, (body as { count: number }).count) }
  },
  services: async operator => ({ json: await operator.services() }),
  async invoke(operator, { actor, params, query, body }) {
    return answerOf(await operator.invoke(actor, params.name!, body, query.timeoutMs as number))
  },
  async deploy(operator, { actor, params, body }) {
    return { json: await operator.deploy(actor, params['*']!, body as string) }
  },
  async undeploy(operator, { actor, params }) {
    await operator.undeploy(actor, params['*']!)
    return NOTHING
  },
  async deployRoute(operator, { actor, params, body }) {
    return { json: await operator.deployRoute(actor, params['*']!, body as string) }
  },
  async undeployRoute(operator, { actor, params }) {
    await operator.undeployRoute(actor, params['*']!)
    return NOTHING
  },
  resources: async (operator, { query }) => ({
    json: await operator.resources(query.kind as string | undefined),
  }),
  resource: async (operator, { params }) => resource(await operator.resource(idOf(params))),
  async put(operator, { actor, params, query, body, ifRevision }) {
    const { kind, type, name } = params as { kind: string; type: string; name: string }
    const wanted = { kind, type, name, options: body, ...securityOf(query.security as string | undefined) }
    return resource(await operator.put(actor, wanted, ifRevision))
  },
  async remove(operator, { actor, params, ifRevision }) {
    await operator.remove(actor, idOf(params), ifRevision)
    return NOTHING
  },
  ping: async (operator, { params }) => ({ json: await operator.ping(idOf(params)) }),
  diff: async (operator, { body }) => applied(await operator.diff(body as string)),
  apply: async (operator, { actor, body, ifEtag }) =>
    applied(await operator.apply(actor, body as string, ifEtag)),
  export: async operator => text('export', await operator.export()),
  secrets: async operator => ({ json: await operator.secrets() }),
  async setSecret(operator, { actor, params, body }) {
    await operator.setSecret(actor, params.name!, body as string)
    return NOTHING
  },
  async removeSecret(operator, { actor, params }) {
    await operator.removeSecret(actor, params.name!)
    return NOTHING
  },
  tail: async (operator, { actor, query }) => ({ events: await operator.tail(actor, query as TailFilter) }),
  messages: async (operator, { query }) => ({ json: await operator.messages(query as AuditQuery) }),
  trail: async (operator, { params }) => ({ json: await operator.trail(params.cid!) }),
  messageBody: async (operator, { actor, params }) => ({
    json: await operator.messageBody(actor, params.id!),
  }),
  async replay(operator, { actor, params, query }) {
    return { json: await operator.replay(actor, params.id!, query.timeoutMs as number) }
  },
  audit: async (operator, { query }) => ({
    json: await operator.audit(query.after as number, query.limit as number),
  }),
  verifyAudit: async operator => ({ json: await operator.verifyAudit() }),
  ...KEPT_HANDLERS,
}

function health(view: HealthView): AdminAnswer {
  return { status: view.ok ? 200 : 503, json: view }
}

function text(handler: 'metrics' | 'docs' | 'export', value: string): AdminAnswer {
  return { text: value, headers: { 'content-type': SCHEMAS[handler].answerType } }
}

function resource(view: ResourceView): AdminAnswer {
  return { json: view, headers: { etag: `"${view.revision}"` } }
}

function applied(result: ApplyResult): AdminAnswer {
  return { json: result, headers: { etag: `"${result.etag}"` } }
}

/** Names parted by commas; an empty text names none. */
function securityOf(names: string | undefined): { security?: string[] } {
  return names === undefined ? {} : { security: names === '' ? [] : names.split(',') }
}

/** A resource as `kind/type/name`. */
function idOf({ kind, type, name }: Record<string, string>): string {
  return `${kind}/${type}/${name}`
}

/** Bytes stay bytes; a text is a JSON string, so that it is not taken for an object that looks the same. */
function answerOf(value: unknown): AdminAnswer {
  if (value === undefined) return NOTHING
  if (value instanceof Uint8Array) return { bytes: value }
  return { json: value }
}
