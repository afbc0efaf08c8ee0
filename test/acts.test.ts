/** Every administrative act is in the chain: made from the table of routes, tried on a real node. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { AuditView } from '../actors/admin/operator.ts'
import { ADMIN_ROUTES, type AdminRoute, bodyOf } from '../actors/admin/routes.ts'
import type { HandlerName } from '../actors/admin/schemas.ts'
import { openState } from '../cli/state.ts'
import { until } from './load.ts'
import { answering, Operated } from './operated.ts'

const SECRET = 'the-value-that-nobody-may-see'
const EMPTY = 'name: acts\nadmin: { port: 0 }\npolicy: { plainTextSecrets: allowed }\n'
const YAML = `${EMPTY}queues: [{ name: jobs, options: {} }]
topics: [{ name: prices, options: {} }]
subscriptions: [{ name: desk, options: { topic: prices } }]
schedules: [{ name: tick, type: interval, options: { everyMs: 3600000, service: hello } }]
`
const JSON_TYPE = 'application/json'

interface Act {
  path: string
  body?: string
  type?: string
  /** What the entry must say. */
  target: string
  result?: string
  before?: unknown
  after?: unknown
}

const CONNECTION = '/v1/resources/connection/http/erp'
const CONNECTED = {
  kind: 'connection',
  type: 'http',
  name: 'erp',
  options: { url: 'http://127.0.0.1:9', tls: { key: `-----BEGIN KEY-----${SECRET}` } },
}
const MASKED = { ...CONNECTED, options: { ...CONNECTED.options, tls: { key: '***' } } }

