/** Resources of a running node by the admin API: security of channels, names, files, services with keys, metrics. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { serverCertificate, testCa } from './certificates/certificates.ts'
import { readExposition } from './exposition.ts'
import { type Answer, answering, Operated } from './operated.ts'

const CORE = new URL('../core/index.ts', import.meta.url).href
const KEY = 'a-key-of-a-partner-that-nobody-guesses'
const JSON_TYPE = { type: 'application/json' }
const YAML = 'name: live\nadmin: { port: 0 }\npolicy: { plainTextSecrets: allowed }\n'
const KEYED = `import { service } from '${CORE}'
export default service({ placement: 'keyed', handle: (input) => ({ input }) })
`

describe('resources of a running node', () => {
  let bus: Operated
  before(async () => {
    bus = await Operated.start({
      'signalbox.yaml': YAML,
      'services/account.ts': KEYED,
      'tls/server.pem': serverCertificate.cert,
      'tls/server.key.pem': serverCertificate.key,
    })
  })
  after(() => bus[Symbol.asyncDispose]())

  const put = (id: string, options: object, query = '') =>
    bus.admin('PUT', `/v1/resources/${id}${query}`, JSON.stringify(options), JSON_TYPE)
  const view = async (id: string) =>
    (await bus.admin('GET', `/v1/resources/${id}`)).json() as { security?: string[]; options: object }
  const refused = (answer: Answer, status: number, code: string, detail: RegExp) => {
    const problem = answer.json() as { code: string; detail: string }
    assert.deepEqual([answer.status, problem.code], [status, code], answer.text)
    assert.match(problem.detail, detail)
  }
  const endpointOf = async (id: string) => {
    const { workers } = (await bus.admin('GET', '/v1/node')).json() as {
      workers: { actors: { address: string; endpoint?: string }[] }[]
    }
    return workers.flatMap(({ actors }) => actors).find(({ address }) => address === id)!.endpoint!
  }
  const WEB = 'channel/http/web'
  const routes = [{ path: '/hello', method: 'GET', service: 'hello' }]

  test('a channel gets its security by PUT, keeps it, and loses it only when that is said', async () => {
    assert.equal((await put('security/apiKey/partners', { keys: [{ identity: 'a', key: KEY }] })).status, 200)
    const made = await put(WEB, { port: 0, routes }, '?security=partners')
    assert.equal(made.status, 200, made.text)
    assert.deepEqual((await view(WEB)).security, ['partners'])
    const url = `${await endpointOf(WEB)}/hello`
    const status = async (key?: string) =>
      (await fetch(url, { headers: { ...(key && { 'x-api-key': key }) } })).status
    assert.deepEqual([await status(), await status(KEY)], [401, 200])
    assert.equal((await put(WEB, { port: 0, routes: [...routes] })).status, 200)
    assert.deepEqual((await view(WEB)).security, ['partners'])
    assert.equal(await status(), 401)
    assert.equal((await put(WEB, { port: 0, routes }, '?security=')).status, 200)
    assert.equal((await view(WEB)).security, undefined)
    assert.equal(await status(), 200)
    refused(
      await put('connection/http/erp', { url: 'http://127.0.0.1:9' }, '?security=partners'),
      400,
      'SIGNALBOX_OPTIONS_INVALID',
      /must not have the property 'security'/,
    )
  })

  test('a definition that is not there is refused with its place and the nearest name', async () => {
    const wrong = 'SIGNALBOX_OPTIONS_INVALID'
    const near = "is wrong: there is no security definition 'partner'; did you mean 'partners'\\?"
    refused(
      await put(WEB, { port: 0, routes }, '?security=partners,partner'),
      400,
      wrong,
      new RegExp(`/security/1 ${near}`),
    )
    const inRoute = { port: 0, routes: [...routes, { path: '/b', service: 'hello', security: ['partner'] }] }
    refused(await put(WEB, inRoute), 400, wrong, new RegExp(`/options/routes/1/security/0 ${near}`))
    const yaml = `${YAML}security: [{ name: partners, type: apiKey, options: { keys: [{ identity: a, key: ${KEY} }] } }]
channels:
  - name: web
    type: http
    security: [partner]
    options:
      routes:
        - path: /b
          service: hello
          security: [partner]
`
    const answer = await bus.admin('POST', '/v1/apply', yaml)
    refused(answer, 400, 'SIGNALBOX_CONFIG_INVALID', new RegExp(`:8: channels\\.0\\.security\\.0 ${near}`))
    refused(
      answer,
      400,
      'SIGNALBOX_CONFIG_INVALID',
      new RegExp(`:13: channels\\.0\\.options\\.routes\\.0\\.security\\.0 ${near}`),
    )
    const good = { port: 0, routes: [...routes, { path: '/b', service: 'hello', security: ['partners'] }] }
    assert.equal((await put(WEB, good)).status, 200)
  })

  test('a definition that a channel or one of its routes names is not removed', async () => {
    const remove = () => bus.admin('DELETE', '/v1/resources/security/apiKey/partners')
    refused(await remove(), 409, 'SIGNALBOX_CONFLICT', /partners is named by channel\/http\/web/)
    assert.equal((await put(WEB, { port: 0, routes }, '?security=partners')).status, 200)
    refused(await remove(), 409, 'SIGNALBOX_CONFLICT', /partners is named by channel\/http\/web/)
    assert.equal((await put(WEB, { port: 0, routes }, '?security=')).status, 200)
    assert.equal((await remove()).status, 204)
  })

  test('a name is taken once in its kind, whatever the type', async () => {
    refused(
      await put('channel/memory/web', { queue: 'q' }),
      409,
      'SIGNALBOX_CONFLICT',
      /there is a channel named web already: channel\/http\/web/,
    )
    assert.equal((await put('connection/memory/web', { queue: 'q' })).status, 200, 'another kind')
  })

  test('files in options are relative to the project, whatever the folder the node was started in', async () => {
    const tls = { cert: 'tls/server.pem', key: './tls/server.key.pem' }
    const made = await put('channel/http/secure', { port: 0, routes, tls })
    assert.equal(made.status, 200, made.text)
    const written = (await view('channel/http/secure')).options as { tls: object }
    assert.deepEqual(written.tls, tls)
    const url = `${await endpointOf('channel/http/secure')}/hello`
    const status = await new Promise((resolve, reject) => {
      https
        .get(url, { ca: testCa, agent: false }, response => resolve(response.resume().statusCode))
        .on('error', reject)
    })
    assert.equal(status, 200)
  })

  test('a keyed service is invoked by its name and key', async () => {
    const answer = await bus.admin('POST', '/v1/services/account%2342/invoke', '1', JSON_TYPE)
    assert.deepEqual(answer.json(), { input: 1 }, answer.text)
    const unknown = await bus.admin('POST', '/v1/services/acount%2342/invoke', '1', JSON_TYPE)
    refused(unknown, 404, 'SIGNALBOX_ADDRESS_UNKNOWN', /did you mean 'account#42'/)
  })

  test('a difference that is not the present one any more is not applied', async () => {
    const yaml = (name: string) =>
      `${YAML}connections: [{ name: ${name}, type: memory, options: { queue: q } }]\n`
    const apply = (text: string, etag: string) =>
      fetch(`${own.project.admin}/v1/apply`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${own.token}`,
          'content-type': 'text/plain',
          'if-match': `"${etag}"`,
        },
        body: text,
      })
    const etagOf = async (text: string) =>
      ((await own.admin('POST', '/v1/diff', text)).json() as { etag: string }).etag
    await using own = await Operated.start({ 'signalbox.yaml': YAML })
    const empty = await etagOf(yaml('one'))
    const first = await apply(yaml('one'), empty)
    assert.equal(first.status, 200)
    assert.equal(first.headers.get('etag'), `"${await etagOf(yaml('one'))}"`)
    const old = await apply(yaml('two'), empty)
    assert.equal(old.status, 412)
    const problem = (await old.json()) as { code: string; fix: string }
    assert.equal(problem.code, 'SIGNALBOX_STORE_CONFLICT')
    assert.match(problem.fix, /signalbox diff/)
    const ids = (await own.admin('GET', '/v1/resources')).json() as { name: string; revision: number }[]
    assert.deepEqual(
      ids.map(({ name }) => name),
      ['one'],
    )
    // Removed and made again is not as it was.
    const before = await etagOf(yaml('one'))
    assert.equal((await own.admin('DELETE', '/v1/resources/connection/memory/one')).status, 204)
    assert.equal(await etagOf(yaml('one')), empty, 'nothing is there, as at first')
    assert.equal((await own.admin('POST', '/v1/apply', yaml('one'))).status, 200)
    assert.notEqual(await etagOf(yaml('one')), before)
    assert.equal((await apply(yaml('two'), before)).status, 412)
  })

  test('an old revision is refused before any worker is asked', async () => {
    const path = '/v1/resources/connection/memory/guarded'
    const send = (body: string, ifMatch: string) =>
      fetch(`${bus.project.admin}${path}`, {
        method: 'PUT',
        headers: {
          authorization: `Bearer ${bus.token}`,
          'content-type': 'application/json',
          'if-match': ifMatch,
        },
        body,
      })
    assert.equal((await put('connection/memory/guarded', { queue: 'a' })).status, 200)
    const { revision } = (await bus.admin('GET', path)).json() as { revision: number }
    const [worker] = bus.project.node.host.workers
    const asked: string[] = []
    const { request } = worker!
    worker!.request = (verb, payload) => {
      asked.push(verb)
      return request.call(worker, verb, payload)
    }
    try {
      assert.equal((await send('{"queue":"b"}', `"${revision - 1}"`)).status, 412)
      assert.equal((await send('{"queue":"a"}', `"${revision + 1}"`)).status, 412, 'without a difference too')
      assert.deepEqual(asked, [])
      assert.equal((await send('{"queue":"b"}', `"${revision}"`)).status, 200)
      assert.deepEqual(asked, ['putConnection'])
    } finally {
      worker!.request = request
    }
  })

  test('two that are put at the same time are both there', async () => {
    const names = ['left', 'right', 'middle']
    const all = await Promise.all(names.map(name => put(`connection/memory/${name}`, { queue: name })))
    assert.deepEqual(
      all.map(({ status }) => status),
      [200, 200, 200],
    )
    for (const name of names) await view(`connection/memory/${name}`).then(found => assert.ok(found.options))
  })

  test('the address of the admin API is in the state while the node runs', async () => {
    const own = await Operated.start({ 'signalbox.yaml': YAML })
    const file = join(own.root, '.signalbox/admin-url')
    try {
      assert.equal(readFileSync(file, 'utf8').trim(), own.project.admin)
    } finally {
      await own.project.stop(1_000)
    }
    assert.ok(!existsSync(file))
    await own[Symbol.asyncDispose]()
  })

  test('metrics are there without being switched on, and say how to have more', async () => {
    const { status, text } = await bus.admin('GET', '/metrics')
    assert.equal(status, 200)
    assert.match(text, /^# .*\n# "telemetry: \{ metrics: \{ prometheus: true \} \}" into signalbox\.yaml/)
    const read = readExposition(text.replace(/^# (?!HELP|TYPE).*\n/gm, ''))
    for (const name of ['signalbox_channel_messages_total', 'signalbox_actor_restarts_total'])
      assert.ok(read.has(name), name)
    assert.ok(!read.has('signalbox_service_duration_seconds'))
    await using measured = await Operated.start({
      'signalbox.yaml': 'admin: { port: 0 }\ntelemetry: { metrics: { prometheus: true } }',
      'services/hello.ts': answering('1'),
    })
    await measured.admin('POST', '/v1/services/hello/invoke', 'null', JSON_TYPE)
    const more = readExposition((await measured.admin('GET', '/metrics')).text)
    assert.ok(more.has('signalbox_service_duration_seconds'))
  })
})
