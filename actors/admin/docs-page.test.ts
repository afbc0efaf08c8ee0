import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { promisify } from 'node:util'
import vm from 'node:vm'
import { send, startAdmin } from './admin-harness.ts'
import { DOCS_SCRIPT } from './docs-script.ts'

interface Page {
  curlOf(method: string, path: string, operation: object, values: Map<string, string>, body: string): string
  exampleOf(schema: object): unknown
  payloadOf(type: string | undefined, values: Map<string, string>, body: string): string
}

/** Runs the script of the page without a page; its functions become those of the context. */
function load(document: unknown): Page {
  const element = { addEventListener: () => undefined }
  const context = {
    document: { getElementById: () => element },
    location: { hash: '' },
    URLSearchParams,
    given: document,
  }
  vm.createContext(context)
  vm.runInContext(
    `${DOCS_SCRIPT.replace('const given', 'const _given').replace('if (given)', 'if (_given)')}\napi = given`,
    context,
  )
  return context as unknown as Page
}

test('the page is whole in itself, and its policy allows exactly its own script and style', async t => {
  const { server, port } = await startAdmin()
  t.after(() => server.close(0))
  const { body, headers } = await send(port, 'GET', '/docs')
  const policy = String(headers['content-security-policy'])
  assert.match(String(headers['content-type']), /^text\/html; charset=utf-8/)
  for (const [tag, directive] of [
    ['script', 'script-src'],
    ['style', 'style-src'],
  ] as const) {
    const content = new RegExp(`<${tag}[^>]*>([^]*?)</${tag}>`).exec(body)![1]!
    const hash = createHash('sha256').update(content).digest('base64')
    assert.ok(policy.includes(`${directive} 'sha256-${hash}';`), `${directive} of ${policy}`)
  }
  assert.match(policy, /default-src 'none'/)
  assert.match(policy, /connect-src 'self'/)
  assert.doesNotMatch(policy, /unsafe|\*/)
  assert.doesNotMatch(body, /\s(?:src|href)="(?!#|data:,)/)
  assert.doesNotMatch(body, /\son\w+="|style="/)
})

test('every field has a label, and texts never become HTML', async t => {
  const { server, port } = await startAdmin()
  t.after(() => server.close(0))
  const { body } = await send(port, 'GET', '/docs')
  const html = body.replace(/<script[\s\S]*<\/script>/, '')
  for (const [, id] of html.matchAll(/<input id="([^"]+)"/g))
    assert.match(html, new RegExp(`<label for="${id}"`))
  assert.match(html, /<html lang="en">/)
  assert.doesNotMatch(
    DOCS_SCRIPT,
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|localStorage/,
  )
})

test('the curl command of hostile values runs nothing else', async () => {
  const evil = "a'; touch /tmp/x; '$(id)`id`\\\n\"!{b}"
  const operation = {
    parameters: [
      { name: 'id', in: 'path' },
      { name: 'rest', in: 'path', 'x-signalbox-wildcard': true },
      { name: 'q', in: 'query' },
    ],
    requestBody: { content: { 'application/json': { schema: {} } } },
    security: [{ key: [] }],
    servers: [{ url: `http://127.0.0.1:1/'x` }],
  }
  const page = load({
    components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: "x'k" } } },
  })
  const values = new Map([
    ['id', evil],
    ['rest', 'a/b c'],
    ['q', evil],
  ])
  const command = page.curlOf('post', '/o/{id}/{rest}', operation, values, evil)
  const script = `curl() { for one in "$@"; do printf '%s\\0' "$one"; done; }\n${command}`
  const { stdout } = await promisify(execFile)('sh', ['-c', script])
  assert.deepEqual(stdout.split('\0').slice(0, -1), [
    '-X',
    'POST',
    '-H',
    "x'k: KEY",
    '-H',
    'content-type: application/json',
    '--data-binary',
    evil,
    `http://127.0.0.1:1/'x/o/${encodeURIComponent(evil)}/a/b%20c?${new URLSearchParams({ q: evil })}`,
  ])
})

test('examples follow the schema, also through references that go round', () => {
  const schemas = {
    Tree: {
      type: 'object',
      properties: { name: { type: 'string' }, sub: { $ref: '#/components/schemas/Tree' } },
    },
  }
  const { exampleOf } = load({ components: { schemas } })
  const example = JSON.stringify(exampleOf({ $ref: '#/components/schemas/Tree' }))
  assert.match(example, /^\{"name":"text","sub":\{"name":"text"/)
  assert.equal(JSON.stringify(exampleOf({ type: 'array', items: { type: 'integer', minimum: 3 } })), '[3]')
  assert.equal(JSON.stringify(exampleOf({ $ref: '#/components/schemas/Missing' })), 'null')
})

test('the payload of a call is what the channel would make of the request', () => {
  const { payloadOf } = load({})
  assert.equal(
    payloadOf(
      undefined,
      new Map([
        ['id', '7'],
        ['full', ''],
      ]),
      '',
    ),
    '{"id":"7"}',
  )
  assert.equal(payloadOf('application/json', new Map(), '{"a":1}'), '{"a":1}')
  assert.equal(payloadOf('application/xml', new Map(), '<a/>'), '"<a/>"')
})
