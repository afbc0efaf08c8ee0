import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { isSecretName, MASK, redact, redactText } from './redact.ts'

const SECRET = 'hunter2-hunter2'

describe('redact', () => {
  test('knows secrets by the names of their fields', () => {
    const secret = [
      'password',
      'Password',
      'db_password',
      'passwordHash',
      'clientSecret',
      'client-secret',
      'access_token',
      'refreshTokens',
      'Authorization',
      'proxy-authorization',
      'X-Api-Key',
      'apiKeys',
      'private_key',
      'secretKey',
      'set-cookie',
      'credentials',
      'passphrase',
    ]
    for (const name of secret) assert.ok(isSecretName(name), name)
    for (const name of [
      'name',
      'key',
      'tokenType',
      'secretName',
      'passwordPolicy',
      'publicKey',
      'author',
      'url',
      '',
    ]) {
      assert.ok(!isSecretName(name), name)
    }
  })

  test('masks by name, by pointer and inside texts; keeps all else, and the original', () => {
    const own = `sb_${'a'.repeat(49)}`
    const value = {
      url: `amqp://user:${SECRET}@host/v`,
      note: `use ${own} or sba_${'b'.repeat(49)}`,
      auth: { password: SECRET, password2: '', token: null, secret: false, credentials: { user: 'u' } },
      'a/b': [{ pin: 1234, n: 1 }],
      bytes: Buffer.from(SECRET),
      when: new Date(0),
    }
    const before = JSON.stringify(value)
    const result = redact(value, { pointers: ['/a~1b/0/pin', '/none'] })
    assert.deepEqual(result, {
      url: `amqp://user:${MASK}@host/v`,
      note: `use sb_${MASK} or sba_${MASK}`,
      auth: { password: MASK, password2: '', token: null, secret: false, credentials: MASK },
      'a/b': [{ pin: MASK, n: 1 }],
      bytes: `(${SECRET.length} bytes)`,
      when: new Date(0),
    })
    assert.equal(JSON.stringify(value), before)
    assert.equal(redact('x', { pointers: [''] }), MASK)
  })

  test('errors, maps, cycles, depth and getters that throw', () => {
    const error = Object.assign(new Error(`GET http://u:${SECRET}@h/ failed`), { token: SECRET })
    assert.ok(!JSON.stringify(redact({ error })).includes(SECRET))
    assert.deepEqual(redact(new Map([['password', SECRET]])), { password: MASK })
    const cycle: Record<string, unknown> = { a: 1 }
    cycle.self = cycle
    assert.deepEqual(redact(cycle), { a: 1, self: MASK })
    const shared = { n: 1 }
    assert.deepEqual(redact([shared, shared]), [shared, shared])
    let deep: unknown = SECRET
    for (let i = 0; i < 100_000; i++) deep = { deep }
    assert.ok(!JSON.stringify(redact(deep)).includes(SECRET))
    const throwing = {
      get bad() {
        throw new Error('no')
      },
    }
    assert.deepEqual(redact({ throwing }), { throwing: {} })
  })

  test('never throws, never lets a named secret through, and takes linear time', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withMap: true, withDate: true, withNullPrototype: true }),
        value => {
          const result = redact({ value, nested: [{ password: SECRET, inner: value }] }) as {
            nested: { password: string }[]
          }
          assert.equal(result.nested[0]!.password, MASK)
        },
      ),
    )
    const start = performance.now()
    redactText('a://'.repeat(250_000))
    redactText(`http://${'a'.repeat(1_000_000)}`)
    redactText(`http://a:${'b'.repeat(1_000_000)}`)
    assert.ok(performance.now() - start < 2_000)
  })
})
