/** The admin API as an OpenAPI 3.1 document, made from its table of routes and the schemas of its handlers. */
import { STATUS_CODES } from 'node:http'
import type { TSchema } from '../../core/schema.ts'
import { ADMIN_ROUTES, type AdminRoute, bodyOf } from './routes.ts'
import { type HandlerName, type HandlerSchema, SCHEMAS } from './schemas.ts'
import { ProblemSchema } from './views.ts'

const PROBLEM = { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }

/** Describes routes; those of the admin API by default. */
export function adminOpenapi(routes: readonly AdminRoute[] = ADMIN_ROUTES): object {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}').replace('*', '{file}')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation(route) }
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Signalbox admin API',
      version: '1',
      description:
        'What can be done to a running node. Errors are problem details (RFC 9457) with a stable code.',
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: { Problem: ProblemSchema },
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'A token of this node' } },
    },
  }
}

function operation(route: AdminRoute): object {
  const schema: HandlerSchema = SCHEMAS[route.handler as HandlerName]
  const permission = route.permission === undefined ? {} : { 'x-signalbox-permission': route.permission }
  const body = requestBody(route, schema)
  return {
    operationId: route.handler,
    summary: route.summary,
    tags: [/^\/v1\/([a-z-]+)/.exec(route.path)?.[1]?.replace(/^(?:openapi|admin)$/, 'docs') ?? 'node'],
    ...permission,
    security: route.permission === undefined ? [] : [{ token: [] }],
    parameters: parameters(schema),
    ...(body && { requestBody: body }),
    responses: responses(route, schema),
  }
}

function parameters(schema: HandlerSchema): object[] {
  const of = (place: 'path' | 'query', from: TSchema | undefined) => {
    const { properties = {}, required = [] } = (from ?? {}) as { properties?: object; required?: string[] }
    return Object.entries(properties).map(([name, property]: [string, { default?: unknown }]) => ({
      name: name === '*' ? 'file' : name,
      in: place,
      required: place === 'path' || (required.includes(name) && property.default === undefined),
      schema: property,
    }))
  }
  const condition = {
    name: 'If-Match',
    in: 'header',
    ...(schema.conditional === 'etag'
      ? {
          description: 'ETag of the difference that is to be applied; 412 when resources have changed since',
          schema: { type: 'string', pattern: '^"[!#-~]+"$' },
        }
      : {
          description: 'Revision that is to be changed, as in its ETag; 412 when there is a newer one',
          schema: { type: 'string', pattern: '^("[0-9]+"|[0-9]+)$' },
        }),
  }
  return [
    ...of('path', schema.params),
    ...of('query', schema.query),
    ...(schema.conditional ? [condition] : []),
  ]
}

function requestBody(route: AdminRoute, schema: HandlerSchema): object | undefined {
  const kind = bodyOf(route)
  if (kind === 'none') return undefined
  if (kind === 'json') {
    const required = (schema.body as { type?: unknown } | undefined)?.type !== undefined
    return { required, content: { 'application/json': { schema: schema.body ?? {} } } }
  }
  const text = { schema: { type: 'string' } }
  return { required: true, content: { 'text/plain': text, 'application/yaml': text } }
}

function responses(route: AdminRoute, schema: HandlerSchema): object {
  const type = schema.answerType?.split(';', 1)[0] ?? 'application/json'
  const content = { [type]: { schema: schema.answer ?? {} } }
  const tag = tagOf(schema)
  const etag = { ETag: { description: tag, schema: { type: 'string' } } }
  const result: Record<string, object> =
    schema.answer === undefined
      ? { 204: { description: 'Done' } }
      : { 200: { description: 'Done', ...(tag && { headers: etag }), content } }
  for (const [status, description] of Object.entries(schema.statuses ?? {})) {
    result[status] = { description, ...(status === '503' && { content }) }
  }
  for (const status of problemStatuses(route, schema)) {
    result[status] ??= { description: STATUS_CODES[status]!, content: PROBLEM }
  }
  return { ...result, default: { description: 'Anything else that went wrong', content: PROBLEM } }
}

/** What the ETag of an answer is; undefined: it has none. */
function tagOf({ answer }: HandlerSchema): string | undefined {
  if (answer === SCHEMAS.resource.answer) return 'The revision, quoted'
  return answer === SCHEMAS.apply.answer ? 'The etag, quoted' : undefined
}

function problemStatuses(route: AdminRoute, schema: HandlerSchema): number[] {
  const statuses = schema.params || schema.query || bodyOf(route) !== 'none' ? [400] : []
  if (route.permission !== undefined) statuses.push(401, 403)
  if (schema.params) statuses.push(404)
  if (schema.conditional) statuses.push(412)
  if (bodyOf(route) !== 'none') statuses.push(413, 415)
  return statuses
}

/** The description of the admin API of this version. */
export const ADMIN_OPENAPI = adminOpenapi()