/** For each act of the table requests in their order, the last of them one that fails. */
const ACTS: Readonly<Partial<Record<HandlerName, Act[]>>> = {
  scale: [
    { path: '/v1/workers', body: '{"count":2}', type: JSON_TYPE, target: 'workers', before: 1, after: 2 },
  ],
  invoke: [
    { path: '/v1/services/hello/invoke', body: `"${SECRET}"`, type: JSON_TYPE, target: 'service/hello' },
    {
      path: '/v1/services/helo/invoke',
      target: 'service/helo',
      result: 'SIGNALBOX_ADDRESS_UNKNOWN',
    },
  ],
  deploy: [
    { path: '/v1/service-files/made.ts', body: answering('1'), target: 'service-file/made.ts' },
    {
      path: '/v1/service-files/made.ts',
      body: 'export default class {',
      target: 'service-file/made.ts',
      result: 'SIGNALBOX_SERVICE_LOAD',
    },
  ],
  undeploy: [
    { path: '/v1/service-files/made.ts', target: 'service-file/made.ts' },
    { path: '/v1/service-files/made.ts', target: 'service-file/made.ts', result: 'SIGNALBOX_NOT_FOUND' },
  ],
  deployRoute: [
    {
      path: '/v1/route-files/made.yaml',
      body: 'steps: [{ call: hello }]',
      target: 'route-file/made.yaml',
    },
    {
      path: '/v1/route-files/made.yaml',
      body: 'steps: [{ cal: hello }]',
      target: 'route-file/made.yaml',
      result: 'SIGNALBOX_ROUTE_INVALID',
    },
  ],
  undeployRoute: [
    { path: '/v1/route-files/made.yaml', target: 'route-file/made.yaml' },
    { path: '/v1/route-files/made.yaml', target: 'route-file/made.yaml', result: 'SIGNALBOX_NOT_FOUND' },
  ],
  put: [
    {
      path: CONNECTION,
      body: JSON.stringify(CONNECTED.options),
      type: JSON_TYPE,
      target: 'connection/http/erp',
      before: null,
      after: MASKED,
    },
    {
      path: CONNECTION,
      body: '{"utl":1}',
      type: JSON_TYPE,
      target: 'connection/http/erp',
      result: 'SIGNALBOX_OPTIONS_INVALID',
      before: MASKED,
      after: { ...CONNECTED, options: { utl: 1 } },
    },
  ],
  remove: [
    { path: CONNECTION, target: 'connection/http/erp', before: MASKED, after: null },
    { path: CONNECTION, target: 'connection/http/erp', result: 'SIGNALBOX_NOT_FOUND' },
  ],
  apply: [
    {
      path: '/v1/apply',
      body: `${YAML}connections: [{ name: erp, type: http, options: ${JSON.stringify(CONNECTED.options)} }]`,
      target: 'signalbox.yaml',
      before: {},
      after: { 'connection/http/erp': MASKED },
    },
    { path: '/v1/apply', body: YAML, target: 'signalbox.yaml', before: { 'connection/http/erp': MASKED } },
    { path: '/v1/apply', body: 'nme: 1', target: 'signalbox.yaml', result: 'SIGNALBOX_CONFIG_INVALID' },
  ],
  setSecret: [
    {
      path: '/v1/secrets/erp%2Fpassword',
      body: SECRET,
      target: 'secret/erp/password',
      before: { exists: false },
      after: { exists: true },
    },
    {
      path: '/v1/secrets/erp%2Fpassword',
      body: SECRET.repeat(10_000),
      target: 'secret/erp/password',
      result: 'SIGNALBOX_SECRET_INVALID',
    },
  ],
  removeSecret: [
    {
      path: '/v1/secrets/erp%2Fpassword',
      target: 'secret/erp/password',
      before: { exists: true },
      after: { exists: false },
    },
    {
      path: '/v1/secrets/erp%2Fpassword',
      target: 'secret/erp/password',
      result: 'SIGNALBOX_SECRET_UNKNOWN',
    },
  ],
  publish: [
    {
      path: '/v1/kept/queue/jobs/messages',
      body: JSON.stringify({ payload: SECRET, headers: { 'x-note': SECRET } }),
      type: JSON_TYPE,
      target: 'queue/jobs',
    },
    {
      path: '/v1/kept/queue/jobz/messages',
      body: '{}',
      type: JSON_TYPE,
      target: 'queue/jobz',
      result: 'SIGNALBOX_ADDRESS_UNKNOWN',
    },
  ],
  keptMessage: [
    { path: '/v1/kept/queue/jobs/messages/1', target: 'queue/jobs/1' },
    { path: '/v1/kept/queue/jobs/messages/99', target: 'queue/jobs/99', result: 'SIGNALBOX_NOT_FOUND' },
  ],
  edit: [
    {
      path: '/v1/kept/queue/jobs/messages/1',
      body: JSON.stringify({ payload: [SECRET] }),
      type: JSON_TYPE,
      target: 'queue/jobs/1',
    },
    {
      path: '/v1/kept/queue/jobs/messages/99',
      body: '{}',
      type: JSON_TYPE,
      target: 'queue/jobs/99',
      result: 'SIGNALBOX_NOT_FOUND',
    },
  ],
  browse: [
    {
      path: `/v1/kept/queue/jobs/browse?state=ready&search=${SECRET}`,
      target: 'queue/jobs',
      after: { states: ['ready'], after: 0, limit: 100, search: true },
    },
    {
      path: '/v1/kept/topic/prices/browse?subscription=desc',
      target: 'topic/prices',
      result: 'SIGNALBOX_SUBSCRIPTION_UNKNOWN',
    },
  ],
  resend: [
    {
      path: '/v1/kept/queue/jobs/resend',
      body: '{}',
      type: JSON_TYPE,
      target: 'queue/jobs',
      after: { seqs: 'all', count: 0 },
    },
    {
      path: '/v1/kept/queue/jobz/resend',
      body: '{}',
      type: JSON_TYPE,
      target: 'queue/jobz',
      result: 'SIGNALBOX_ADDRESS_UNKNOWN',
    },
  ],
  drop: [
    {
      path: '/v1/kept/queue/jobs/drop',
      body: '{"seqs":[1,2]}',
      type: JSON_TYPE,
      target: 'queue/jobs',
      after: { seqs: [1, 2], count: 1 },
    },
    {
      path: '/v1/kept/topic/jobs/drop',
      body: '{"seqs":[1]}',
      type: JSON_TYPE,
      target: 'topic/jobs',
      result: 'SIGNALBOX_ADDRESS_UNKNOWN',
    },
  ],
  purge: [
    {
      path: '/v1/kept/topic/prices/purge',
      body: '{"states":["ready","dead"]}',
      type: JSON_TYPE,
      target: 'topic/prices',
      before: { ready: 0, leased: 0, delayed: 0, dead: 0 },
      after: { states: ['ready', 'dead'], count: 0 },
    },
    {
      path: '/v1/kept/queue/jobz/purge',
      body: '{}',
      type: JSON_TYPE,
      target: 'queue/jobz',
      result: 'SIGNALBOX_ADDRESS_UNKNOWN',
    },
  ],
  seek: [
    {
      path: '/v1/topics/prices/seek',
      body: '{"subscription":"desk","to":{"at":"beginning"}}',
      type: JSON_TYPE,
      target: 'topic/prices',
      before: { ready: 0, leased: 0, delayed: 0, dead: 0 },
      after: { to: { at: 'beginning' }, subscription: 'desk' },
    },
    {
      path: '/v1/topics/price/seek',
      body: '{"to":{"at":"end"}}',
      type: JSON_TYPE,
      target: 'topic/price',
      result: 'SIGNALBOX_ADDRESS_UNKNOWN',
    },
  ],
  runSchedule: [
    { path: '/v1/schedules/tick/run', target: 'schedule/tick', after: { number: 1, outcome: 'ok' } },
    { path: '/v1/schedules/tock/run', target: 'schedule/tock', result: 'SIGNALBOX_NOT_FOUND' },
  ],
  pauseSchedule: [
    {
      path: '/v1/schedules/tick/pause',
      target: 'schedule/tick',
      before: { paused: false },
      after: { paused: true },
    },
    { path: '/v1/schedules/tock/pause', target: 'schedule/tock', result: 'SIGNALBOX_NOT_FOUND' },
  ],
  resumeSchedule: [
    {
      path: '/v1/schedules/tick/resume',
      target: 'schedule/tick',
      before: { paused: true },
      after: { paused: false },
    },
    { path: '/v1/schedules/tock/resume', target: 'schedule/tock', result: 'SIGNALBOX_NOT_FOUND' },
  ],
  // What succeeds is tried in actors/audit: which id a record has is not known here.
  messageBody: [
    { path: '/v1/messages/1-2s-0/body', target: 'message/1-2s-0', result: 'SIGNALBOX_NOT_FOUND' },
  ],
  replay: [{ path: '/v1/messages/1-2s-0/replay', target: 'message/1-2s-0', result: 'SIGNALBOX_NOT_FOUND' }],
  tail: [{ path: '/v1/tail?name=service%2F*', target: 'tail', after: { name: 'service/*' } }],
}

