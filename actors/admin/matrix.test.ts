/** Every role against every route, made from the table of routes; and no route beside the table. */
import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { as, mayByRole, ROLES, type Started, send, startAdmin } from './admin-harness.ts'
import { HANDLERS } from './handlers.ts'
import { ADMIN_ROUTES, type AdminRoute, bodyOf } from './routes.ts'
import { SCHEMAS } from './schemas.ts'

const VALUES: Record<string, string> = {
  kind: 'channel',
  type: 'http',
  name: 'public',
  '*': 'orders/create.ts',
}

function requestOf(route: AdminRoute): { path: string; body: string | undefined; type: string | undefined } {
  const path = route.path.replace(/:(\w+)|\*/g, (whole, name) => VALUES[name ?? whole]!)
  const kind = bodyOf(route)
  if (kind === 'none') return { path, body: undefined, type: undefined }
  if (kind === 'text') return { path, body: 'text', type: 'text/plain' }
  return { path, body: route.handler === 'scale' ? '{"count":2}' : '{}', type: 'application/json' }
}

describe('every role against every route', () => {
  let started: Started
  before(async () => {
    started = await startAdmin()
  })
  after(() => started.server.close(0))

  // A tail never ends by itself, and HEAD is authorised in the same way.
  const methodOf = (route: AdminRoute) => (route.handler === 'tail' ? 'HEAD' : route.method)

  for (const route of ADMIN_ROUTES) {
    for (const role of ROLES) {
      test(`${route.method} ${route.path} as ${role}`, async () => {
        const { path, body, type } = requestOf(route)
        const before = started.operator.calls.length
        const answer = await send(started.port, methodOf(route), path, as(role, type), body)
        const isAllowed =
          route.permission === undefined || mayByRole(role === 'none' ? [] : [role], route.permission)
        if (isAllowed) {
          assert.ok(answer.status < 300, `${answer.status}: ${answer.body}`)
          return
        }
        assert.equal(answer.status, 403)
        assert.equal(started.operator.calls.length, before, 'the operator was asked')
        if (methodOf(route) === 'HEAD') return
        const problem = JSON.parse(answer.body)
        assert.equal(problem.code, 'SIGNALBOX_FORBIDDEN')
        assert.equal(problem.details.permission, route.permission)
        assert.match(String(answer.headers['www-authenticate']), /insufficient_scope/)
      })
    }

    for (const [name, headers] of Object.entries<Record<string, string>>({
      'without a token': {},
      'with a bad token': { authorization: 'Bearer wrong' },
      'with another scheme': { authorization: 'Basic dG9rZW46b2Y=' },
    })) {
      test(`${route.method} ${route.path} ${name}`, async () => {
        const { path, body, type } = requestOf(route)
        const before = started.operator.calls.length
        const all = { ...headers, ...(type && { 'content-type': type }) }
        const answer = await send(started.port, methodOf(route), path, all, body)
        if (route.permission === undefined) {
          assert.equal(answer.status, 200)
          return
        }
        assert.equal(answer.status, 401)
        assert.match(String(answer.headers['www-authenticate']), /^Bearer realm="signalbox"/)
        assert.equal(started.operator.calls.length, before, 'the operator was asked')
      })
    }
  }

  test('each handler belongs to one route, and has a schema', () => {
    const inTable = ADMIN_ROUTES.map(route => route.handler).sort()
    assert.deepEqual(Object.keys(HANDLERS).sort(), inTable)
    assert.deepEqual(Object.keys(SCHEMAS).sort(), inTable)
  })

  test('no method beside the table is served on any path of it', async () => {
    const methods = METHODS.filter(method => method !== 'CONNECT')
    for (const { path } of new Map(ADMIN_ROUTES.map(route => [route.path, route])).values()) {
      const served = ADMIN_ROUTES.filter(route => route.path === path).map(route => route.method as string)
      const allow = served.flatMap(method => (method === 'GET' ? ['GET', 'HEAD'] : [method])).sort()
      const url = requestOf(ADMIN_ROUTES.find(route => route.path === path)!).path
      for (const method of methods.filter(method => !allow.includes(method))) {
        const answer = await send(started.port, method, url, as('admin'))
        assert.equal(answer.status, 405, `${method} ${path}`)
        assert.equal(answer.headers.allow, allow.join(', '))
      }
    }
  })

  test('a path beside the table is not found, whoever asks', async () => {
    for (const path of [
      '/',
      '/v1',
      '/v2/node',
      '/v1/node/',
      '/V1/node',
      '//v1/node',
      '/v1//node',
      '/debug',
      '/v1/service-files',
    ]) {
      assert.equal((await send(started.port, 'GET', path, as('admin'))).status, 404, path)
    }
  })

  test('no header changes the method', async () => {
    const headers = { ...as('admin'), 'x-http-method-override': 'DELETE', 'x-method-override': 'DELETE' }
    await send(started.port, 'GET', '/v1/resources/channel/http/public?', headers)
    assert.equal(started.operator.calls.at(-1)?.method, 'resource')
    const query = await send(
      started.port,
      'GET',
      '/v1/resources/channel/http/public?_method=DELETE',
      as('admin'),
    )
    assert.equal(query.status, 400)
  })
})
