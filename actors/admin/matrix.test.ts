/**
 * Every role against every route, made from the table of routes and the roles of the bus; and no route beside the table.
 */
import assert from 'node:assert/strict'
import { METHODS } from 'node:http'
import { after, before, describe, test } from 'node:test'
import type { Role } from '../../core/security/roles.ts'
import { as, type Started, send, startAdmin, TEST_ROLES, type TestRole } from './admin-harness.ts'
import { HANDLERS } from './handlers.ts'
import { ADMIN_ROUTES, type AdminRoute, bodyOf } from './routes.ts'
import { type HandlerName, SCHEMAS } from './schemas.ts'

const ANYBODY = 'anybody'
const ALL: readonly Role[] = ['viewer', 'operator', 'developer', 'admin']

/**
 * Who may what: decided here, by hand, for each route. A route without a line does not compile, and one whose line
 * and permission differ fails.
 */
const DECISIONS: Readonly<Record<HandlerName, typeof ANYBODY | readonly Role[]>> = {
  live: ANYBODY,
  ready: ANYBODY,
  docs: ANYBODY,
  adminOpenapi: ANYBODY,
  metrics: ALL,
  node: ALL,
  openapi: ALL,
  services: ALL,
  resources: ALL,
  resource: ALL,
  ping: ALL,
  diff: ALL,
  export: ALL,
  scale: ['operator', 'admin'],
  tail: ['operator', 'developer', 'admin'],
  messages: ['operator', 'developer', 'admin'],
  trail: ['operator', 'developer', 'admin'],
  messageBody: ['operator', 'developer', 'admin'],
  replay: ['operator', 'developer', 'admin'],
  invoke: ['developer', 'admin'],
  deploy: ['developer', 'admin'],
  undeploy: ['developer', 'admin'],
  deployRoute: ['developer', 'admin'],
  undeployRoute: ['developer', 'admin'],
  put: ['developer', 'admin'],
  remove: ['developer', 'admin'],
  apply: ['developer', 'admin'],
  secrets: ['developer', 'admin'],
  setSecret: ['admin'],
  removeSecret: ['admin'],
  audit: ['admin'],
  verifyAudit: ['admin'],
  logs: ALL,
  log: ALL,
  keptMessages: ALL,
  schedules: ALL,
  scheduleHistory: ALL,
  keptMessage: ['operator', 'developer', 'admin'],
  browse: ['operator', 'developer', 'admin'],
  publish: ['operator', 'developer', 'admin'],
  edit: ['operator', 'developer', 'admin'],
  resend: ['operator', 'developer', 'admin'],
  drop: ['operator', 'admin'],
  purge: ['operator', 'admin'],
  seek: ['operator', 'admin'],
  runSchedule: ['operator', 'developer', 'admin'],
  pauseSchedule: ['operator', 'developer', 'admin'],
  resumeSchedule: ['operator', 'developer', 'admin'],
}

function mayCall({ handler }: AdminRoute, role: TestRole): boolean {
  const who = DECISIONS[handler as HandlerName]
  return who === ANYBODY || (who as readonly string[]).includes(role)
}

const VALUES: Record<string, string> = {
  kind: 'channel',
  type: 'http',
  name: 'public',
  '*': 'orders/create.ts',
  cid: 'c-1',
  id: '1-2s-0',
  seq: '17',
}

/** Of handlers that do not take `{}`. */
const BODIES: Readonly<Partial<Record<HandlerName, string>>> = {
  scale: '{"count":2}',
  drop: '{"seqs":[1]}',
  seek: '{"to":{"at":"end"}}',
}

function requestOf(route: AdminRoute): { path: string; body: string | undefined; type: string | undefined } {
  const values = route.path.startsWith('/v1/kept/') ? { ...VALUES, kind: 'queue' } : VALUES
  const path = route.path.replace(/:(\w+)|\*/g, (whole, name) => values[name ?? whole]!)
  const kind = bodyOf(route)
  if (kind === 'none') return { path, body: undefined, type: undefined }
  if (kind === 'text') return { path, body: 'text', type: 'text/plain' }
  return { path, body: BODIES[route.handler as HandlerName] ?? '{}', type: 'application/json' }
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
    for (const role of TEST_ROLES) {
      test(`${route.method} ${route.path} as ${role}`, async () => {
        const { path, body, type } = requestOf(route)
        const before = started.operator.calls.length
        const refusals = started.operator.refusals.length
        const answer = await send(started.port, methodOf(route), path, as(role, type), body)
        if (mayCall(route, role)) {
          assert.ok(answer.status < 300, `${answer.status}: ${answer.body}`)
          return
        }
        assert.equal(answer.status, 403)
        assert.equal(started.operator.calls.length, before, 'the operator was asked')
        const { actor, permission, target } = started.operator.refusals[refusals]!
        assert.deepEqual(
          [actor.name, permission],
          [`ann-${role}`, route.permission],
          'the refusal is recorded',
        )
        assert.ok(actor.remoteAddress && target.length > 0)
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

    test(`${route.method} ${route.path} with a token that has expired`, async () => {
      if (route.permission === undefined) return
      const { path, body, type } = requestOf(route)
      const [calls, refusals] = [started.operator.calls.length, started.operator.refusals.length]
      const headers = { ...as('admin', type), authorization: 'Bearer expired-token-of-admin' }
      const answer = await send(started.port, methodOf(route), path, headers, body)
      assert.equal(answer.status, 401)
      assert.equal(started.operator.calls.length, calls, 'the operator was asked')
      const refused = started.operator.refusals.slice(refusals)
      assert.deepEqual(
        refused.map(({ actor, permission }) => [actor.name, permission]),
        [['ann-admin', route.permission]],
      )
    })
  }

  test('each handler belongs to one route, has a schema, and somebody has decided who may call it', () => {
    const inTable = ADMIN_ROUTES.map(route => route.handler).sort()
    assert.deepEqual(Object.keys(DECISIONS).sort(), inTable)
    assert.deepEqual(Object.keys(HANDLERS).sort(), inTable)
    assert.deepEqual(Object.keys(SCHEMAS).sort(), inTable)
  })

  test('what changes something is an act', () => {
    const harmless = ['ping', 'diff']
    for (const { method, handler, act, permission } of ADMIN_ROUTES) {
      if (method !== 'GET') assert.equal(act === true, !harmless.includes(handler), handler)
      if (act) assert.notEqual(permission, undefined, handler)
    }
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
