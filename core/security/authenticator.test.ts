import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, test } from 'node:test'
import { SignJWT } from 'jose'
import { TestClock } from '../clock.ts'
import { Authenticator, type AuthenticatorOptions, type SecurityEvent } from './authenticator.ts'
import type { Credentials, SecurityDefinition } from './definition.ts'
import { createSecurityDefinition } from './definitions.ts'
import { makeKey } from './keys.ts'
import { authorizing, basicOf, refusal } from './test-kit.ts'
import { Throttle } from './throttle.ts'

// A cheap hash of the password 'right': the tests below make many attempts.
const RIGHT = '$scrypt$ln=4,r=8,p=1$c2FsdHNhbHRzYWx0$DuW8dJt6K0rJWWj5Y2Cuyfp6LvalVXuZUDDQqa1ioRk'

const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
const partner = makeKey()
const ATTACKER = '203.0.113.9'
const OWNER = '198.51.100.7'

async function newAuthenticator(options: AuthenticatorOptions = {}) {
  const clock = new TestClock(Date.UTC(2030, 0, 1))
  const events: SecurityEvent[] = []
  const users = ['ann', 'bob'].map(name => ({ name, passwordHash: RIGHT }))
  const publicKey = pair.publicKey.export({ type: 'spki', format: 'pem' })
  const made = [
    createSecurityDefinition('people', 'basic', { users, cacheTtlMs: 0 }, { clock }),
    createSecurityDefinition(
      'partners',
      'apiKey',
      { keys: [{ identity: 'acme', hash: partner.hash }] },
      { clock },
    ),
    createSecurityDefinition(
      'idp',
      'jwt',
      { issuer: 'i', audience: 'a', algorithms: ['RS256'], publicKey },
      { clock },
    ),
    createSecurityDefinition('machines', 'mtls', { allow: [{ identity: 'm', commonName: 'm' }] }, { clock }),
    createSecurityDefinition(
      'down',
      'jwt',
      { issuer: 'd', audience: 'a', algorithms: ['RS256'], jwksUrl: 'http://127.0.0.1:1/' },
      { clock },
    ),
  ]
  const definitions = new Map<string, SecurityDefinition>(
    made.map(definition => [definition.name, definition]),
  )
  const authenticator = new Authenticator(definitions, {
    clock,
    report: event => events.push(event),
    ...options,
  })
  const token = await new SignJWT({ iss: 'i', aud: 'a', sub: 'sue', exp: clock.now() / 1000 + 3600 })
    .setProtectedHeader({ alg: 'RS256' })
    .sign(pair.privateKey)
  return { authenticator, clock, events, token }
}