describe('acts', () => {
  let bus: Operated
  let viewer: string
  let expired: string

  before(async () => {
    bus = await Operated.start({ 'signalbox.yaml': YAML }, async folder => {
      const state = await openState(folder)
      viewer = (await state.tokens.issue({ name: 'vera', role: 'viewer' })).token
      expired = (await state.tokens.issue({ name: 'eddy', role: 'admin', lifetimeMs: 1 })).token
      await state.close()
    })
  })
  after(() => bus[Symbol.asyncDispose]())

  /** The entries that a request adds. */
  const added = async (request: () => Promise<unknown>): Promise<AuditView[]> => {
    const last = (await bus.acts()).at(-1)?.seq ?? 0
    await request()
    return bus.acts(last)
  }
  // A tail never ends by itself.
  const methodOf = ({ handler, method }: AdminRoute) => (handler === 'tail' ? 'HEAD' : method)
  const send = (
    route: AdminRoute,
    { path, body, type }: Pick<Act, 'path' | 'body' | 'type'>,
    token?: string,
  ) => bus.admin(methodOf(route), path, body, { ...(type && { type }), ...(token && { token }) })

  test('every act of the table is tried here, and nothing else', () => {
    const acts = ADMIN_ROUTES.filter(({ act }) => act).map(({ handler }) => handler)
    assert.deepEqual(Object.keys(ACTS).sort(), acts.sort())
  })

  for (const route of ADMIN_ROUTES.filter(({ act }) => act)) {
    test(`${route.method} ${route.path} says who, what, before and after, and the result`, async () => {
      for (const act of ACTS[route.handler as HandlerName]!) {
        const [entry, ...more] = await added(async () => {
          const { status, text } = await send(route, act)
          assert.equal(status < 300, act.result === undefined, `${status} ${text}`)
        })
        assert.ok(entry, 'it is recorded')
        assert.deepEqual(more, [])
        const { who, what, target, result } = entry
        assert.deepEqual(
          { who, what, target, result, remoteAddress: entry.remoteAddress },
          {
            who: 'admin-token/admin',
            what: route.permission,
            target: act.target,
            result: act.result ?? 'ok',
            remoteAddress: '127.0.0.1',
          },
        )
        for (const key of ['before', 'after'] as const)
          if (act[key] !== undefined) assert.deepEqual(entry[key], act[key], key)
        assert.doesNotMatch(JSON.stringify(entry), new RegExp(SECRET))
      }
    })
  }

  for (const route of ADMIN_ROUTES.filter(({ permission }) => permission !== undefined)) {
    const path = route.path.replace(/:(\w+)|\*/g, (_, name) => (name === 'kind' ? 'channel' : 'http'))
    const body = bodyOf(route) === 'none' ? undefined : '{}'
    const type = bodyOf(route) === 'json' ? JSON_TYPE : 'text/plain'

    test(`${route.method} ${route.path} is recorded when it is denied, and not when it only reads`, async () => {
      const request = { path, type, ...(body !== undefined && { body }) }
      const byExpired = await added(async () =>
        assert.equal((await send(route, request, expired)).status, 401),
      )
      assert.deepEqual(
        byExpired.map(({ who, what, result }) => [who, what, result]),
        [['admin-token/eddy', route.permission, 'denied']],
      )
      let status = 0
      const byViewer = await added(async () => {
        status = (await send(route, request, viewer)).status
      })
      assert.deepEqual(
        byViewer.map(({ who, what, result }) => [who, what, result]),
        status === 403 ? [['admin-token/vera', route.permission, 'denied']] : [],
      )
      if (route.act) assert.equal(status, 403)
    })
  }

  test('the keys that a first start makes are recorded', async () => {
    await using first = await Operated.start({ 'signalbox.yaml': EMPTY })
    const acts = (await first.acts()).map(({ who, what, target }) => `${who} ${what} ${target}`)
    assert.match(acts[0]!, /^start secret\.write master-key\/\w+$/)
    assert.equal(acts[1], 'start user.write admin-token/admin')
    assert.equal(acts.length, 2)
  })

  test('what nobody did by a token is recorded as well', async () => {
    const byStart = (await bus.acts()).filter(({ who }) => who === 'start')
    assert.deepEqual(
      byStart.map(({ what, target }) => `${what} ${target}`),
      ['resource.write signalbox.yaml', 'user.write admin-token/admin'],
    )
    const saves = async (file: string) =>
      (await bus.acts()).filter(
        ({ who, target }) => who === 'file-system' && target === `service-file/${file}`,
      )
    await writeFile(join(bus.root, 'services', 'saved.ts'), answering('1'))
    await until(async () => (await saves('saved.ts')).length === 1, 'the first save')
    await writeFile(join(bus.root, 'services', 'saved.ts'), 'export default\nclass {')
    await until(async () => (await saves('saved.ts')).length === 2, 'the second save')
    const [first, second] = await saves('saved.ts')
    assert.deepEqual([first!.before, first!.result], [null, 'ok'])
    assert.deepEqual([second!.before, second!.result], [first!.after, 'SIGNALBOX_SERVICE_LOAD'])
    await writeFile(join(bus.root, 'helper.ts'), 'export const a = 1\n')
    await until(
      async () => (await bus.acts()).some(({ who, target }) => who === 'file-system' && target === 'workers'),
      'the module beside the services',
    )
  })

  test('the chain is whole', async () => {
    const report = (await bus.admin('GET', '/v1/audit/verify')).json() as {
      brokenAt?: number
      entries: number
    }
    assert.equal(report.brokenAt, undefined)
    assert.ok(report.entries > 40)
  })
})
