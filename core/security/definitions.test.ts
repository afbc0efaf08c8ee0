import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { clientCertificate, otherClientCertificate } from '../../test/certificates/certificates.ts'
import { TestClock } from '../clock.ts'
import type { Credentials } from './definition.ts'
import { createSecurityDefinition, SECURITY_TYPES } from './definitions.ts'
import { hashKey, makeKey } from './keys.ts'
import { hashPassword } from './passwords.ts'
import { plainTextSecrets, secretPointers } from './secret-paths.ts'
import { authorizing, basicOf, refusal } from './test-kit.ts'

const INVALID = 'SIGNALBOX_OPTIONS_INVALID'
const NOBODY: Credentials = { headers: {} }

describe('the table of definitions', () => {
  test('every kind has descriptions for all options and takes no unknown one', async () => {
    for (const [type, kind] of SECURITY_TYPES) {
      assert.equal(kind.type, type)
      const { properties, additionalProperties } = kind.options as unknown as {
        properties: Record<string, { description?: string }>
        additionalProperties: unknown
      }
      assert.equal(additionalProperties, false)
      for (const [name, { description }] of Object.entries(properties))
        assert.ok(description, `${type}.${name}`)
      await refusal(() => createSecurityDefinition('x', type, { pasword: 1 }), INVALID)
    }
  })

  test('an unknown type is refused with the nearest; names of every object are unknown', async () => {
    const error = await refusal(() => createSecurityDefinition('x', 'basci', {}), INVALID)
    assert.match(error.message, /did you mean 'basic'/)
    for (const type of ['__proto__', 'constructor', '']) {
      await refusal(() => createSecurityDefinition('x', type, {}), INVALID)
    }
  })
})

describe('apiKey', () => {
  const partner = makeKey()
  const old = makeKey()
  const clock = new TestClock(Date.UTC(2030, 0, 1))
  const definition = createSecurityDefinition(
    'partners',
    'apiKey',
    {
      keys: [
        { identity: 'acme', hash: partner.hash, roles: ['viewer'] },
        { identity: 'acme', hash: old.hash, expiresAt: '2030-01-02T00:00:00Z' },
        { identity: 'plain', key: 'correct horse battery' },
      ],
    },
    { clock },
  )
  const check = (key: string) => definition.check({ headers: { 'x-api-key': key } })

  test('each key leads to its identity', async () => {
    assert.deepEqual(await check(partner.key), { name: 'acme', definition: 'partners', roles: ['viewer'] })
    assert.deepEqual(await check('correct horse battery'), { name: 'plain', definition: 'partners' })
    assert.equal(await definition.check(NOBODY), undefined)
    assert.equal(definition.challenge(), 'ApiKey header="x-api-key"')
  })

  test('a key ends at its time', async () => {
    assert.equal((await check(old.key))?.name, 'acme')
    clock.advance(86_400_000)
    await refusal(() => check(old.key))
  })

  test('wrong, empty, huge keys and hashes are refused, without the key', async () => {
    const bad = [
      '',
      ' ',
      makeKey().key,
      partner.hash,
      partner.hash.slice(7),
      `${partner.key}\0`,
      `${partner.key} `,
    ]
    for (const key of [...bad, 'x'.repeat(1_000_000), '__proto__', `${partner.key}, ${partner.key}`]) {
      const error = await refusal(() => check(key))
      assert.ok(key.length < 2 || !JSON.stringify(error.toWire()).includes(key))
    }
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async key => void (await refusal(() => check(key)))),
    )
  })

  test('another header can be named, also one that every object has', async () => {
    const other = createSecurityDefinition('x', 'apiKey', {
      header: 'constructor',
      keys: [{ identity: 'a', hash: partner.hash }],
    })
    assert.equal(await other.check(NOBODY), undefined)
    assert.equal(other.isGiven(NOBODY), false)
    assert.equal((await other.check({ headers: { constructor: partner.key } as never }))?.name, 'a')
  })

  test('options that make no sense are refused, without the secret', async () => {
    const reference = '${' + 'secret:PARTNER_KEY}'
    for (const keys of [
      [],
      [{ identity: 'a' }],
      [{ identity: 'a', key: 'secret-secret-secret', hash: hashKey('secret-secret-secret') }],
      [{ identity: 'a', key: 'short' }],
      [{ identity: 'a', hash: 'secret-secret-secret' }],
      [{ identity: 'a', key: reference }],
      [{ identity: 'a\nb', hash: partner.hash }],
      [
        { identity: 'a', hash: partner.hash },
        { identity: 'b', key: partner.key },
      ],
    ]) {
      const error = await refusal(() => createSecurityDefinition('x', 'apiKey', { keys }), INVALID)
      assert.ok(!error.message.includes('secret-secret-secret'), error.message)
    }
    for (const header of ['X-Api-Key', 'a b', 'a:b', 'a\r\nb', '']) {
      const keys = [{ identity: 'a', hash: partner.hash }]
      await refusal(() => createSecurityDefinition('x', 'apiKey', { header, keys }), INVALID)
    }
  })
})

