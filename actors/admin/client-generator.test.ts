import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http, { type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { Type } from '../../core/schema.ts'
import { channelOpenapi } from './channel-openapi.ts'
import { generateClient } from './client-generator.ts'

const run = promisify(execFile)
const ROOT = resolve(import.meta.dirname, '../..')

interface Seen {
  method: string
  url: string
  headers: IncomingMessage['headers']
  body: string
}

function documentOf(endpoint: string): unknown {
  const Order = Type.Object({ id: Type.String(), lines: Type.Optional(Type.Array(Type.String())) })
  return JSON.parse(
    JSON.stringify(
      channelOpenapi({
        info: { title: 'Shop', version: '1' },
        services: [
          {
            name: 'orders.get',
            file: 'a.ts',
            version: '1',
            description: 'One order',
            input: Type.Object({ id: Type.String(), full: Type.Optional(Type.Boolean()) }),
            output: Order,
          },
          { name: 'orders.create', file: 'b.ts', version: '1', input: Order, output: Order },
          { name: 'hello', file: 'c.ts', version: '1', output: Type.String() },
          {
            name: 'tree',
            file: 'd.ts',
            version: '1',
            input: { $id: 'T', type: 'object', properties: { sub: { type: 'array', items: { $ref: 'T' } } } },
          },
        ],
        channels: [
          {
            name: 'public',
            endpoint,
            routes: [
              {
                path: '/orders/:id',
                method: 'GET',
                service: 'orders.get',
                security: ['key', 'staff', 'sso'],
              },
              {
                path: '/orders',
                method: 'POST',
                service: 'orders.create',
                format: 'json',
                security: 'staff',
              },
              { path: '/files/*', method: 'GET', service: 'hello', security: 'sso' },
              { path: '/tree', method: 'POST', service: 'tree', format: 'json' },
              { path: '/raw', method: 'POST', service: 'hello', format: 'raw' },
            ],
          },
        ],
        securityDefinitions: {
          key: { type: 'apiKey', name: 'X-Key' },
          staff: { type: 'basic' },
          sso: { type: 'bearer' },
        },
      }),
    ),
  )
}

describe('generated client', () => {
  let folder: string
  let server: http.Server
  let url: string
  const seen: Seen[] = []
  let answer = {
    status: 200,
    type: 'application/json',
    body: '{"id":"7"}',
    headers: {} as Record<string, string>,
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'signalbox-client-'))
    await writeFile(join(folder, 'package.json'), '{"type":"module"}')
    server = http.createServer(async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      seen.push({ method: request.method!, url: request.url!, headers: request.headers, body })
      if (request.url === '/orders/slow') return
      response.writeHead(answer.status, { 'content-type': answer.type, ...answer.headers }).end(answer.body)
    })
    await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  after(async () => {
    server.closeAllConnections()
    server.close()
    await rm(folder, { recursive: true })
  })

  async function compile(...files: string[]): Promise<void> {
    const flags = [
      '--noEmit',
      '--strict',
      '--erasableSyntaxOnly',
      '--verbatimModuleSyntax',
      '--noUncheckedIndexedAccess',
      '--allowImportingTsExtensions',
      '--module',
      'nodenext',
      '--target',
      'es2025',
      '--ignoreConfig',
    ]
    for (const lib of [
      ['--lib', 'es2025', '--types', 'node', '--typeRoots', join(ROOT, 'node_modules/@types')],
      ['--lib', 'es2025,dom,dom.iterable', '--types', ''],
    ]) {
      await run(join(ROOT, 'node_modules/.bin/tsc'), [...flags, ...lib, ...files], { cwd: folder }).catch(
        error => {
          throw new Error(`tsc: ${error.stdout}`)
        },
      )
    }
  }

  // biome-ignore lint/suspicious/noExplicitAny: its type exists only after it was generated
  async function load(name: string, document: unknown): Promise<any> {
    const file = join(folder, `${name}.ts`)
    await writeFile(file, generateClient(document))
    return await import(pathToFileURL(file).href)
  }

  test('is accepted by tsc --strict, and its types hold', async () => {
    await load('typed', documentOf(url))
    const use = `import { Client, ClientError } from './typed.ts'
const client = new Client({ credentials: { key: { apiKey: 'k' }, staff: { username: 'u', password: 'p' }, sso: { token: async () => 't' } } })
const order = await client.ordersGet({ path: { id: '7' }, query: { full: true } })
const lines: string[] | undefined = order.lines
await client.ordersCreate({ body: { id: '8' } }, { signal: new AbortController().signal })
const text: string = await client.hello({ path: { wildcard: 'a/b' } })
await client.tree({ body: { sub: [{ sub: [] }] } })
// @ts-expect-error the id is needed
await client.ordersGet({ path: {} })
// @ts-expect-error the id is a text
await client.ordersCreate({ body: { id: 8 } })
// @ts-expect-error there is no such scheme
new Client({ credentials: { other: { apiKey: 'k' } } })
export const problem = (error: unknown) => (error instanceof ClientError ? error.problem?.code : [lines, text])
`
    await writeFile(join(folder, 'use.ts'), use)
    await compile('typed.ts', 'use.ts')
  })

  test('sends parameters, bodies and credentials', async () => {
    const { Client } = await load('calls', documentOf('http://127.0.0.1:1'))
    const client = new Client({
      baseUrl: `${url}/`,
      credentials: { staff: { username: 'ann', password: 'p\u00e4ss' } },
    })
    assert.deepEqual(await client.ordersGet({ path: { id: 'a/b ?#' }, query: { full: true } }), { id: '7' })
    assert.equal(seen.at(-1)!.url, '/orders/a%2Fb%20%3F%23?full=true')
    assert.equal(
      seen.at(-1)!.headers.authorization,
      `Basic ${Buffer.from('ann:p\u00e4ss').toString('base64')}`,
    )
    await client.ordersCreate({ body: { id: '8' } })
    assert.equal(seen.at(-1)!.body, '{"id":"8"}')
    assert.equal(seen.at(-1)!.headers['content-type'], 'application/json')
    const byKey = new Client({
      baseUrl: () => url,
      credentials: { key: { apiKey: 'k1' } },
      headers: { 'x-tenant': 't' },
    })
    await byKey.ordersGet({ path: { id: '7' } })
    assert.equal(seen.at(-1)!.headers['x-key'], 'k1')
    assert.equal(seen.at(-1)!.headers['x-tenant'], 't')
    const byToken = new Client({ baseUrl: url, credentials: { sso: { token: async () => 'fresh' } } })
    await byToken.hello({ path: { wildcard: 'a/b c' } })
    assert.equal(seen.at(-1)!.url, '/files/a/b%20c')
    assert.equal(seen.at(-1)!.headers.authorization, 'Bearer fresh')
    await byToken.helloPost({ body: new Uint8Array([60, 97, 62]) })
    assert.equal(seen.at(-1)!.body, '<a>')
  })

  test('a path parameter cannot climb', async () => {
    const { Client } = await load('climb', documentOf(url))
    const count = seen.length
    for (const id of ['..', '.', ''])
      await assert.rejects(new Client().ordersGet({ path: { id } }), TypeError)
    await assert.rejects(new Client().hello({ path: { wildcard: 'a/../b' } }), TypeError)
    assert.equal(seen.length, count)
  })

  test('errors are typed problems; a call can be cancelled and has a deadline', async () => {
    const { Client, ClientError } = await load('errors', documentOf(url))
    const problem = {
      type: 'urn:x',
      title: 't',
      status: 503,
      detail: 'busy',
      instance: '/',
      code: 'SIGNALBOX_OVERLOADED',
      cid: 'c1',
    }
    answer = {
      status: 503,
      type: 'application/problem+json',
      body: JSON.stringify(problem),
      headers: { 'retry-after': '2' },
    }
    const client = new Client()
    await assert.rejects(client.ordersGet({ path: { id: '7' } }), error => {
      assert.ok(error instanceof ClientError)
      const { status, code, message, retryAfterMs } = error as unknown as Record<string, unknown>
      assert.deepEqual([status, code, message, retryAfterMs], [503, 'SIGNALBOX_OVERLOADED', 'busy', 2000])
      return true
    })
    answer = { status: 502, type: 'text/html', body: '<h1>Bad gateway</h1>', headers: {} }
    await assert.rejects(client.ordersGet({ path: { id: '7' } }), { code: 'HTTP_STATUS', status: 502 })
    answer = { status: 200, type: 'application/json', body: '{"id":"7"}', headers: {} }
    const abort = new AbortController()
    const slow = client.ordersGet({ path: { id: 'slow' } }, { signal: abort.signal })
    abort.abort()
    await assert.rejects(slow, { name: 'AbortError' })
    await assert.rejects(new Client({ timeoutMs: 20 }).ordersGet({ path: { id: 'slow' } }), {
      name: 'TimeoutError',
    })
  })

  test('a hostile document brings in no code, and still compiles', async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: that is the attack
    const evil = '*/ globalThis.pwned = 1; /* \'`"${globalThis.pwned=1}\\\u2028\n</script>'
    const schema = {
      type: 'object',
      description: evil,
      required: [evil],
      properties: {
        [evil]: { const: evil, description: evil },
        constructor: { enum: [evil, 1, null, { a: 1 }] },
        __proto__x: { type: evil },
        self: { $ref: '#/components/schemas/Loop' },
      },
    }
    const operation = (operationId: string) => ({
      operationId,
      summary: evil,
      parameters: [
        { name: evil, in: 'query', schema },
        { name: 'a', in: 'path', required: true, schema: { type: 'string' } },
      ],
      requestBody: { content: { [evil]: { schema } } },
      responses: {
        200: {
          content: { [evil]: { schema: { $ref: `#/components/schemas/${encodeURIComponent('x y')}` } } },
        },
      },
      security: [{ [evil]: [] }],
      servers: [{ url: evil }],
    })
    const document = {
      openapi: '3.1.1',
      info: { title: evil, version: evil },
      paths: {
        [`/{a}/${evil}`]: {
          get: operation(evil),
          put: operation('constructor'),
          post: operation('call'),
          delete: operation('#caller'),
        },
        '/b': { get: operation('constructor'), post: {} },
      },
      components: {
        schemas: {
          'x y': schema,
          Client: schema,
          Promise: { type: ['string', 'null'] },
          'a;b': { type: 'array', prefixItems: [schema], items: false },
          Loop: { anyOf: [{ $ref: '#/components/schemas/Loop' }, { type: 'string' }] },
        },
        securitySchemes: {
          [evil]: { type: 'apiKey', in: evil, name: evil, description: evil },
          ok: { type: evil },
        },
      },
    }
    const { Client } = await load('hostile', document)
    assert.equal((globalThis as Record<string, unknown>).pwned, undefined)
    assert.equal(typeof Client, 'function')
    await compile('hostile.ts')
  })

  test('whatever the names and texts are, the client loads', async () => {
    let count = 0
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary', maxLength: 20 }),
        fc.string({ maxLength: 20 }),
        async (a, b) => {
          const schema = {
            type: 'object',
            description: b,
            properties: Object.fromEntries([[a, { const: b }]]),
          }
          const responses = { 200: { content: { [b]: { schema: { $ref: '#/components/schemas/A' } } } } }
          const { Client } = await load(`any-${count++}`, {
            openapi: '3.1.0',
            info: { title: a, version: b },
            paths: { [`/${a}`]: { get: { operationId: a, summary: b, responses } } },
            components: {
              schemas: { A: schema },
              securitySchemes: Object.fromEntries([[a, { type: 'http', scheme: b }]]),
            },
          })
          assert.equal(Object.getOwnPropertyNames(Client.prototype).length, 2)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('what is no OpenAPI document is refused', () => {
    for (const document of [undefined, null, [], {}, { openapi: '2.0', paths: {} }, { openapi: '3.1.0' }])
      assert.throws(() => generateClient(document), { code: 'SIGNALBOX_USAGE' })
  })
})
