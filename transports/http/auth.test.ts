import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestClock } from '../../core/clock.ts'
import { deferred } from '../../test/conformance/wait.ts'
import { createCredentials, type PostForm } from './auth.ts'
import { open, serve } from './connection-test-fixture.ts'
import { Deadline } from './deadline.ts'

test('basic, bearer and API key are sent as their RFCs say', async t => {
  const seen: Record<string, unknown>[] = []
  const peer = await serve(t, (request, _, response) => {
    seen.push(request.headers)
    response.end()
  })
  const auths = [
    { basic: { username: 'Ünal', password: 'a:b' } },
    { bearer: { token: 't0ken' } },
    { apiKey: { header: 'X-Key', value: 'k' } },
  ]
  for (const auth of auths) await (await open(t, { url: peer.url, auth })).get('/')
  assert.equal(Buffer.from(String(seen[0]!.authorization).slice(6), 'base64').toString(), 'Ünal:a:b')
  assert.equal(seen[1]!.authorization, 'Bearer t0ken')
  assert.equal(seen[2]!['x-key'], 'k')
})

const OAUTH = {
  tokenUrl: 'http://tokens.example/token',
  clientId: 'bus id',
  clientSecret: 'a:b/c',
  credentialsIn: 'header' as const,
  renewBeforeMs: 30_000,
}

function oauth(post: PostForm, options = {}) {
  const clock = new TestClock()
  const deadline = new Deadline(clock, 1e9, 'test', new AbortController().signal)
  const credentials = createCredentials({ oauth2: { ...OAUTH, ...options } }, clock, post)
  return { clock, headers: () => credentials.headers(deadline), credentials }
}

const token = (value: string, seconds = 300) => ({
  status: 200,
  body: JSON.stringify({ access_token: value, token_type: 'Bearer', expires_in: seconds }),
})

test('OAuth 2.0: one fetch serves all who wait, the token is kept, and renewed before its end', async () => {
  let fetches = 0
  const gate = deferred()
  const { clock, headers } = oauth(async () => {
    fetches++
    await gate.promise
    return token(`token-${fetches}`)
  })
  const waiting = Array.from({ length: 10 }, headers)
  gate.resolve()
  for (const got of await Promise.all(waiting)) assert.deepEqual(got, { authorization: 'Bearer token-1' })
  clock.advance(269_000)
  assert.equal((await headers()).authorization, 'Bearer token-1')
  clock.advance(2_000)
  assert.equal((await headers()).authorization, 'Bearer token-2')
  assert.equal(fetches, 2)
})

test('OAuth 2.0: client credentials go into the header, form-encoded, or into the body', async () => {
  const calls: { form: string; authorization: string | undefined }[] = []
  const post: PostForm = async (_, form, headers) => {
    calls.push({ form: form.toString(), authorization: headers.authorization })
    return token('t')
  }
  await oauth(post, { scope: 'a b', audience: 'x' }).headers()
  await oauth(post, { credentialsIn: 'body' }).headers()
  assert.equal(calls[0]!.form, 'grant_type=client_credentials&scope=a+b&audience=x')
  assert.equal(Buffer.from(calls[0]!.authorization!.slice(6), 'base64').toString(), 'bus+id:a%3Ab%2Fc')
  assert.match(calls[1]!.form, /client_id=bus\+id&client_secret=a%3Ab%2Fc/)
  assert.equal(calls[1]!.authorization, undefined)
})

test('OAuth 2.0: refusals and nonsense of the token endpoint are typed, and the next request tries again', async () => {
  const answers = [
    { status: 401, body: '{"error":"invalid_client"}' },
    { status: 500, body: 'oops' },
    { status: 200, body: 'null' },
    { status: 200, body: '{"access_token":"a\\r\\nb","token_type":"bearer"}' },
    { status: 200, body: '{"access_token":"a","token_type":"mac"}' },
    token('good'),
  ]
  const { headers } = oauth(async () => answers.shift()!)
  await assert.rejects(headers(), {
    code: 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS',
    message: /invalid_client/,
  })
  for (let i = 0; i < 4; i++) await assert.rejects(headers(), { code: 'SIGNALBOX_CONNECT_FAILED' })
  assert.equal((await headers()).authorization, 'Bearer good')
})

test('OAuth 2.0 end to end: a token the server no longer takes is replaced once', async t => {
  let issued = 0
  const tokens = await serve(t, (_, __, response) => {
    issued++
    response.end(token(`t${issued}`).body)
  })
  let revoked = 't1'
  const peer = await serve(t, (request, _, response) => {
    response.writeHead(request.headers.authorization === `Bearer ${revoked}` ? 401 : 200).end()
  })
  const auth = { oauth2: { tokenUrl: `${tokens.url}/token`, clientId: 'c', clientSecret: 's' } }
  const connection = await open(t, { url: peer.url, auth })
  assert.equal((await connection.post('/', { body: 'x' })).status, 200)
  assert.equal(issued, 2)
  revoked = 't2'
  assert.equal((await connection.get('/')).status, 200)
  assert.equal(issued, 3)
})