describe('basic', async () => {
  const passwordHash = await hashPassword('pass:word')
  const options = {
    users: [
      { name: 'ann', passwordHash, roles: ['operator'] },
      { name: 'Jürgen ☎', passwordHash },
    ],
  }
  const definition = createSecurityDefinition('people', 'basic', options)

  test('user and password in the header or in fields; Unicode in any form; colons in passwords', async () => {
    assert.deepEqual(await definition.check(basicOf('ann', 'pass:word')), {
      name: 'ann',
      definition: 'people',
      roles: ['operator'],
    })
    assert.equal((await definition.check({ headers: {}, user: 'ann', password: 'pass:word' }))?.name, 'ann')
    assert.equal((await definition.check(basicOf('Ju\u0308rgen ☎', 'pass:word')))?.name, 'Jürgen ☎')
    const lower = basicOf('ann', 'pass:word').headers.authorization!.replace('Basic', 'bAsIc')
    assert.equal((await definition.check(authorizing(lower)))?.name, 'ann')
    assert.equal(await definition.check(NOBODY), undefined)
    assert.equal(await definition.check(authorizing('Bearer abc')), undefined)
    assert.equal(definition.challenge(), 'Basic realm="signalbox", charset="UTF-8"')
  })

  test('everything else is refused in the same words', async () => {
    const latin1 = Buffer.from('J\xfcrgen:pass:word', 'latin1').toString('base64')
    const bad: Credentials[] = [
      basicOf('ann', 'wrong'),
      basicOf('ann', ''),
      basicOf('', 'pass:word'),
      basicOf('bob', 'pass:word'),
      basicOf('ANN', 'pass:word'),
      basicOf('ann\0', 'pass:word'),
      basicOf('ann', 'pass:word\0'),
      basicOf('ann\r\nx-role: admin', 'pass:word'),
      basicOf('ann', 'x'.repeat(100_000)),
      basicOf('ann', 'x'.repeat(1_025)),
      basicOf('x'.repeat(300), 'pass:word'),
      basicOf('__proto__', 'pass:word'),
      authorizing('Basic'),
      authorizing('Basic '),
      authorizing('Basic !!!!'),
      authorizing(`Basic ${Buffer.from('ann').toString('base64')}`),
      authorizing(`Basic ${latin1}`),
      authorizing(`${basicOf('ann', 'pass:word').headers.authorization}, Basic YTpi`),
      authorizing(`${basicOf('ann', 'pass:word').headers.authorization}\r\nx-a: b`),
      authorizing(`Basic ${'A'.repeat(1_000_000)}`),
      { headers: {}, user: 'ann' },
      { headers: {}, password: 'pass:word' },
      { headers: {}, user: 'ann\ud800', password: 'pass:word' },
    ]
    const messages = new Set<string>()
    for (const credentials of bad) {
      messages.add(JSON.stringify((await refusal(() => definition.check(credentials))).toWire()))
    }
    assert.equal(messages.size, 1)
  })

  test('fields of the protocol count before a header', async () => {
    const both = { ...basicOf('ann', 'pass:word'), user: 'ann', password: 'wrong' }
    await refusal(() => definition.check(both))
  })

  test('an unknown user takes as long as a wrong password', async () => {
    const timeOf = async (user: string, round: number) => {
      const start = performance.now()
      await refusal(() => definition.check(basicOf(user, `wrong ${round}`)))
      return performance.now() - start
    }
    const known: number[] = []
    const unknown: number[] = []
    for (let round = 0; round < 9; round++) {
      known.push(await timeOf('ann', round))
      unknown.push(await timeOf(`nobody${round}`, round))
    }
    const median = (times: number[]) => times.toSorted((a, b) => a - b)[4]!
    const ratio = median(unknown) / median(known)
    assert.ok(ratio > 0.4 && ratio < 2.5, `ratio ${ratio}`)
  })

  test('options that make no sense are refused, without the hash', async () => {
    for (const users of [
      [],
      [{ name: 'ann', passwordHash: 'pass:word' }],
      [{ name: 'a:b', passwordHash }],
      [{ name: 'a\0', passwordHash }],
      [
        { name: 'caf\u00e9', passwordHash },
        { name: 'cafe\u0301', passwordHash },
      ],
      [{ name: 'ann', password: 'pass:word' }],
    ]) {
      const error = await refusal(() => createSecurityDefinition('x', 'basic', { users }), INVALID)
      assert.ok(!error.message.includes('pass:word'), error.message)
    }
    await refusal(() => createSecurityDefinition('x', 'basic', { ...options, realm: 'a"\r\nb: c' }), INVALID)
  })

  test('any text after the scheme ends in a refusal', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), async text => {
        await refusal(() => definition.check(authorizing(`Basic ${text}`)))
      }),
      { numRuns: 50 },
    )
    assert.equal(await definition.check(authorizing('Basic\tYTpi')), undefined)
  })
})

