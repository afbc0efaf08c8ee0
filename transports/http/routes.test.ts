import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startChannel } from './testing.ts'

test('a path with parameters and a query reaches its target', async t => {
  const { url, received } = await startChannel(t, {
    routes: [{ path: '/invoices/:id', service: 'orders.get', timeoutMs: 1234 }],
  })
  const response = await fetch(`${url}/invoices/a%20b?tag=x&tag=y&full=1`)
  assert.equal(response.status, 200)
  assert.deepEqual(await response.json(), { id: 'a b', tag: ['x', 'y'], full: '1' })
  const [message] = received
  assert.equal(message?.target, 'service/orders.get')
  assert.equal(message?.timeoutMs, 1234)
  const { params, query, ...attributes } = message!.attributes
  assert.deepEqual(attributes, {
    method: 'GET',
    path: '/invoices/a%20b',
    route: '/invoices/:id',
    remoteAddress: '127.0.0.1',
  })
  assert.deepEqual({ ...(params as object) }, { id: 'a b' })
  assert.equal(Object.getPrototypeOf(query), null)
  assert.equal(message?.payload && Object.hasOwn(message.payload as object, 'id'), true)
})

test('a wildcard takes the rest of the path, decoded, and never leaves it to a file name', async t => {
  const { url, received } = await startChannel(t, { routes: [{ path: '/files/*', target: 'service/files' }] })
  await fetch(`${url}/files/a/b%2F..%2Fc`)
  assert.deepEqual({ ...(received[0]?.attributes.params as object) }, { '*': 'a/b/../c' })
  const nul = await fetch(`${url}/files/a%00b`)
  assert.equal(nul.status, 400)
  const malformed = await fetch(`${url}/files/%zz`)
  assert.equal(malformed.status, 400)
})

test('without routes every path and method goes to the target of the channel', async t => {
  const { url, received } = await startChannel(t, {})
  assert.equal((await fetch(`${url}/any/path?x=1`, { method: 'DELETE' })).status, 200)
  assert.equal(received[0]?.target, undefined)
  assert.equal(received[0]?.attributes.path, '/any/path')
  assert.equal(received[0]?.attributes.method, 'DELETE')
})

test('headers and query choose among routes of the same path, the most demanding first', async t => {
  const { url } = await startChannel(
    t,
    {
      routes: [
        { path: '/orders', service: 'plain' },
        { path: '/orders', service: 'versioned', headers: { 'X-Version': '2' } },
        { path: '/orders', service: 'both', headers: { 'x-version': '2' }, query: { debug: '*' } },
        { path: '/only', service: 'only', query: { kind: 'a' } },
      ],
    },
    message => ({ payload: message.target }),
  )
  const get = async (path: string, headers = {}) => (await fetch(url + path, { headers })).text()
  assert.equal(await get('/orders'), 'service/plain')
  assert.equal(await get('/orders', { 'x-version': '1' }), 'service/plain')
  assert.equal(await get('/orders', { 'x-version': '2' }), 'service/versioned')
  assert.equal(await get('/orders?debug=', { 'x-version': '2' }), 'service/both')
  assert.equal(await get('/only?kind=b&kind=a'), 'service/only')
  assert.equal((await fetch(`${url}/only?kind=c`)).status, 404)
})

test('unknown paths get 404, known ones with another method 405 and Allow', async t => {
  const { url } = await startChannel(t, {
    routes: [{ path: '/a', method: ['POST', 'PUT'] }, { path: '/b' }],
  })
  const missing = await fetch(`${url}/c`)
  assert.equal(missing.status, 404)
  assert.equal(missing.headers.get('content-type'), 'application/problem+json')
  const problem = (await missing.json()) as Record<string, unknown>
  assert.equal(problem.code, 'SIGNALBOX_NOT_FOUND')
  assert.equal(problem.instance, '/c')
  assert.equal(problem.cid, missing.headers.get('x-signalbox-cid'))
  const wrong = await fetch(`${url}/a`)
  assert.equal(wrong.status, 405)
  assert.equal(wrong.headers.get('allow'), 'OPTIONS, POST, PUT')
  const options = await fetch(`${url}/b`, { method: 'OPTIONS' })
  assert.equal(options.status, 204)
  assert.equal(options.headers.get('allow'), 'GET, HEAD, OPTIONS')
})

