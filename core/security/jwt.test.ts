import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { type JWTPayload, SignJWT } from 'jose'
import { TestClock } from '../clock.ts'
import type { SecurityDefinition } from './definition.ts'
import { createSecurityDefinition } from './definitions.ts'
import { authorizing, refusal } from './test-kit.ts'

const INVALID = 'SIGNALBOX_OPTIONS_INVALID'
const NOW_MS = Date.UTC(2030, 0, 1)
const NOW = NOW_MS / 1000
const issuer = 'https://issuer.example'
const audience = 'signalbox'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string
const CLAIMS = { iss: issuer, aud: audience, sub: 'ann', exp: NOW + 300 }

/** A token with any header and claims, signed with any key. */
function sign(
  claims: JWTPayload,
  header: object = {},
  key: KeyObject | Uint8Array = rsa.privateKey,
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', ...header }).sign(key)
}

function define(options: object, clock = new TestClock(NOW_MS)): SecurityDefinition {
  return createSecurityDefinition(
    'idp',
    'jwt',
    { issuer, audience, algorithms: ['RS256'], ...options },
    { clock },
  )
}

const check = (definition: SecurityDefinition, token: string) =>
  definition.check(authorizing(`Bearer ${token}`))
const base64 = (value: object | string) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

describe('tokens', () => {
  const definition = define({ publicKey: pem })

  test('a good one gives its subject; nothing given gives nothing', async () => {
    assert.deepEqual(await check(definition, await sign(CLAIMS)), { name: 'ann', definition: 'idp' })
    assert.deepEqual(await check(definition, await sign({ ...CLAIMS, aud: ['x', audience] })), {
      name: 'ann',
      definition: 'idp',
    })
    assert.equal(await definition.check({ headers: {} }), undefined)
    assert.equal(await definition.check(authorizing('Basic YTpi')), undefined)
    assert.equal(definition.challenge(), 'Bearer realm="signalbox"')
  })

  test('roles and claims go along when they are asked for', async () => {
    const token = await sign({
      ...CLAIMS,
      email: 'ann@example.com',
      scope: 'read write',
      realm_access: { roles: ['viewer', 7, '', 'operator'] },
      'https://x.y/roles': 'admin viewer',
    })
    const byPath = define({
      publicKey: pem,
      rolesClaim: 'realm_access.roles',
      claims: ['email', 'none', 'constructor'],
    })
    assert.deepEqual(await check(byPath, token), {
      name: 'ann',
      definition: 'idp',
      roles: ['viewer', 'operator'],
      claims: { email: 'ann@example.com' },
    })
    const byName = define({ publicKey: pem, rolesClaim: 'https://x.y/roles', identityClaim: 'email' })
    assert.deepEqual(await check(byName, token), {
      name: 'ann@example.com',
      definition: 'idp',
      roles: ['admin', 'viewer'],
    })
    const none = define({ publicKey: pem, rolesClaim: 'constructor.name' })
    assert.equal((await check(none, token))?.roles, undefined)
  })

  test('times hold to the second, with the tolerance', async () => {
    const exact = define({ publicKey: pem, clockToleranceSeconds: 0 })
    const loose = define({ publicKey: pem, clockToleranceSeconds: 60 })
    for (const claims of [{ exp: NOW }, { exp: NOW - 1 }, { nbf: NOW + 1 }]) {
      const token = await sign({ ...CLAIMS, ...claims })
      await refusal(() => check(exact, token))
      assert.equal((await check(loose, token))?.name, 'ann')
    }
    await refusal(async () => check(loose, await sign({ ...CLAIMS, exp: NOW - 61 })))
    await refusal(async () => check(loose, await sign({ ...CLAIMS, nbf: NOW + 61 })))
  })

  test('wrong or missing claims are refused, in the same words', async () => {
    const strict = define({ publicKey: pem, requiredClaims: ['jti'] })
    const good = { ...CLAIMS, jti: '1' }
    assert.equal((await check(strict, await sign(good)))?.name, 'ann')
    const { exp: _, ...endless } = good
    const bad: JWTPayload[] = [
      CLAIMS,
      endless,
      { ...good, exp: 'soon' as never },
      { ...good, exp: Number.MAX_VALUE * -1 },
      { ...good, iss: `${issuer}/` },
      { ...good, iss: [issuer] as never },
      { ...good, aud: 'signalbox2' },
      { ...good, aud: [] },
      { ...good, aud: undefined as never },
      { ...good, sub: '' },
      { ...good, sub: 7 as never },
      { ...good, sub: 'a\r\nb' },
      { ...good, sub: 'x'.repeat(257) },
      { ...good, sub: undefined as never },
    ]
    const messages = new Set<string>()
    for (const claims of bad) {
      const error = await refusal(async () => check(strict, await sign(claims)))
      messages.add(JSON.stringify(error.toWire()))
    }
    assert.equal(messages.size, 1)
  })

  test('forged tokens: none, confusion of algorithms, other keys, keys of their own', async () => {
    const hmac = (header: object, secret: string | Buffer) => {
      const input = `${base64(header)}.${base64(CLAIMS)}`
      return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
    }
    const der = rsa.publicKey.export({ type: 'spki', format: 'der' })
    const jwk = otherRsa.publicKey.export({ format: 'jwk' })
    const good = await sign(CLAIMS)
    const [header, payload, signature] = good.split('.') as [string, string, string]
    const forged = [
      ...['none', 'None', 'NONE', 'nOnE', ''].map(alg => `${base64({ alg })}.${base64(CLAIMS)}.`),
      `${base64({ alg: 'none' })}.${payload}.${signature}`,
      hmac({ alg: 'HS256' }, pem),
      hmac({ alg: 'HS256' }, pem.trim()),
      hmac({ alg: 'HS256' }, der),
      hmac({ alg: 'RS256' }, pem),
      hmac({ alg: 'HS256' }, ''),
      await sign(CLAIMS, {}, otherRsa.privateKey),
      await sign(CLAIMS, { jwk }, otherRsa.privateKey),
      await sign(CLAIMS, { alg: 'PS256' }),
      await sign(CLAIMS, { alg: 'RS512' }),
      await sign(CLAIMS, { alg: 'ES256' }, ec.privateKey),
      `${header}.${base64({ ...CLAIMS, sub: 'root' })}.${signature}`,
      `${base64({ alg: 'RS256', crit: ['x'], x: 1 })}.${payload}.${signature}`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${header}.${payload}.${signature}.${signature}.x`,
      `${good}.`,
      `${good}, Bearer ${good}`,
      `${good}\n`,
      good.replace('.', '..'),
      '',
      '..',
      '...',
      'null.null.null',
      `${base64('[]')}.${payload}.${signature}`,
      `${base64('{"alg":"RS256","alg":"none"}')}.${payload}.`,
    ].filter(token => token.trim() !== good)
    for (const token of forged) await refusal(() => check(definition, token))
  })

  test('a huge token is refused before it is looked at', async () => {
    const big = await sign({ ...CLAIMS, pad: 'x'.repeat(10_000) })
    const error = await refusal(() => check(definition, big))
    assert.match(String((error.cause as Error).message), /too large/)
    assert.equal((await check(define({ publicKey: pem, maxTokenBytes: 16_384 }), big))?.name, 'ann')
    await refusal(() => check(definition, 'a.'.repeat(5_000_000)))
  })

  test('any change of a good token, and any text, is refused', async () => {
    const good = await sign(CLAIMS)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(good.length - 3),
        fc.constantFrom('A', '.', '_', '\u0000', '='),
        async (at, other) => {
          fc.pre(good[at] !== other)
          await refusal(() => check(definition, good.slice(0, at) + other + good.slice(at + 1)))
        },
      ),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: 'binary' }),
        async text => void (await refusal(() => check(definition, text))),
      ),
    )
  })

  test('the type can be asked for', async () => {
    const typed = define({ publicKey: pem, tokenType: 'at+jwt' })
    await refusal(async () => check(typed, await sign(CLAIMS)))
    await refusal(async () => check(typed, await sign(CLAIMS, { typ: 'JWT' })))
    assert.equal((await check(typed, await sign(CLAIMS, { typ: 'application/at+jwt' })))?.name, 'ann')
  })

  test('shared secrets', async () => {
    const secret = 's'.repeat(32)
    const shared = define({ secret, algorithms: ['HS256'] })
    const token = await sign(CLAIMS, { alg: 'HS256' }, Buffer.from(secret))
    assert.equal((await check(shared, token))?.name, 'ann')
    await refusal(async () =>
      check(shared, await sign(CLAIMS, { alg: 'HS256' }, Buffer.from('t'.repeat(32)))),
    )
    await refusal(async () => check(shared, await sign(CLAIMS, { alg: 'HS512' }, Buffer.from(secret))))
  })
})

describe('options', () => {
  test('that would be unsafe are refused, without the secret', async () => {
    const secret = 'swordfish'.repeat(4)
    const reference = `\${secret:${'N'.repeat(40)}}`
    const privatePem = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' })
    const jwk = rsa.publicKey.export({ format: 'jwk' })
    for (const options of [
      {},
      { publicKey: pem, secret },
      { publicKey: pem, jwksUrl: 'https://issuer.example/keys' },
      { publicKey: pem, algorithms: ['HS256'] },
      { publicKey: pem, algorithms: ['RS256', 'HS256'] },
      { publicKey: pem, algorithms: ['none'] },
      { publicKey: pem, algorithms: [] },
      { publicKey: privatePem },
      { publicKey: 'nonsense' },
      { secret },
      { secret, algorithms: ['HS256', 'RS256'] },
      { secret, algorithms: ['HS512'] },
      { secret: 'short', algorithms: ['HS256'] },
      { secret: reference, algorithms: ['HS256'] },
      { jwks: { keys: [{ kty: 'oct', k: base64(secret) }] } },
      { jwks: { keys: [jwk, { kty: 'oct', k: base64(secret) }] } },
      { jwks: { keys: [rsa.privateKey.export({ format: 'jwk' })] } },
      { jwks: { keys: [] } },
      { jwksUrl: 'http://issuer.example/keys' },
      { jwksUrl: 'http://localhost.example/keys' },
      { jwksUrl: 'https://user:swordfish@issuer.example/keys' },
      { jwksUrl: 'file:///etc/passwd' },
      { jwksUrl: 'keys' },
      { jwksUrl: 'https://issuer.example/keys', algorithms: ['RS256', 'HS384'] },
      { publicKey: pem, issuer: '' },
      { publicKey: pem, audience: [] },
      { publicKey: pem, issuer: undefined },
    ]) {
      const error = await refusal(() => define(options), INVALID)
      assert.ok(!error.message.includes('swordfish'), error.message)
    }
  })

  test('a fixed set of keys: by key id, and without one each that fits', async () => {
    const keys = [otherRsa.publicKey, rsa.publicKey].map((key, i) => ({
      ...key.export({ format: 'jwk' }),
      kid: `k${i}`,
    }))
    const definition = define({ jwks: { keys } })
    assert.equal((await check(definition, await sign(CLAIMS, { kid: 'k1' })))?.name, 'ann')
    assert.equal((await check(definition, await sign(CLAIMS)))?.name, 'ann')
    await refusal(async () => check(definition, await sign(CLAIMS, { kid: 'k0' })))
    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 })
    await refusal(async () => check(definition, await sign(CLAIMS, {}, stranger.privateKey)))
    for (const kid of [
      '../../k1',
      '/dev/null',
      "k1' OR '1'='1",
      '__proto__',
      'k1\0',
      '',
      'x'.repeat(4_000),
    ]) {
      await refusal(async () => check(definition, await sign(CLAIMS, { kid })))
    }
  })
})

/** A real server of keys whose answer a test can change. */
class KeyServer {
  hits = 0
  answer: (request: IncomingMessage, response: ServerResponse) => void = () => {}
  readonly #server: Server = createServer((request, response) => {
    this.hits++
    this.answer(request, response)
  })

  async open(t: TestContext): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    t.after(() => this.close())
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/keys`
  }

  close(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise(resolve => this.#server.close(() => resolve()))
  }

  serve(...keys: object[]): void {
    this.answer = (_, response) => response.end(JSON.stringify({ keys }))
  }
}

const publicJwk = ({ publicKey }: { publicKey: KeyObject }, kid: string) => ({
  ...publicKey.export({ format: 'jwk' }),
  kid,
})

describe('keys behind a URL', () => {
  test('are fetched once for many, and again when they are old or a new id comes', async t => {
    const server = new KeyServer()
    const clock = new TestClock(NOW_MS)
    const jwksUrl = await server.open(t)
    server.serve(publicJwk(rsa, 'a'), { kty: 'oct', kid: 'evil', k: base64('x'.repeat(32)) })
    const definition = define({ jwksUrl, clockToleranceSeconds: 600 }, clock)
    const a = await sign(CLAIMS, { kid: 'a' })
    const b = await sign(CLAIMS, { kid: 'b' }, otherRsa.privateKey)
    await Promise.all(Array.from({ length: 20 }, () => check(definition, a)))
    assert.equal(server.hits, 1)
    for (let i = 0; i < 20; i++) await refusal(() => check(definition, b))
    assert.equal(server.hits, 1, 'unknown ids do not make it ask while it cools down')
    server.serve(publicJwk(rsa, 'a'), publicJwk(otherRsa, 'b'))
    clock.advance(30_000)
    assert.equal((await check(definition, b))?.name, 'ann')
    assert.equal(server.hits, 2)
    server.serve(publicJwk(otherRsa, 'b'))
    clock.advance(600_000)
    await refusal(() => check(definition, a))
    assert.equal(server.hits, 3, 'a withdrawn key is gone after the cache time')
  })

  test('jku and x5u of a token are never followed', async t => {
    const trap = new KeyServer()
    const server = new KeyServer()
    const jku = await trap.open(t)
    const jwksUrl = await server.open(t)
    trap.serve(publicJwk(otherRsa, 'evil'))
    server.serve(publicJwk(rsa, 'a'))
    const definition = define({ jwksUrl })
    for (const kid of ['evil', 'a', `../..${jku}`]) {
      await refusal(async () =>
        check(definition, await sign(CLAIMS, { kid, jku, x5u: jku }, otherRsa.privateKey)),
      )
    }
    assert.equal(trap.hits, 0)
    assert.equal((await check(definition, await sign(CLAIMS, { kid: 'a', jku })))?.name, 'ann')
  })

  test('a server that fails, lies, redirects, floods or hangs makes 503, asked once per cooldown', async t => {
    const server = new KeyServer()
    const jwksUrl = await server.open(t)
    const token = await sign(CLAIMS, { kid: 'a' })
    const key = JSON.stringify({ keys: [publicJwk(rsa, 'a')] })
    const answers: [RegExp, (response: ServerResponse) => void][] = [
      [/status 500/, response => response.writeHead(500).end(key)],
      [/redirect/i, response => response.writeHead(302, { location: '/other' }).end()],
      [/not JSON/, response => response.end('<html>')],
      [/no array/, response => response.end('null')],
      [/no public key/, response => response.end('{"keys":[{"kty":"oct","k":"YQ"}]}')],
      [
        /more than 64/,
        response => response.end(JSON.stringify({ keys: Array(65).fill(publicJwk(rsa, 'a')) })),
      ],
      [/larger than/, response => response.end(`${key}${' '.repeat(2_000_000)}`)],
      [/no answer in time/, response => void response.writeHead(200).write('{')],
      [/no answer in time/, () => {}],
      [/./, response => void response.destroy()],
    ]
    for (const [reason, answer] of answers) {
      const definition = define({ jwksUrl, jwksTimeoutMs: 300 })
      server.answer = (_, response) => answer(response)
      server.hits = 0
      const error = await refusal(() => check(definition, token), 'SIGNALBOX_SECURITY_UNAVAILABLE')
      assert.match(error.message, reason)
      assert.ok(error.retryable && error.retryAfterMs === 30_000)
      await refusal(() => check(definition, token), 'SIGNALBOX_SECURITY_UNAVAILABLE')
      assert.equal(server.hits, 1)
    }
  })

  test('keys stay in use while their server is down, for a time; then it is asked again', async t => {
    const server = new KeyServer()
    const clock = new TestClock(NOW_MS)
    const jwksUrl = await server.open(t)
    server.serve(publicJwk(rsa, 'a'))
    const definition = define(
      { jwksUrl, jwksCacheMs: 10_000, jwksStaleMs: 60_000, clockToleranceSeconds: 600 },
      clock,
    )
    const token = await sign(CLAIMS, { kid: 'a' })
    await check(definition, token)
    server.answer = (_, response) => response.writeHead(503).end()
    clock.advance(40_000)
    assert.equal((await check(definition, token))?.name, 'ann')
    assert.equal((await check(definition, token))?.name, 'ann')
    assert.equal(server.hits, 2)
    clock.advance(30_000)
    await refusal(() => check(definition, token), 'SIGNALBOX_SECURITY_UNAVAILABLE')
    server.serve(publicJwk(rsa, 'a'))
    clock.advance(30_000)
    assert.equal((await check(definition, token))?.name, 'ann')
  })

  test('a port where nobody listens', async t => {
    const server = new KeyServer()
    const jwksUrl = await server.open(t)
    await server.close()
    const definition = define({ jwksUrl })
    const token = await sign(CLAIMS, { kid: 'a' })
    const error = await refusal(() => check(definition, token), 'SIGNALBOX_SECURITY_UNAVAILABLE')
    assert.equal(error.details?.url, jwksUrl)
  })
})