describe('the authenticator', () => {
  test('any one of the definitions lets in, whatever the others say', async () => {
    const { authenticator, token } = await newAuthenticator()
    const all = ['people', 'partners', 'idp', 'machines']
    const enter = (credentials: Credentials) => authenticator.authenticate(all, credentials)
    const key = { 'x-api-key': partner.key }
    assert.equal((await enter(basicOf('ann', 'right'))).name, 'ann')
    assert.equal((await enter({ headers: key })).name, 'acme')
    assert.equal((await enter(authorizing(`Bearer ${token}`))).name, 'sue')
    assert.equal(
      (await enter({ headers: {}, clientCertificate: { subject: 'CN=m', commonName: 'm' } })).name,
      'm',
    )
    const both = { ...basicOf('ann', 'wrong').headers, ...key }
    assert.deepEqual(await enter({ headers: both }), { name: 'acme', definition: 'partners' })
    await refusal(() => authenticator.authenticate(['idp'], { headers: key }))
  })

  test('nobody enters by mistake: no name, unknown names', async () => {
    const { authenticator } = await newAuthenticator()
    for (const names of [[], ['nobody'], ['__proto__'], ['partners', 'nobody']]) {
      const credentials = { headers: { 'x-api-key': partner.key } }
      await refusal(() => authenticator.authenticate(names, credentials), 'SIGNALBOX_CONFIG_INVALID')
    }
  })

  test('a refusal says how to enter, and the same whatever was wrong', async () => {
    const { authenticator, events } = await newAuthenticator()
    const names = ['people', 'partners', 'idp', 'machines', 'people']
    const wires = new Set<string>()
    for (const credentials of [
      basicOf('ann', 'hunter2'),
      basicOf('nobody', 'hunter2'),
      { headers: { 'x-api-key': 'x' } },
      authorizing('Bearer x'),
      { headers: {}, clientCertificate: { subject: 'CN=x' } },
    ]) {
      wires.add(
        JSON.stringify((await refusal(() => authenticator.authenticate(names, credentials))).toWire()),
      )
    }
    assert.equal(wires.size, 1)
    const { details, status, message } = JSON.parse([...wires][0]!)
    assert.equal(status, 401)
    assert.equal(message, 'the credentials are not valid')
    assert.deepEqual(details.challenges, [
      'Basic realm="signalbox", charset="UTF-8"',
      'ApiKey header="x-api-key"',
      'Bearer realm="signalbox"',
    ])
    const none = await refusal(() => authenticator.authenticate(names, { headers: {} }))
    assert.equal(none.message, 'no credentials were given')
    assert.equal(events.length, 5, 'giving nothing is no failed attempt')
    assert.ok(!JSON.stringify(events).includes('hunter2'), 'passwords are not reported')
  })

  test('credentials that cannot be checked are 503, unless others let in', async () => {
    const { authenticator, token, events } = await newAuthenticator()
    const bearer = authorizing(`Bearer ${token}`)
    await refusal(() => authenticator.authenticate(['down'], bearer), 'SIGNALBOX_SECURITY_UNAVAILABLE')
    assert.equal((await authenticator.authenticate(['down', 'idp'], bearer)).name, 'sue')
    assert.equal(events[0]?.event, 'authentication.unavailable')
  })
})

