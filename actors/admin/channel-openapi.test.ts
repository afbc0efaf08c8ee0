import assert from 'node:assert/strict'
import { test } from 'node:test'
import { validate } from '@readme/openapi-parser'
import fc from 'fast-check'
import { Type } from '../../core/schema.ts'
import { type ChannelOpenapiInput, channelOpenapi } from './channel-openapi.ts'
import type { ServiceView } from './operator.ts'

interface Operation {
  operationId: string
  tags: string[]
  servers: { url: string }[]
  parameters: { name: string; in: string; required: boolean; schema: Record<string, unknown> }[]
  requestBody?: { required: boolean; content: Record<string, { schema: unknown }> }
  responses: Record<string, { content?: Record<string, { schema: unknown }> }>
  security?: object[]
}

interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, unknown>; securitySchemes: Record<string, unknown> }
  'x-signalbox-omitted'?: { method: string; path: string; reason: string }[]
}

const SERVICES: ServiceView[] = [
  {
    name: 'orders.get',
    file: 'orders/get.ts',
    version: '1',
    description: 'One order',
    input: Type.Object({
      id: Type.String({ description: 'Number of the order' }),
      full: Type.Optional(Type.Boolean()),
      page: Type.Integer({ minimum: 1 }),
    }),
    output: Type.Object({ id: Type.String(), lines: Type.Array(Type.String()) }),
  },
  {
    name: 'orders.create',
    file: 'orders/create.ts',
    version: '1',
    input: Type.Object({ item: Type.String() }),
  },
  { name: 'hello', file: 'hello.ts', version: '1', output: Type.String() },
]

async function build(input: Partial<ChannelOpenapiInput>): Promise<Document> {
  const document = channelOpenapi({
    info: { title: 'Test', version: '1' },
    channels: [],
    services: SERVICES,
    securityDefinitions: {},
    ...input,
  })
  const text = JSON.stringify(document)
  const result = await validate(JSON.parse(text))
  assert.deepEqual(result.valid ? [] : result.errors, [])
  return JSON.parse(text)
}

const channel = (
  routes: ChannelOpenapiInput['channels'][number]['routes'],
  name = 'public',
  port = 7710,
) => ({
  name,
  endpoint: `http://127.0.0.1:${port}`,
  routes,
})

test('a GET route takes the fields of the input from path and query', async () => {
  const { paths } = await build({
    channels: [channel([{ path: '/orders/:id', method: 'GET', service: 'orders.get' }])],
  })
  const operation = paths['/orders/{id}']!.get!
  assert.equal(operation.operationId, 'ordersGet')
  assert.deepEqual(operation.tags, ['orders.get'])
  assert.deepEqual(operation.servers, [{ url: 'http://127.0.0.1:7710' }])
  assert.deepEqual(
    operation.parameters.map(({ name, in: place, required }) => [name, place, required]),
    [
      ['id', 'path', true],
      ['full', 'query', false],
      ['page', 'query', true],
    ],
  )
  assert.equal(operation.parameters[2]!.schema.minimum, 1)
  assert.equal(operation.requestBody, undefined)
  assert.deepEqual(operation.responses['200']!.content, {
    'application/json': { schema: { $ref: '#/components/schemas/OrdersGetOutput' } },
  })
  assert.ok(operation.responses['400']!.content!['application/problem+json'])
})

test('a route without payload from parameters has no query', async () => {
  const { paths } = await build({
    channels: [channel([{ path: '/orders', method: 'GET', service: 'orders.get', payload: 'body' }])],
  })
  assert.deepEqual(paths['/orders']!.get!.parameters, [])
})

test('a POST route has the input as body, in the format of the route', async () => {
  const { paths } = await build({
    channels: [
      channel([
        { path: '/orders', method: ['POST', 'PUT'], service: 'orders.create', format: 'json' },
        { path: '/raw', method: 'POST', service: 'orders.create', format: 'raw' },
        {
          path: '/xml',
          method: 'POST',
          service: 'orders.create',
          format: 'xml',
          produces: ['application/xml', 'text/csv'],
        },
      ]),
    ],
  })
  assert.deepEqual(paths['/orders']!.post!.requestBody, {
    required: true,
    content: { 'application/json': { schema: { $ref: '#/components/schemas/OrdersCreateInput' } } },
  })
  assert.equal(paths['/orders']!.put!.operationId, 'ordersCreatePut')
  assert.deepEqual(Object.keys(paths['/raw']!.post!.requestBody!.content), ['*/*'])
  assert.deepEqual(Object.keys(paths['/xml']!.post!.responses['200']!.content!), [
    'application/xml',
    'text/csv',
  ])
})

