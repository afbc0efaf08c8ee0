import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { as, raw, type Started, send, startAdmin } from './admin-harness.ts'

describe('admin server against web pages', () => {
  let started: Started
  before(async () => {
    started = await startAdmin({ hostNames: ['bus.example'] })
  })
  after(() => started.server.close(0))

  test('a Host that is not ours is refused (DNS rebinding)', async () => {
    for (const host of [
      'evil.example',
      'evil.example:7700',
      'localhost.evil.example',
      '127.0.0.1.nip.io',
      '127.0.0.1@evil',
    ]) {
      const answer = await send(started.port, 'GET', '/health/live', { host })
      assert.equal(answer.status, 421, `'${host}'`)
    }
    for (const host of ['localhost', 'LOCALHOST:7700', '127.0.0.1:1', '[::1]:7700', 'bus.example'])
      assert.equal((await send(started.port, 'GET', '/health/live', { host })).status, 200, host)
    const twice = await raw(
      started.port,
      'GET /health/live HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\nconnection: close\r\n\r\n',
    )
    assert.match(twice, /^HTTP\/1.1 4(00|21)/)
    const empty = await raw(started.port, 'GET /health/live HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n')
    assert.match(empty, /^HTTP\/1.1 421/)
    const absolute = await raw(
      started.port,
      'GET http://evil/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n',
    )
    assert.match(absolute, /^HTTP\/1.1 400/)
  })

  test('a foreign page is refused, and there is no CORS', async () => {
    for (const origin of [
      'http://evil.example',
      'null',
      `http://localhost:${started.port + 1}`,
      `ftp://127.0.0.1:${started.port}`,
    ]) {
      const answer = await send(started.port, 'GET', '/v1/node', { ...as('admin'), origin })
      assert.equal(answer.status, 403, origin)
      assert.equal(answer.headers['access-control-allow-origin'], undefined)
    }
    const own = {
      ...as('admin'),
      origin: `http://127.0.0.1:${started.port}`,
      'sec-fetch-site': 'same-origin',
    }
    assert.equal((await send(started.port, 'GET', '/v1/node', own)).status, 200)
    const preflight = { origin: 'http://evil.example', 'access-control-request-method': 'PUT' }
    assert.equal((await send(started.port, 'OPTIONS', '/v1/workers', preflight)).status, 403)
    for (const site of ['cross-site', 'same-site']) {
      const answer = await send(started.port, 'GET', '/v1/node', { ...as('admin'), 'sec-fetch-site': site })
      assert.equal(answer.status, 403, site)
      assert.equal((await send(started.port, 'GET', '/docs', { 'sec-fetch-site': site })).status, 200)
    }
  })

  test('every answer has the security headers', async () => {
    for (const path of ['/v1/node', '/nothing', '/docs', '/health/live']) {
      const { headers } = await send(started.port, 'GET', path, as('admin'))
      assert.equal(headers['x-content-type-options'], 'nosniff')
      assert.equal(headers['referrer-policy'], 'no-referrer')
      assert.equal(headers['cache-control'], 'no-store')
      assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/)
    }
  })
})
