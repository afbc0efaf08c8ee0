/**
 * A typed TypeScript client from an OpenAPI document of channels: one file without dependencies, one method for each
 * operation, in syntax that Node.js runs directly. Names and texts of the document come out as identifiers,
 * literals and comments only, so that a hostile document cannot bring in code.
 */
import { SignalboxError } from '../../core/errors.ts'
import { CLIENT_RUNTIME } from './client-runtime.ts'
import { comment, identifier, literal, propertyName, TypeWriter } from './client-types.ts'
import { isObject, type JsonSchema, valueAt } from './openapi-schema.ts'

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']
const PREFERRED_TYPES = [
  'application/json',
  'text/plain',
  'application/xml',
  'application/x-www-form-urlencoded',
  '*/*',
]

interface Operation {
  path: string
  method: string
  value: JsonSchema
}

/** Writes the client. Throws SIGNALBOX_USAGE when `document` is not an OpenAPI 3 document. */
export function generateClient(document: unknown): string {
  if (!isObject(document) || !/^3\./.test(String(document.openapi)) || !isObject(document.paths)) {
    throw new SignalboxError('SIGNALBOX_USAGE', 'the document is not an OpenAPI 3 document with paths')
  }
  const types = new TypeWriter(document)
  const taken = new Set(['constructor'])
  const methods = operationsOf(document).map(operation => writeMethod(document, operation, types, taken))
  const info = isObject(document.info) ? document.info : {}
  return [
    comment(
      `Client of ${info.title ?? 'a Signalbox node'} ${info.version ?? ''}, made by \`signalbox client\`. Do not edit.`,
      '',
    ),
    CLIENT_RUNTIME,
    writeSchemes(document),
    types.declarations(),
    `/** One method for each operation. */\nexport class Client {\n  readonly #caller: Caller\n\n`,
    `  constructor(options: ClientOptions = {}) {\n    this.#caller = new Caller(options)\n  }\n`,
    ...methods,
    '}\n',
  ].join('\n')
}

function operationsOf(document: JsonSchema): Operation[] {
  const operations: Operation[] = []
  for (const [path, item] of Object.entries(document.paths as JsonSchema)) {
    if (!isObject(item)) continue
    for (const method of METHODS) {
      const value = item[method]
      if (isObject(value)) operations.push({ path, method, value })
    }
  }
  return operations
}

/** Credentials by security scheme, and how each is sent. */
function writeSchemes(document: JsonSchema): string {
  const declared = valueAt(document, '#/components/securitySchemes')
  const schemes = Object.entries(isObject(declared) ? declared : {}).filter(([, scheme]) =>
    isObject(scheme),
  ) as [string, JsonSchema][]
  const rows = schemes.map(([name, { type, scheme, in: place, name: parameter }]) =>
    literal({
      name,
      kind: type === 'http' ? String(scheme).toLowerCase() : String(type),
      in: String(place ?? ''),
      parameter: String(parameter ?? ''),
    }),
  )
  const members = schemes.flatMap(([name, scheme]) => {
    const type = credentialType(scheme)
    return type === undefined
      ? []
      : [`${comment(scheme.description, '  ')}  ${propertyName(name)}?: ${type}\n`]
  })
  const note = '/** What proves who is calling, by the name of the security definition. */\n'
  const credentials = members.length > 0 ? `{\n${members.join('')}}` : '{}'
  return `${note}export interface Credentials ${credentials}\n\nconst SCHEMES: readonly Scheme[] = [${rows.join(', ')}]\n`
}

function credentialType({ type, scheme }: JsonSchema): string | undefined {
  if (type === 'apiKey') return '{ apiKey: string }'
  if (type !== 'http') return undefined
  return String(scheme).toLowerCase() === 'basic'
    ? '{ username: string; password: string }'
    : '{ token: Token }'
}