describe('mtls', () => {
  const certificate = (pem: string) => {
    const { subject, fingerprint256, subjectAltName } = new X509Certificate(pem)
    const commonName = /CN=(.*)/.exec(subject)?.[1]
    return {
      subject,
      fingerprint256,
      ...(commonName !== undefined && { commonName }),
      ...(subjectAltName !== undefined && { altNames: subjectAltName.split(', ') }),
    }
  }
  const client = certificate(clientCertificate.cert)
  const other = certificate(otherClientCertificate.cert)
  const define = (...allow: object[]) => createSecurityDefinition('partners', 'mtls', { allow })
  const enter = (definition: ReturnType<typeof define>, shown = client) =>
    definition.check({ headers: {}, clientCertificate: shown })

  test('a certificate is known by subject, name or fingerprint', async () => {
    const print = client.fingerprint256
    for (const condition of [
      { subject: client.subject },
      { commonName: client.commonName },
      { fingerprint256: print },
      { fingerprint256: print.replaceAll(':', '').toLowerCase() },
      { fingerprint256: print, commonName: client.commonName },
    ]) {
      const definition = define({ identity: 'acme', ...condition, roles: ['viewer'] })
      assert.deepEqual(await enter(definition), { name: 'acme', definition: 'partners', roles: ['viewer'] })
      assert.equal(await definition.check(NOBODY), undefined)
      assert.equal(definition.challenge(), undefined)
    }
  })

  test('all conditions must hold; one that is near is not enough', async () => {
    const { commonName = '', subject } = client
    const print = other.fingerprint256
    for (const condition of [
      { commonName, fingerprint256: print },
      { commonName: commonName.toUpperCase() },
      { commonName: commonName.slice(0, -1) },
      { subject: commonName },
      { subject: `${subject}\n` },
      { altName: `DNS:${commonName}x` },
    ]) {
      await refusal(() => enter(define({ identity: 'acme', ...condition })))
    }
    await refusal(() => enter(define({ identity: 'acme', fingerprint256: client.fingerprint256 }), other))
  })

  test('alternative names: hosts know no case, all else does', async () => {
    const shown = { ...client, altNames: ['DNS:Partner.Example', 'URI:spiffe://Example/partner'] }
    assert.equal((await enter(define({ identity: 'a', altName: 'dns:partner.example' }), shown))?.name, 'a')
    assert.equal(
      (await enter(define({ identity: 'a', altName: 'URI:spiffe://Example/partner' }), shown))?.name,
      'a',
    )
    await refusal(() => enter(define({ identity: 'a', altName: 'URI:spiffe://example/partner' }), shown))
    await refusal(() => enter(define({ identity: 'a', altName: 'partner.example' }), shown))
  })

  test('a certificate without a fingerprint or name matches no condition on it', async () => {
    const bare = { subject: 'CN=x' } as typeof client
    await refusal(() => enter(define({ identity: 'a', commonName: 'x' }), bare))
    await refusal(() => enter(define({ identity: 'a', fingerprint256: client.fingerprint256 }), bare))
    await refusal(() => define({ identity: 'a' }), INVALID)
    await refusal(() => define({ identity: 'a', fingerprint256: 'ab' }), INVALID)
    await refusal(() => define({ identity: 'a', commonName: '' }), INVALID)
  })
})

describe('places of secrets', () => {
  test('are found by the schema; references are not plain text', () => {
    const { options: schema } = SECURITY_TYPES.get('apiKey')!
    const reference = '${' + 'secret:ACME}'
    const options = {
      keys: [
        { identity: 'a', key: 'abc' },
        { identity: 'b', hash: 'x' },
        { identity: 'c', key: reference },
      ],
    }
    assert.deepEqual(secretPointers(schema, options), ['/keys/0/key', '/keys/1/hash', '/keys/2/key'])
    assert.deepEqual(plainTextSecrets(schema, options), ['/keys/0/key', '/keys/1/hash'])
    assert.deepEqual(secretPointers(schema, { keys: 'odd' }), [])
  })

  test('alternatives, patterns, maps and names with slashes', () => {
    const schema = {
      anyOf: [
        { type: 'object', properties: { token: { secret: true } } },
        {
          type: 'object',
          properties: { 'a/b~c': { secret: true } },
          patternProperties: { '^x-': { secret: true } },
          additionalProperties: { type: 'object', properties: { pin: { secret: true } } },
        },
      ],
    }
    const value = { token: 't', 'a/b~c': 1, 'x-y': 2, other: { pin: 3, name: 4 } }
    assert.deepEqual(secretPointers(schema as never, value).sort(), [
      '/a~1b~0c',
      '/other/pin',
      '/token',
      '/x-y',
    ])
  })
})
