import assert from 'node:assert/strict'
import http from 'node:http'
import { after, before, beforeEach, describe, test } from 'node:test'
import { SignalboxError } from '../../core/errors.ts'
import { as, raw, type Started, send, startAdmin } from './admin-harness.ts'

const JSON_TYPE = 'application/json'
const RESOURCE = '/v1/resources/channel/http/public'

describe('admin server', () => {
  let started: Started
  before(async () => {
    started = await startAdmin({ maxBodyBytes: 1000 })
  })
  after(() => started.server.close(0))
  beforeEach(() => {
    started.operator.calls.length = 0
  })
  const last = () => started.operator.calls.at(-1)
  const code = (body: string) => JSON.parse(body).code

  test('errors are problems with code, detail, fix and cid', async () => {
    const answer = await send(started.port, 'PUT', '/v1/workers', as('admin', JSON_TYPE), '{"cuont":2}')
    assert.equal(answer.status, 400)
    assert.equal(answer.headers['content-type'], 'application/problem+json')
    const problem = JSON.parse(answer.body)
    assert.equal(problem.code, 'SIGNALBOX_INPUT_INVALID')
    assert.equal(problem.cid, answer.headers['x-signalbox-cid'])
    assert.equal(problem.instance, '/v1/workers')
    assert.match(problem.detail, /did you mean 'count'/)
    assert.ok(problem.fix.length > 0)
  })

  test('an unexpected error tells nothing of its message', async () => {
    started.operator.invocation = () => {
      throw new Error('password is hunter2')
    }
    const answer = await send(started.port, 'POST', '/v1/services/orders.get/invoke', as('admin'))
    started.operator.invocation = payload => ({ echo: payload })
    assert.equal(answer.status, 500)
    assert.doesNotMatch(answer.body, /hunter2/)
  })

  test('the error of a service keeps its code, status and details', async () => {
    started.operator.invocation = () => {
      throw new SignalboxError('ORDER_UNKNOWN', 'no order 7', { status: 404, details: { order: 7 } })
    }
    const answer = await send(started.port, 'POST', '/v1/services/orders.get/invoke', as('admin'))
    started.operator.invocation = payload => ({ echo: payload })
    assert.equal(answer.status, 404)
    assert.deepEqual(JSON.parse(answer.body).details, { order: 7 })
  })

  test('invoke passes payload and time limit, and sends JSON, bytes or nothing back', async () => {
    const path = '/v1/services/orders.get/invoke'
    const answer = await send(
      started.port,
      'POST',
      `${path}?timeoutMs=50`,
      as('developer', JSON_TYPE),
      '[1,null]',
    )
    assert.deepEqual(JSON.parse(answer.body), { echo: [1, null] })
    assert.deepEqual(last()?.args, [
      { name: 'ann-developer', roles: ['developer'], remoteAddress: '127.0.0.1' },
      'orders.get',
      [1, null],
      50,
    ])
    await send(started.port, 'POST', path, as('admin'))
    assert.deepEqual(last()?.args.slice(2), [undefined, 30_000])
    started.operator.invocation = () => Buffer.from([0, 255])
    const bytes = await send(started.port, 'POST', path, as('admin'))
    assert.equal(bytes.headers['content-type'], 'application/octet-stream')
    started.operator.invocation = () => undefined
    assert.equal((await send(started.port, 'POST', path, as('admin'))).status, 204)
    started.operator.invocation = () => 'text'
    assert.equal((await send(started.port, 'POST', path, as('admin'))).body, '"text"')
    started.operator.invocation = payload => ({ echo: payload })
    for (const query of [
      'timeoutMs=0',
      'timeoutMs=x',
      'timeoutMs=600001',
      'timeoutMs=1&timeoutMs=2',
      'timeout=5',
    ])
      assert.equal((await send(started.port, 'POST', `${path}?${query}`, as('admin'))).status, 400, query)
  })

  test('text bodies reach the operator as they are', async () => {
    const source = 'export default 1 // \u00e4\n'
    await send(
      started.port,
      'PUT',
      '/v1/service-files/orders/create.ts',
      as('admin', 'application/typescript'),
      source,
    )
    assert.deepEqual(last()?.args.slice(1), ['orders/create.ts', source])
    await send(started.port, 'POST', '/v1/apply', as('admin', 'application/yaml'), 'name: a\n')
    assert.deepEqual(last()?.args.slice(1), ['name: a\n', undefined])
    const conditional = { ...as('admin', 'application/yaml'), 'if-match': '"a-tag"' }
    const applied = await send(started.port, 'POST', '/v1/apply', conditional, 'name: a\n')
    assert.deepEqual([last()?.args.slice(1), applied.headers.etag], [['name: a\n', 'a-tag'], '"tag"'])
    for (const wrong of ['a-tag', 'W/"a-tag"', '*', '"a", "b"', `"${'x'.repeat(200)}"`]) {
      const headers = { ...conditional, 'if-match': wrong }
      assert.equal((await send(started.port, 'POST', '/v1/apply', headers, 'name: a\n')).status, 400, wrong)
    }
    await send(started.port, 'PUT', '/v1/secrets/DB_PASSWORD', as('admin'), ' s3cret ')
    assert.deepEqual(last()?.args.slice(1), ['DB_PASSWORD', ' s3cret '])
  })

  test('a service file outside the folder is refused before the operator is asked', async () => {
    const hostile = [
      '../a.ts',
      'a/../b.ts',
      '..%2fa.ts',
      '%2e%2e/a.ts',
      '%2e%2e%2fa.ts',
      '.%2e/a.ts',
      'a%00.ts',
      'a%5c..%5cb.ts',
      'a\\b.ts',
      '%252e%252e%252fa.ts',
      '/etc/a.ts',
      '%2fetc/a.ts',
      'c:/a.ts',
      '.hidden.ts',
      'a/.git/b.ts',
      'a.d.ts',
      'a.json',
      'a',
      'a//b.ts',
      'a/b.ts/',
      `${'a'.repeat(300)}.ts`,
      'a%0ab.ts',
      '\u00e4.ts',
      'a%ff.ts',
      '%',
      'a%2',
      'a;b.ts',
      'a b.ts',
      '',
    ]
    for (const file of hostile) {
      for (const method of ['PUT', 'DELETE']) {
        const path = `/v1/service-files/${encodeURI(file).replaceAll('%25', '%')}`
        const answer = await send(
          started.port,
          method,
          file === 'a\\b.ts' ? `/v1/service-files/${file}` : path,
          as('admin'),
        )
        assert.equal(answer.status, 400, `${method} ${file}: ${answer.status}`)
      }
    }
    assert.deepEqual(started.operator.calls, [])
  })

  test('names with slashes travel percent-encoded', async () => {
    await send(started.port, 'GET', '/v1/resources/channel/http/team%2Fpublic', as('admin'))
    assert.deepEqual(last()?.args, ['channel/http/team/public'])
    assert.equal(
      (await send(started.port, 'GET', '/v1/resources/channel/http/..%2Fa', as('admin'))).status,
      400,
    )
  })

  test('a keyed service is called by its name and key', async () => {
    const invoke = (name: string) => send(started.port, 'POST', `/v1/services/${name}/invoke`, as('admin'))
    assert.equal((await invoke('account%2342')).status, 200)
    assert.equal(last()?.args[1], 'account#42')
    assert.equal((await invoke('team%2Faccount%23a%2Fb%20%C3%A4%23')).status, 200)
    assert.equal(last()?.args[1], 'team/account#a/b \u00e4#')
    for (const bad of ['account%23', '%2342', 'account%23%0a', '..%2Fa%231']) {
      assert.equal((await invoke(bad)).status, 400, bad)
    }
  })

  test('a secret is named as the vault names it, slashes percent-encoded', async () => {
    const put = (name: string) => send(started.port, 'PUT', `/v1/secrets/${name}`, as('admin'), 'value')
    assert.equal((await put('erp%2Fprod%2Fpassword')).status, 204)
    assert.equal(last()?.args[1], 'erp/prod/password')
    assert.equal((await put('7up')).status, 204)
    for (const bad of ['_a', '%2Fa', '.a', 'a%20b', 'a%0a', 'a'.repeat(129)]) {
      assert.equal((await put(bad)).status, 400, bad)
    }
    assert.equal((await put('erp/password')).status, 404)
  })

  test('security of a channel is a list of names in the query; absent, nothing is said of it', async () => {
    const put = (query: string) =>
      send(started.port, 'PUT', `${RESOURCE}${query}`, as('admin', JSON_TYPE), '{"port":1}')
    const security = () => (last()!.args[1] as { security?: string[] }).security
    assert.equal((await put('?security=partners,staff')).status, 200)
    assert.deepEqual(security(), ['partners', 'staff'])
    assert.equal((await put('?security=')).status, 200)
    assert.deepEqual(security(), [])
    assert.equal((await put('')).status, 200)
    assert.equal(security(), undefined)
    for (const bad of ['a,', ',a', 'a+b', 'a&security=b'])
      assert.equal((await put(`?security=${bad}`)).status, 400, bad)
  })

  test('If-Match becomes the revision, and a revision that is gone is 412', async () => {
    const get = await send(started.port, 'GET', RESOURCE, as('admin'))
    const etag = String(get.headers.etag)
    const headers = { ...as('admin', JSON_TYPE), 'if-match': etag }
    const put = await send(started.port, 'PUT', RESOURCE, headers, '{"port":1}')
    assert.equal(put.status, 200)
    assert.notEqual(put.headers.etag, etag)
    assert.deepEqual(last()?.args[1], { kind: 'channel', type: 'http', name: 'public', options: { port: 1 } })
    assert.equal((await send(started.port, 'PUT', RESOURCE, headers, '{}')).status, 412)
    const bare = { ...as('admin'), 'if-match': String(started.operator.revision) }
    assert.equal((await send(started.port, 'DELETE', RESOURCE, bare)).status, 204)
    for (const condition of ['*', 'W/"3"', '"3", "4"', '-1', '"x"']) {
      const answer = await send(started.port, 'DELETE', RESOURCE, { ...as('admin'), 'if-match': condition })
      assert.equal(answer.status, 400, condition)
    }
    const none = { ...as('admin', JSON_TYPE), 'if-none-match': '*' }
    assert.equal((await send(started.port, 'PUT', RESOURCE, none, '{}')).status, 400)
  })

  test('If-None-Match saves a body that is known', async () => {
    const { headers } = await send(started.port, 'GET', RESOURCE, as('admin'))
    const again = await send(started.port, 'GET', RESOURCE, {
      ...as('admin'),
      'if-none-match': String(headers.etag),
    })
    assert.equal(again.status, 304)
    assert.equal(again.body, '')
  })

  test('HEAD is GET without a body', async () => {
    const get = await send(started.port, 'GET', '/v1/node', as('admin'))
    const head = await send(started.port, 'HEAD', '/v1/node', as('admin'))
    assert.equal(head.status, 200)
    assert.equal(head.headers['content-length'], get.headers['content-length'])
    assert.equal(head.body, '')
  })

  test('health says why not', async () => {
    started.operator.ready_ = { ok: false, reasons: ['no worker runs'] }
    const answer = await send(started.port, 'GET', '/health/ready')
    started.operator.ready_ = { ok: true, reasons: [] }
    assert.equal(answer.status, 503)
    assert.deepEqual(JSON.parse(answer.body), { ok: false, reasons: ['no worker runs'] })
    assert.equal((await send(started.port, 'GET', '/health/live')).status, 200)
  })

  test('a body that is too large is refused by its length, and while it comes', async () => {
    const big = Buffer.alloc(1001, 32)
    const announced = await send(started.port, 'PUT', '/v1/workers', as('admin', JSON_TYPE), big)
    assert.equal(announced.status, 413)
    const huge = await send(started.port, 'POST', '/v1/apply', as('admin'), Buffer.alloc(3_000_000, 32))
    assert.equal(huge.status, 413)
    const chunked = await raw(
      started.port,
      `PUT /v1/workers HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer token-of-admin\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${'3e9\r\n'}${' '.repeat(1001)}\r\n`,
    )
    assert.match(chunked, /^HTTP\/1.1 413/)
    assert.deepEqual(started.operator.calls, [])
  })

  test('bodies of the wrong kind are refused', async () => {
    const put = (type: string | undefined, body: string, more = {}) =>
      send(started.port, 'PUT', RESOURCE, { ...as('admin', type), ...more }, body)
    assert.equal((await put(undefined, '{}')).status, 415)
    assert.equal((await put('text/plain', '{}')).status, 415)
    assert.equal((await put('application/x-www-form-urlencoded', 'a=b')).status, 415)
    assert.equal((await put(JSON_TYPE, '{}', { 'content-encoding': 'gzip' })).status, 415)
    assert.equal((await put(JSON_TYPE, '{')).status, 400)
    assert.equal((await put(JSON_TYPE, '[]')).status, 400)
    assert.equal((await put(JSON_TYPE, 'null')).status, 400)
    assert.equal((await put(JSON_TYPE, '')).status, 400)
    assert.equal((await put(JSON_TYPE, '{"__proto__":{"a":1}}')).status, 400)
    assert.equal((await put(JSON_TYPE, `{"a":${'['.repeat(100)}${']'.repeat(100)}}`)).status, 413)
    assert.equal(
      (await send(started.port, 'POST', '/v1/apply', as('admin', 'multipart/form-data'), 'x')).status,
      415,
    )
    const invalid = await send(started.port, 'POST', '/v1/apply', as('admin'), Buffer.from([0xff, 0xfe]))
    assert.equal(code(invalid.body), 'SIGNALBOX_FORMAT_INVALID')
    assert.equal((await send(started.port, 'DELETE', RESOURCE, as('admin'), 'body')).status, 400)
    assert.deepEqual(started.operator.calls, [])
  })
})

describe('admin server against slow clients', () => {
  test('unfinished heads and bodies are cut', async t => {
    const { server, port } = await startAdmin({ timeouts: { headersMs: 100, requestMs: 200 } })
    t.after(() => server.close(0))
    assert.match(await raw(port, 'GET /v1/node HTTP/1.1\r\nhost: local'), /^HTTP\/1.1 408/)
    const head = 'PUT /v1/workers HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer token-of-admin\r\n'
    const body = await raw(port, `${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{`)
    assert.match(body, /^HTTP\/1.1 408/)
  })

  test('close ends while a client keeps its connection', async () => {
    const { server, port } = await startAdmin()
    const agent = new http.Agent({ keepAlive: true })
    await new Promise<void>((resolve, reject) => {
      http
        .get({ port, path: '/health/live', agent }, response => response.resume().on('end', () => resolve()))
        .on('error', reject)
    })
    await server.close()
    agent.destroy()
    await assert.rejects(send(port, 'GET', '/health/live'), /ECONNREFUSED/)
  })

  test('a taken port is a typed error', async t => {
    const { server, port } = await startAdmin()
    t.after(() => server.close(0))
    await assert.rejects(startAdmin({ port }), { code: 'SIGNALBOX_LISTEN_FAILED' })
  })
})
