/** One route of an HTTP channel as an OpenAPI operation: parameters, body and responses. */
import { STATUS_CODES } from 'node:http'
import type { ChannelRoute } from './channel-openapi.ts'
import type { PathTemplate } from './channel-paths.ts'
import { embedSchema, escapePointer, isObject, type JsonSchema, valueAt } from './openapi-schema.ts'

const METHODS = new Set(['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH', 'TRACE'])
/** Requests that have no body, so that query and path parameters are the payload. */
const BODILESS = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'])

const BODY_TYPES: Record<string, string[]> = {
  auto: ['application/json', 'application/msgpack'],
  json: ['application/json'],
  xml: ['application/xml'],
  form: ['application/x-www-form-urlencoded'],
  text: ['text/plain'],
  msgpack: ['application/msgpack'],
}

export interface OperationInput {
  route: ChannelRoute
  method: string
  template: PathTemplate
  /** Names of the path parameters in the document. */
  names: readonly string[]
  /** The schemas of the service, and where they are in the document. */
  inputSchema: unknown
  input: { $ref: string } | undefined
  outputSchema: unknown
  output: { $ref: string } | undefined
  isSecured: boolean
}

/** Whether OpenAPI has a field for the method. */
export function isChannelMethod(method: string): boolean {
  return METHODS.has(method)
}

/** The part of an operation that follows from the route and the schemas. */
export function operationOf(from: OperationInput): {
  parameters: object[]
  requestBody?: object
  responses: object
} {
  const path = pathParameters(from)
  if (BODILESS.has(from.method))
    return { parameters: [...path, ...queryParameters(from)], responses: responses(from) }
  return { parameters: path, requestBody: requestBody(from), responses: responses(from) }
}

function pathParameters({ template, names, inputSchema, input, method }: OperationInput): object[] {
  const { properties, place } = objectOf(BODILESS.has(method) ? inputSchema : undefined, input)
  const parameters = template.parts.filter(part => typeof part !== 'string')
  return parameters.map(({ name, schema }, index) => {
    const declared = Object.hasOwn(properties, name) ? propertySchema(properties, name, place) : undefined
    // A pattern of the route and the schema of the service both have to hold.
    const both =
      declared === undefined || schema.pattern === undefined
        ? (declared ?? schema)
        : { allOf: [declared, schema] }
    return {
      name: names[index],
      in: 'path',
      required: true,
      ...descriptionOf(declared),
      ...(name === '*' && { 'x-signalbox-wildcard': true }),
      schema: both,
    }
  })
}

/** Without a body, the payload of the service is made of the query and the path parameters. */
function queryParameters({ route, template, inputSchema, input }: OperationInput): object[] {
  if (route.payload === 'body') return []
  const inPath = new Set(template.parts.map(part => (typeof part === 'string' ? '' : part.name)))
  const { properties, required, place } = objectOf(inputSchema, input)
  const names = Object.keys(properties).filter(name => name !== '__proto__' && !inPath.has(name))
  return names.map(name => {
    const schema = propertySchema(properties, name, place)
    return { name, in: 'query', required: required.has(name), ...descriptionOf(schema), schema }
  })
}

function descriptionOf(schema: unknown): { description?: string } {
  const description = isObject(schema) ? schema.description : undefined
  return typeof description === 'string' ? { description } : {}
}

/** A property: itself when it stands alone, a reference into the components when it refers to something. */
function propertySchema(properties: JsonSchema, name: string, place: string): JsonSchema | boolean {
  const schema = properties[name]
  const refers = /"\$(?:ref|id|anchor)"/.test(JSON.stringify(schema) ?? '')
  return refers ? { $ref: `${place}/properties/${escapePointer(name)}` } : embedSchema(schema, '#')
}

interface ObjectSchema {
  properties: JsonSchema
  required: ReadonlySet<unknown>
  /** Where it is in the document. */
  place: string
}

/** What is known of an object schema, through one local reference at its root. */
function objectOf(schema: unknown, input: { $ref: string } | undefined): ObjectSchema {
  const root = isObject(schema) ? schema : {}
  const isReference = typeof root.$ref === 'string' && root.$ref.startsWith('#/')
  const target = isReference ? valueAt(root, root.$ref as string) : root
  const { properties, required } = isObject(target) ? target : {}
  return {
    properties: isObject(properties) ? properties : {},
    required: new Set(Array.isArray(required) ? required : []),
    place: (input?.$ref ?? '#') + (isReference ? (root.$ref as string).slice(1) : ''),
  }
}

function requestBody({ route, input, inputSchema }: OperationInput): object {
  const schema = input ?? {}
  const types = BODY_TYPES[route.format ?? 'auto']
  // A raw body is bytes of any type, whatever the service makes of them.
  if (types === undefined || (input === undefined && (route.format ?? 'auto') === 'auto')) {
    return { required: false, content: { '*/*': { schema: {} } } }
  }
  const content = Object.fromEntries(types.map(type => [type, { schema }]))
  return { required: inputSchema !== undefined, content }
}

function responses({ route, method, inputSchema, outputSchema, output, isSecured }: OperationInput): object {
  const types = route.produces ?? [defaultType(outputSchema)]
  const content = Object.fromEntries(types.map(type => [type, { schema: output ?? {} }]))
  const statuses = inputSchema === undefined ? [] : [400]
  if (isSecured) statuses.push(401, 403)
  if (!BODILESS.has(method)) statuses.push(413, 415)
  statuses.push(503, 504)
  const problem = (status: number) => [status, { description: STATUS_CODES[status], ...PROBLEM }]
  return {
    200: { description: 'The answer of the service', ...(method !== 'HEAD' && { content }) },
    ...(outputSchema === undefined && { 204: { description: 'The service answered nothing' } }),
    ...Object.fromEntries(statuses.map(problem)),
    default: { description: 'Any other error', ...PROBLEM },
  }
}

const PROBLEM = {
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
}

/** How the channel sends what the service answers, when the route does not say. */
function defaultType(output: unknown): string {
  if (output === undefined) return '*/*'
  return isObject(output) && output.type === 'string' ? 'text/plain' : 'application/json'
}