test('HEAD is answered like GET without the body', async t => {
  const { url } = await startChannel(t, { routes: [{ path: '/a' }] }, () => ({ payload: 'hello' }))
  const head = await fetch(`${url}/a`, { method: 'HEAD' })
  assert.equal(head.status, 200)
  assert.equal(head.headers.get('content-length'), '5')
  assert.equal(await head.text(), '')
})

test('contradicting routes and methods that do not exist are refused', async t => {
  const bad = [
    [{ path: '/a' }, { path: '/a' }],
    [{ path: '/a', method: 'FETCH' }],
    [{ path: '/a/:x' }, { path: '/a/:y' }],
    [{ path: '/a', service: 'x', target: 'service/y' }],
    [{ path: '/a', cors: { origins: ['*'], credentials: true } }],
  ]
  for (const routes of bad) {
    await assert.rejects(startChannel(t, { routes }), { code: 'SIGNALBOX_OPTIONS_INVALID' })
  }
  await assert.rejects(
    startChannel(t, { routes: [{ path: '/a', methd: 'GET' }] }),
    /must not have the property 'methd'/,
  )
})

test('CORS: preflight and answers let in the origins of the policy and no other', async t => {
  const { url } = await startChannel(t, {
    cors: { origins: ['https://shop.example', 'https://*.partner.example'], credentials: true },
    routes: [
      { path: '/a', method: ['GET', 'PUT'] },
      { path: '/open', cors: { origins: ['*'] } },
    ],
  })
  const preflight = (origin: string, path = '/a') =>
    fetch(url + path, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'PUT',
        'access-control-request-headers': 'x-a, content-type',
      },
    })
  const allowed = await preflight('https://shop.example')
  assert.equal(allowed.status, 204)
  assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://shop.example')
  assert.equal(allowed.headers.get('access-control-allow-methods'), 'GET, HEAD, OPTIONS, PUT')
  assert.equal(allowed.headers.get('access-control-allow-headers'), 'x-a, content-type')
  assert.equal(allowed.headers.get('access-control-allow-credentials'), 'true')
  assert.equal(allowed.headers.get('access-control-max-age'), '600')
  const sub = await preflight('https://eu.partner.example')
  assert.equal(sub.headers.get('access-control-allow-origin'), 'https://eu.partner.example')
  for (const origin of [
    'https://evil.example',
    'https://shop.example.evil.example',
    'https://partner.example',
    'null',
  ]) {
    assert.equal((await preflight(origin)).headers.get('access-control-allow-origin'), null, origin)
  }
  const answer = await fetch(`${url}/a`, { headers: { origin: 'https://shop.example' } })
  assert.equal(answer.headers.get('access-control-allow-origin'), 'https://shop.example')
  assert.equal(answer.headers.get('vary'), 'origin')
  const failure = await fetch(`${url}/none`, { headers: { origin: 'https://shop.example' } })
  assert.equal(failure.headers.get('access-control-allow-origin'), 'https://shop.example')
  const open = await fetch(`${url}/open`, { headers: { origin: 'https://any.example' } })
  assert.equal(open.headers.get('access-control-allow-origin'), '*')
})

test('hostile queries are refused and pollute nothing', async t => {
  const { url } = await startChannel(t, { limits: { maxQueryParameters: 10 } })
  assert.equal((await fetch(`${url}/?__proto__=x`)).status, 400)
  assert.equal((await fetch(`${url}/?${'a=1&'.repeat(20)}`)).status, 414)
  assert.equal((await fetch(`${url}/?constructor=x&toString=y`)).status, 200)
  assert.equal(({} as Record<string, unknown>).x, undefined)
})