describe('failed attempts', () => {
  test('at one identity make it wait longer and longer, from all addresses', async () => {
    const { authenticator, clock, events } = await newAuthenticator()
    const pass = (ms: number) => clock.advance(ms)
    const attempt = (n: number, password = 'wrong') =>
      authenticator.authenticate(['people'], basicOf('ann', password, `203.0.113.${n}`))
    for (let n = 0; n < 5; n++) await refusal(() => attempt(n))
    for (const waitMs of [1_000, 2_000, 4_000]) {
      const error = await refusal(() => attempt(9, 'right'))
      assert.equal(error.retryAfterMs, waitMs, 'even the right password waits')
      pass(waitMs - 1)
      await refusal(() => attempt(9, 'right'))
      pass(1)
      assert.equal((await refusal(() => attempt(9))).retryAfterMs, undefined, 'this one was checked')
    }
    assert.ok(events.some(({ event }) => event === 'authentication.throttled'))
    pass(8_000)
    assert.equal((await attempt(9, 'right')).name, 'ann')
    for (let n = 0; n < 4; n++) await refusal(() => attempt(n))
    assert.equal((await attempt(10, 'right')).name, 'ann', 'a success has cleared the count')
  })

  test('names that do not exist wait just the same', async () => {
    const { authenticator } = await newAuthenticator()
    const waits = []
    for (const name of ['ann', 'nobody']) {
      const attempt = () => authenticator.authenticate(['people'], basicOf(name, 'wrong'))
      for (let n = 0; n < 5; n++) await refusal(attempt)
      waits.push((await refusal(attempt)).retryAfterMs)
    }
    assert.deepEqual(waits, [1_000, 1_000])
  })

  test('a stranger cannot lock out the owner, who has logged in from elsewhere', async () => {
    const { authenticator } = await newAuthenticator()
    const attempt = (password: string, address: string) =>
      authenticator.authenticate(['people'], basicOf('ann', password, address))
    await attempt('right', OWNER)
    for (let n = 0; n < 6; n++) await refusal(() => attempt('wrong', ATTACKER))
    assert.ok((await refusal(() => attempt('right', ATTACKER))).retryAfterMs)
    assert.equal((await attempt('right', OWNER)).name, 'ann')
    for (let n = 0; n < 6; n++) await refusal(() => attempt('wrong', OWNER))
    assert.ok((await refusal(() => attempt('right', OWNER))).retryAfterMs, 'but the owner is counted too')
  })

  test('from one address at many identities and keys make the address wait; signatures still enter', async () => {
    const { authenticator, token, clock } = await newAuthenticator({ perAddress: { freeFailures: 10 } })
    const names = ['people', 'partners', 'idp']
    for (let n = 0; n < 5; n++) {
      await refusal(() => authenticator.authenticate(names, basicOf(`user${n}`, 'x', '2001:db8::1')))
      const key = { headers: { 'x-api-key': `guess ${n}` }, remoteAddress: '2001:db8::ffff:2' }
      await refusal(() => authenticator.authenticate(names, key))
    }
    const neighbour = { headers: { 'x-api-key': partner.key }, remoteAddress: '2001:db8::3' }
    assert.equal((await refusal(() => authenticator.authenticate(names, neighbour))).retryAfterMs, 1_000)
    const other = { ...neighbour, remoteAddress: '2001:db8:0:1::3' }
    assert.equal((await authenticator.authenticate(names, other)).name, 'acme')
    const bearer = authorizing(`Bearer ${token}`, '2001:db8::1')
    assert.equal((await authenticator.authenticate(names, bearer)).name, 'sue')
    clock.advance(1_000)
    assert.equal((await authenticator.authenticate(names, neighbour)).name, 'acme')
  })

  test('IPv4 in IPv6 is one address, and what is no address is counted too', async () => {
    for (const [first, second] of [
      ['::ffff:192.0.2.1', '192.0.2.1'],
      ['odd', 'odd'],
    ] as const) {
      const { authenticator } = await newAuthenticator({ perAddress: { freeFailures: 1 } })
      await refusal(() => authenticator.authenticate(['people'], basicOf('x', 'x', first)))
      assert.ok(
        (await refusal(() => authenticator.authenticate(['people'], basicOf('y', 'y', second)))).retryAfterMs,
      )
    }
  })

  test('bad tokens count for nothing: nobody guesses a signature, and many may share an address', async () => {
    const { authenticator } = await newAuthenticator({ perAddress: { freeFailures: 1 } })
    for (let n = 0; n < 5; n++) {
      const error = await refusal(() =>
        authenticator.authenticate(['idp'], authorizing('Bearer x.y.z', ATTACKER)),
      )
      assert.equal(error.retryAfterMs, undefined)
    }
  })
})

describe('the throttle', () => {
  const limits = {
    freeFailures: 2,
    firstWaitMs: 100,
    maxWaitMs: 1_000,
    forgetAfterMs: 5_000,
    maxEntries: 100,
  }

  test('waits double up to the longest; failures are forgotten in time', () => {
    const clock = new TestClock()
    const throttle = new Throttle(limits, clock)
    const waits: number[] = []
    for (let n = 0; n < 40; n++) {
      throttle.failed('a')
      waits.push(throttle.waitMs('a'))
    }
    assert.deepEqual(waits.slice(0, 7), [0, 100, 200, 400, 800, 1_000, 1_000])
    assert.equal(waits.at(-1), 1_000)
    clock.advance(4_999)
    throttle.failed('a')
    assert.equal(throttle.waitMs('a'), 1_000)
    clock.advance(5_000)
    throttle.failed('a')
    assert.equal(throttle.waitMs('a'), 0)
    throttle.failed('a')
    throttle.succeeded('a')
    assert.equal(throttle.size, 0)
  })

  test('holds a bounded number of keys, the newest', () => {
    const throttle = new Throttle(limits, new TestClock())
    for (let n = 0; n < 100_000; n++) throttle.failed(`k${n}`)
    assert.equal(throttle.size, 100)
    throttle.failed('k99999')
    assert.equal(throttle.waitMs('k99999'), 100)
    assert.equal(throttle.waitMs('k1'), 0)
  })
})