test('security definitions become schemes, and any of those of a route is enough', async () => {
  const { paths, components } = await build({
    channels: [
      channel([
        { path: '/a', method: 'GET', service: 'hello', security: ['key', 'staff'] },
        { path: '/b', method: 'GET', service: 'hello', security: 'partner tls' },
        { path: '/c', method: 'GET', service: 'hello' },
      ]),
    ],
    securityDefinitions: {
      key: { type: 'apiKey', name: 'X-Api-Key' },
      staff: { type: 'basic' },
      sso: { type: 'bearer', format: 'JWT' },
      'partner tls': { type: 'mutualTLS' },
    },
  })
  assert.deepEqual(components.securitySchemes, {
    key: { type: 'apiKey', name: 'X-Api-Key', in: 'header' },
    staff: { type: 'http', scheme: 'basic' },
    sso: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    partner_20tls: { type: 'mutualTLS' },
  })
  assert.deepEqual(paths['/a']!.get!.security, [{ key: [] }, { staff: [] }])
  assert.deepEqual(paths['/b']!.get!.security, [{ partner_20tls: [] }])
  assert.ok(paths['/a']!.get!.responses['401'])
  assert.equal(paths['/c']!.get!.security, undefined)
  assert.deepEqual(Object.keys(paths['/c']!.get!.responses['200']!.content!), ['text/plain'])
})

test('a security definition that is not there is an error, not an open route', () => {
  const channels = [channel([{ path: '/a', method: 'GET', service: 'hello', security: 'gone' }])]
  const input = { info: { title: 't', version: '1' }, channels, services: SERVICES, securityDefinitions: {} }
  assert.throws(() => channelOpenapi(input), { code: 'SIGNALBOX_CONFIG_INVALID' })
})

test('paths of the router become templates', async () => {
  const paths: [string, string[]][] = [
    ['/files/*', ['/files/{wildcard}']],
    ['/:year-:month/x', ['/{year}-{month}/x']],
    ['/n/:id(^\\d{2,4}$)', ['/n/{id}']],
    ['/o/:id?', ['/o', '/o/{id}']],
    ['/a::b', ['/a:b']],
    ['/{x}', ['/%7Bx%7D']],
    ['/twice/:a/:a', ['/twice/{a}/{a2}']],
  ]
  for (const [path, templates] of paths) {
    const document = await build({ channels: [channel([{ path, method: 'GET', service: 'hello' }])] })
    assert.deepEqual(Object.keys(document.paths), templates, path)
  }
})

test('paths that differ in the names of parameters are one path', async () => {
  const { paths } = await build({
    channels: [
      channel([
        { path: '/orders/:id', method: 'GET', service: 'orders.get' },
        { path: '/orders/:order', method: 'DELETE', service: 'hello' },
      ]),
    ],
  })
  assert.deepEqual(Object.keys(paths), ['/orders/{id}'])
  assert.equal(paths['/orders/{id}']!.delete!.parameters[0]!.name, 'id')
})

test('the same route of two channels has two servers; what cannot be told apart is listed', async () => {
  const document = await build({
    channels: [
      channel([{ path: '/hello', method: 'GET', service: 'hello' }]),
      channel(
        [
          { path: '/hello', method: 'GET', service: 'hello' },
          { path: '/hello', method: 'PROPFIND', service: 'hello' },
        ],
        'second',
        7711,
      ),
      channel([{ path: '/hello', method: 'GET', service: 'orders.get' }], 'third', 7712),
    ],
  })
  assert.equal(document.paths['/hello']!.get!.servers.length, 2)
  assert.deepEqual(
    document['x-signalbox-omitted']!.map(({ method, reason }) => [method, reason]),
    [
      ['PROPFIND', 'OpenAPI does not know the method'],
      ['GET', 'the same method and path lead elsewhere'],
    ],
  )
})

test('local references of a schema are kept, and none leads outside', async () => {
  const input = {
    $id: 'https://example.com/tree',
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      root: { $ref: '#/$defs/node' },
      named: { $ref: 'Leaf' },
      self: { $ref: '#' },
      far: { $ref: 'file:///etc/passwd' },
      $ref: { type: 'string' },
    },
    $defs: {
      node: { type: 'object', properties: { children: { type: 'array', items: { $ref: '#/$defs/node' } } } },
      leaf: { $id: 'Leaf', type: 'string' },
    },
  }
  const services = [{ name: 'tree', file: 'tree.ts', version: '1', input }]
  const { paths, components } = await build({
    services,
    channels: [channel([{ path: '/tree', method: ['GET', 'POST'], service: 'tree' }])],
  })
  const properties = (
    components.schemas.TreeInput as { properties: Record<string, { $ref?: string; type?: string }> }
  ).properties
  assert.equal(properties.root!.$ref, '#/components/schemas/TreeInput/$defs/node')
  assert.equal(properties.named!.$ref, '#/components/schemas/TreeInput/$defs/leaf')
  assert.equal(properties.self!.$ref, '#/components/schemas/TreeInput')
  assert.equal(properties.far!.$ref, undefined)
  assert.equal(properties.$ref!.type, 'string')
  const root = paths['/tree']!.get!.parameters.find(parameter => parameter.name === 'root')
  assert.deepEqual(root!.schema, { $ref: '#/components/schemas/TreeInput/properties/root' })
})

test('whatever the names are, the document is valid', async () => {
  const name = fc.string({ minLength: 1, maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(name, name, name, async (service, property, security) => {
      const input = { type: 'object', properties: Object.fromEntries([[property, { type: 'string' }]]) }
      await build({
        services: [{ name: service, file: 'x.ts', version: '1', input, output: input }],
        channels: [channel([{ path: '/x/:id', method: ['GET', 'POST'], service, security }], service)],
        securityDefinitions: Object.fromEntries([[security, { type: 'basic' as const }]]),
      })
    }),
    { numRuns: 40 },
  )
})
