/** Targets from messages and redirects, against real servers. */
import assert from 'node:assert/strict'
import type { LookupFunction } from 'node:net'
import { test } from 'node:test'
import { open, serve } from './connection-test-fixture.ts'

const FORBIDDEN = { code: 'SIGNALBOX_TARGET_FORBIDDEN' }

test('a URL from a message is refused unless targets.dynamic is on', async t => {
  const peer = await serve(t, (_, __, response) => response.end('x'))
  const connection = await open(t, { url: peer.url })
  await assert.rejects(connection.send({ payload: 'x', attributes: { url: `${peer.url}/` } }), FORBIDDEN)
  assert.equal(peer.sockets(), 0)
})

test('a dynamic target inside is refused before a socket is opened, unless it is allowed', async t => {
  const peer = await serve(t, (_, __, response) => response.end('inside'))
  const guarded = await open(t, { url: 'http://base.invalid', targets: { dynamic: true } })
  for (const host of ['127.0.0.1', '2130706433', '0x7f.1', '[::ffff:127.0.0.1]', 'localhost']) {
    await assert.rejects(guarded.request({ url: `http://${host}:${peer.port}/` }), FORBIDDEN, host)
  }
  await assert.rejects(guarded.request({ url: 'file:///etc/passwd' }), FORBIDDEN)
  assert.equal(peer.sockets(), 0)
  const allowed = await open(t, {
    url: 'http://base.invalid',
    targets: { dynamic: true, allow: ['127.0.0.0/8'] },
  })
  assert.equal((await allowed.request({ method: 'GET', url: `${peer.url}/` })).status, 200)
})

test('DNS rebinding: the address that was checked is the address that is connected to', async t => {
  const peer = await serve(t, (_, __, response) => response.end('inside'))
  let lookups = 0
  const rebinding: LookupFunction = (_hostname, _options, callback) => {
    lookups++
    // Public at first, inside from the second time on.
    callback(null, [{ address: lookups === 1 ? '192.0.2.1' : '127.0.0.1', family: 4 }])
  }
  const options = {
    url: 'http://base.invalid',
    targets: { dynamic: true, allow: ['192.0.2.0/24'] },
    timeouts: { connectMs: 100 },
    retry: { attempts: 3, minDelayMs: 0 },
  }
  const connection = await open(t, options, { lookup: rebinding })
  await assert.rejects(connection.request({ url: `http://rebind.example:${peer.port}/` }), FORBIDDEN)
  assert.equal(lookups, 2, 'the first address was tried, the second refused')
  assert.equal(peer.sockets(), 0)
})

test('a dynamic target gets no credentials, configured headers or client certificate of the connection', async t => {
  const seen: object[] = []
  const peer = await serve(t, (request, _, response) => {
    seen.push(request.headers)
    response.end('{}')
  })
  const connection = await open(t, {
    url: peer.url,
    auth: { bearer: { token: 'secret' } },
    headers: { 'x-tenant': 'acme' },
    targets: { dynamic: true, allow: ['127.0.0.1'] },
  })
  await connection.request({ url: `${peer.url}/hook`, json: {} })
  await connection.get('/own')
  const [dynamic, own] = seen as Record<string, string>[]
  assert.equal(dynamic!.authorization, undefined)
  assert.equal(dynamic!['x-tenant'], undefined)
  assert.equal(own!.authorization, 'Bearer secret')
  assert.equal(own!['x-tenant'], 'acme')
})

test('a redirect within the origin keeps credentials; across origins it drops them and cookies', async t => {
  const seen: Record<string, unknown>[] = []
  const other = await serve(t, (request, _, response) => {
    seen.push(request.headers)
    response.end('other')
  })
  const peer = await serve(t, (request, _, response) => {
    seen.push(request.headers)
    const location = request.url === '/start' ? '/next' : `${other.url}/`
    response.writeHead(307, { location }).end()
  })
  const connection = await open(t, {
    url: peer.url,
    auth: { apiKey: { value: 'secret' } },
    targets: { allow: ['127.0.0.1'] },
  })
  const headers = { cookie: 'a=b', authorization: 'Bearer own', 'x-kept': 'yes' }
  const answer = await connection.put('/start', { headers, body: 'x' })
  assert.equal(answer.url, `${other.url}/`)
  assert.deepEqual(
    seen.map(one => [one['x-api-key'], one.cookie, one.authorization, one['x-kept']]),
    [
      ['secret', 'a=b', 'Bearer own', 'yes'],
      ['secret', 'a=b', 'Bearer own', 'yes'],
      [undefined, undefined, undefined, 'yes'],
    ],
  )
})

test('a redirect to the inside is refused, and endless redirects end', async t => {
  const inside = await serve(t, (_, __, response) => response.end('inside'))
  const peer = await serve(t, (request, _, response) => {
    response.writeHead(302, { location: request.url === '/loop' ? '/loop' : `${inside.url}/admin` }).end()
  })
  const connection = await open(t, { url: peer.url })
  await assert.rejects(connection.get('/inside'), FORBIDDEN)
  assert.equal(inside.sockets(), 0)
  await assert.rejects(connection.get('/loop'), {
    code: 'SIGNALBOX_HTTP_STATUS',
    message: /more than 5 redirects/,
  })
  const staying = await open(t, { url: peer.url, redirects: { max: 0 } })
  assert.equal((await staying.get('/loop')).status, 302)
})

test('a redirected POST becomes GET after 302 and 303, and stays after 307', async t => {
  const seen: string[] = []
  const peer = await serve(t, (request, body, response) => {
    seen.push(`${request.method} ${request.url} ${body}`)
    const status = Number(request.url!.slice(1))
    if (status) response.writeHead(status, { location: '/end' }).end()
    else response.end()
  })
  const connection = await open(t, { url: peer.url })
  for (const status of [302, 303, 307]) await connection.post(`/${status}`, { body: 'b' })
  assert.deepEqual(seen, [
    'POST /302 b',
    'GET /end ',
    'POST /303 b',
    'GET /end ',
    'POST /307 b',
    'POST /end b',
  ])
})

test('a path cannot leave the base URL', async t => {
  const seen: string[] = []
  const peer = await serve(t, (request, _, response) => {
    seen.push(request.url!)
    response.end()
  })
  const connection = await open(t, { url: `${peer.url}/api/` })
  const paths = [
    '/../admin',
    '/%2e%2e/admin',
    '/a/.%2E/b',
    '/\\..\\admin',
    'http://evil.example/',
    '//../x',
    '/x#y',
    '/a\r\nb',
    '/a\tb',
    '@evil/',
  ]
  for (const path of paths) await assert.rejects(connection.get(path), { code: 'SIGNALBOX_USAGE' }, path)
  for (const name of ['..', '.', '']) {
    await assert.rejects(
      connection.get('/x/{name}', { pathParams: { name } }),
      { code: 'SIGNALBOX_USAGE' },
      name,
    )
  }
  await connection.get('/x/{name}', {
    pathParams: { name: '../a b/ü?#%2e' },
    query: { q: ['1', '&=2'], n: undefined },
  })
  await connection.get('//evil.example/')
  assert.deepEqual(seen, ['/api/x/..%2Fa%20b%2F%C3%BC%3F%23%252e?q=1&q=%26%3D2', '/api//evil.example/'])
})
