import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { TestClock } from '../clock.ts'
import { hashKey, isKeyHash, isWellFormedKey, makeKey } from './keys.ts'
import { PasswordChecker } from './password-checker.ts'
import {
  hashPassword,
  MAX_PASSWORD_BYTES,
  needsRehash,
  parsePasswordHash,
  verifyPassword,
} from './passwords.ts'
import { refusal } from './test-kit.ts'

const CHEAP = '$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$'

/** The test vector of RFC 9106 has a secret and data; this one is of the reference implementation's test.c. */
const REFERENCE = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc'

describe('passwords', () => {
  test('a hash is a PHC string that its password opens, and no other', async () => {
    const hash = await hashPassword('correct horse')
    assert.match(hash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/)
    assert.equal(await verifyPassword(hash, 'correct horse'), true)
    assert.equal(await verifyPassword(hash, 'Correct horse'), false)
    assert.notEqual(await hashPassword('correct horse'), hash)
    assert.equal(needsRehash(hash), false)
  })

  test('opens what the reference implementation of argon2 made', async () => {
    assert.equal(await verifyPassword(REFERENCE, 'password'), true)
    assert.equal(needsRehash(REFERENCE), true, 'its salt is short')
  })

  test('scrypt is read and made, and asks for a rehash where argon2 is there', async () => {
    const hash = await hashPassword('correct horse', 'scrypt')
    assert.match(hash, /^\$scrypt\$ln=17,r=8,p=1\$/)
    assert.equal(await verifyPassword(hash, 'correct horse'), true)
    assert.equal(await verifyPassword(hash, 'wrong horse'), false)
    assert.equal(needsRehash(hash), true)
  })

  test('one character typed in two ways is one password', async () => {
    const hash = await hashPassword('caf\u00e9')
    assert.equal(await verifyPassword(hash, 'cafe\u0301'), true)
  })

  test('refuses passwords that are empty, too long, torn or have control characters', async () => {
    for (const bad of [
      '',
      'a'.repeat(MAX_PASSWORD_BYTES + 1),
      '\u20ac'.repeat(400),
      'a\0b',
      'a\nb',
      '\ud800',
    ]) {
      const error = await refusal(() => hashPassword(bad), 'SIGNALBOX_INPUT_INVALID')
      if (bad !== '') assert.ok(!error.message.includes(bad))
    }
    const hash = await hashPassword('a'.repeat(MAX_PASSWORD_BYTES))
    assert.equal(await verifyPassword(hash, 'a'.repeat(MAX_PASSWORD_BYTES)), true)
    assert.equal(await verifyPassword(hash, 'a'.repeat(MAX_PASSWORD_BYTES + 1)), false)
  })

  test('the hash of the empty password opens for nobody', async () => {
    const parsed = parsePasswordHash(`${CHEAP}${Buffer.alloc(32).toString('base64').replaceAll('=', '')}`)
    const { argon2Sync } = await import('node:crypto')
    const parameters = { message: Buffer.alloc(0), nonce: parsed.salt, parallelism: 1, memory: 64, passes: 1 }
    const hash = argon2Sync('argon2id', { ...parameters, tagLength: 32 })
    assert.equal(await verifyPassword({ ...parsed, hash }, ''), false)
  })

  test('a malformed or absurdly costly hash is refused, without its text', async () => {
    const tail = '$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA'
    for (const bad of [
      '',
      'plain',
      `$argon2id$v=19$m=9999999,t=2,p=1${tail}`,
      `$argon2id$v=19$m=64,t=999,p=1${tail}`,
      `$argon2id$v=19$m=64,t=0,p=1${tail}`,
      `$argon2id$v=19$m=64,t=1,p=99${tail}`,
      `$argon2id$v=16$m=64,t=1,p=1${tail}`,
      `$argon2i$v=19$m=64,t=1,p=1${tail}`,
      `$scrypt$ln=40,r=8,p=1${tail}`,
      '$argon2id$v=19$m=64,t=1,p=1$YQ$aGFzaGhhc2hoYXNoaGFzaA',
      '$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$YQ',
    ]) {
      const error = await refusal(() => parsePasswordHash(bad), 'SIGNALBOX_OPTIONS_INVALID')
      assert.ok(!error.message.includes('aGFzaGhhc2hoYXNoaGFzaA'))
    }
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), text => {
        assert.throws(() => parsePasswordHash(`$argon2id$${text}`), { code: 'SIGNALBOX_OPTIONS_INVALID' })
      }),
    )
  })
})

describe('the password checker', () => {
  test('remembers right passwords for its time, wrong ones and decoys never', async () => {
    const clock = new TestClock()
    const checker = new PasswordChecker({ cacheTtlMs: 1_000 }, clock)
    const hash = parsePasswordHash(await hashPassword('right'))
    const timed = async (work: () => Promise<boolean>, expected: boolean) => {
      const start = performance.now()
      assert.equal(await work(), expected)
      return performance.now() - start
    }
    const first = await timed(() => checker.check('ann', hash, 'right'), true)
    const second = await timed(() => checker.check('ann', hash, 'right'), true)
    assert.ok(second < first / 2, `hashed again: ${second} of ${first} ms`)
    assert.equal(await checker.check('ann', hash, 'wrong'), false)
    assert.equal(await checker.decoy('bob', hash, 'right'), false)
    const decoy = await timed(() => checker.decoy('bob', hash, 'right'), false)
    assert.ok(decoy > second, 'a decoy costs a hash each time')
    clock.advance(1_001)
    assert.ok((await timed(() => checker.check('ann', hash, 'right'), true)) > second)
  })

  test('equal checks share a hash; a flood of others is refused, then all is well again', async () => {
    const checker = new PasswordChecker({ cacheTtlMs: 0, maxConcurrent: 1, maxWaiting: 2 }, new TestClock())
    const hash = parsePasswordHash(await hashPassword('right'))
    const same = await Promise.all(Array.from({ length: 50 }, () => checker.check('ann', hash, 'right')))
    assert.deepEqual(new Set(same), new Set([true]))
    const flood = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => checker.check('ann', hash, `wrong ${i}`)),
    )
    assert.equal(flood.filter(({ status }) => status === 'fulfilled').length, 3)
    const refused = flood.find(({ status }) => status === 'rejected') as PromiseRejectedResult
    assert.equal(refused.reason.code, 'SIGNALBOX_OVERLOADED')
    assert.equal(await checker.check('ann', hash, 'right'), true)
  })
})

describe('API keys', () => {
  test('have one form, a checksum that finds every changed character, and a hash', () => {
    const { key, hash } = makeKey()
    assert.match(key, /^sb_[0-9A-Za-z]{49}$/)
    assert.equal(hashKey(key), hash)
    assert.ok(isKeyHash(hash) && isWellFormedKey(key) && !isWellFormedKey(key, 'sba'))
    for (let i = 0; i < key.length; i++) {
      const changed = key.slice(0, i) + (key[i] === 'x' ? 'y' : 'x') + key.slice(i + 1)
      assert.equal(isWellFormedKey(changed), false, `character ${i}`)
    }
    for (const bad of ['', 'sb_', key.slice(1), `${key}a`, `${key}\n`, key.toUpperCase()]) {
      assert.equal(isWellFormedKey(bad), false)
    }
    assert.equal(new Set(Array.from({ length: 1_000 }, () => makeKey().key)).size, 1_000)
  })
})