function writeMethod(
  document: JsonSchema,
  operation: Operation,
  types: TypeWriter,
  taken: Set<string>,
): string {
  const { path, method, value } = operation
  const name = identifier(
    typeof value.operationId === 'string' ? value.operationId : `${method} ${path}`,
    taken,
  )
  const parameters = parametersOf(value)
  const body = bodyOf(value, types)
  const input = inputType(parameters, body, types)
  const description = {
    method: method.toUpperCase(),
    server: serverOf(document, value),
    path: partsOf(path, parameters),
    security: securityOf(document, value),
    type: body?.type ?? '',
  }
  const note = comment([value.summary, `${method.toUpperCase()} ${path}`].filter(Boolean).join('\n'), '  ')
  const argument = input.type === undefined ? '' : `input: ${input.type}${input.isOptional ? ' = {}' : ''}, `
  const passed = input.type === undefined ? '{}' : 'input'
  const answer = answerType(value, types)
  return (
    `\n${note}  async ${name}(${argument}options: CallOptions = {}): Promise<${answer}> {\n` +
    `    return (await this.#caller.call(${literal(description)}, ${passed}, options)) as ${answer}\n  }\n`
  )
}

function parametersOf(value: JsonSchema): JsonSchema[] {
  const list = Array.isArray(value.parameters) ? value.parameters : []
  return list.filter(isObject).filter(({ name }) => typeof name === 'string')
}

interface Body {
  type: string
  schema: string
  isRequired: boolean
}

function bodyOf({ requestBody }: JsonSchema, types: TypeWriter): Body | undefined {
  if (!isObject(requestBody) || !isObject(requestBody.content)) return undefined
  const offered = Object.keys(requestBody.content)
  const type = PREFERRED_TYPES.find(one => offered.includes(one)) ?? offered[0]
  if (type === undefined) return undefined
  const media = requestBody.content[type]
  const schema =
    type === '*/*' ? 'string | Uint8Array | Blob' : types.type(isObject(media) ? media.schema : true)
  return { type, schema, isRequired: requestBody.required === true }
}

function inputType(
  parameters: JsonSchema[],
  body: Body | undefined,
  types: TypeWriter,
): { type: string | undefined; isOptional: boolean } {
  const members: string[] = []
  let isOptional = !(body?.isRequired ?? false)
  for (const place of ['path', 'query']) {
    const own = parameters.filter(parameter => parameter.in === place)
    if (own.length === 0) continue
    const isNeeded = own.some(parameter => parameter.required === true)
    if (isNeeded) isOptional = false
    const fields = own.map(({ name, schema, required }) => {
      return `${propertyName(name as string)}${required === true ? '' : '?'}: ${types.type(schema ?? true)}`
    })
    members.push(`${place}${isNeeded ? '' : '?'}: { ${fields.join('; ')} }`)
  }
  if (body !== undefined) members.push(`body${body.isRequired ? '' : '?'}: ${body.schema}`)
  return { type: members.length === 0 ? undefined : `{ ${members.join('; ')} }`, isOptional }
}

/** A template in parts, so that nothing has to be replaced in a text at run time. */
function partsOf(path: string, parameters: JsonSchema[]): (string | [string, boolean])[] {
  return path
    .split(/(\{[^{}]*\})/)
    .filter(part => part !== '')
    .map(part => {
      if (!part.startsWith('{')) return part
      const name = part.slice(1, -1)
      const own = parameters.find(parameter => parameter.in === 'path' && parameter.name === name)
      return [name, own?.['x-signalbox-wildcard'] === true]
    })
}

function serverOf(document: JsonSchema, value: JsonSchema): string {
  const servers = Array.isArray(value.servers) ? value.servers : document.servers
  const first: unknown = Array.isArray(servers) ? servers[0] : undefined
  return isObject(first) && typeof first.url === 'string' ? first.url : ''
}

function securityOf(document: JsonSchema, value: JsonSchema): string[][] {
  const security = value.security ?? document.security
  return Array.isArray(security) ? security.filter(isObject).map(requirement => Object.keys(requirement)) : []
}

function answerType({ responses }: JsonSchema, types: TypeWriter): string {
  const all = isObject(responses) ? Object.entries(responses) : []
  const answers = all.filter(([status]) => /^2\d\d$/.test(status)).map(([, response]) => response)
  const kinds = answers.flatMap(response => {
    if (!isObject(response) || !isObject(response.content)) return ['undefined']
    return Object.values(response.content).map(media => types.type(isObject(media) ? media.schema : true))
  })
  if (kinds.length === 0 || kinds.includes('unknown')) return 'unknown'
  return [...new Set(kinds)].join(' | ')
}
