import assert from 'node:assert/strict'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { TestClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { makeKey } from './keys.ts'
import { checkPolicy, enforcePolicy, type PolicyFacts, type Profile } from './policy.ts'
import { isRole, may, PERMISSIONS, type Permission, ROLES, type Role, roleMatrix } from './roles.ts'
import { MemoryStore, refusal, temporaryFolder } from './test-kit.ts'
import { AdminTokens } from './tokens.ts'

const DAY_MS = 86_400_000

describe('roles', () => {
  test('the matrix covers all, and says what may() says', () => {
    const matrix = roleMatrix()
    assert.equal(matrix.length, Object.keys(ROLES).length * Object.keys(PERMISSIONS).length)
    for (const { role, permission, allowed } of matrix) {
      assert.equal(
        allowed,
        (ROLES[role] as readonly Permission[]).includes(permission),
        `${role} ${permission}`,
      )
    }
  })

  test('viewers change nothing; only admins hold the keys; nobody but developers and admins runs code', () => {
    const allowed = (permission: Permission) =>
      (Object.keys(ROLES) as Role[]).filter(role => may([role], permission))
    for (const permission of Object.keys(PERMISSIONS) as Permission[]) {
      if (!permission.endsWith('.read')) assert.ok(!may(['viewer'], permission), permission)
      assert.ok(may(['admin'], permission), permission)
    }
    assert.ok(!may(['viewer'], 'message.read'), 'bodies of messages are not for everyone')
    for (const own of ['secret.write', 'user.write', 'security.write', 'audit.read'] as const) {
      assert.deepEqual(allowed(own), ['admin'])
    }
    assert.deepEqual(allowed('service.deploy'), ['developer', 'admin'])
  })

  test('deny by default: no role, unknown roles, names of every object, unknown permissions', () => {
    for (const roles of [
      undefined,
      [],
      ['root'],
      ['Admin'],
      ['__proto__'],
      ['constructor'],
      ['toString'],
      [''],
    ]) {
      for (const permission of Object.keys(PERMISSIONS) as Permission[])
        assert.equal(may(roles, permission), false)
    }
    for (const permission of ['', 'has', '__proto__', 'resource.*', '*']) {
      assert.equal(may(['admin'], permission as Permission), false)
    }
    assert.equal(may(['nobody', 'operator'], 'node.scale'), true)
    assert.equal(isRole('constructor'), false)
  })
})

describe('admin tokens', () => {
  test('the first one is written to a private file, once, and works', async t => {
    const path = join(await temporaryFolder(t), 'state', 'admin.token')
    const store = new MemoryStore()
    const tokens = new AdminTokens(store)
    const token = await tokens.first(path)
    assert.ok(token)
    assert.equal(await readFile(path, 'utf8'), `${token}\n`)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.equal(await tokens.first(path), undefined)
    const identity = await tokens.verify(token)
    assert.deepEqual(identity, { name: 'admin', definition: 'admin-token', roles: ['admin'] })
    assert.ok(!JSON.stringify([...store.records]).includes(token))
    assert.ok(!inspect(await tokens.list()).includes('sha256'))
  })

  test('end at their time and when revoked; then the file gets a new one', async t => {
    const path = join(await temporaryFolder(t), 'admin.token')
    const clock = new TestClock(1_000)
    const tokens = new AdminTokens(new MemoryStore(), clock)
    const first = await tokens.first(path)
    const { token, info } = await tokens.issue({ name: 'ci@example', role: 'developer', lifetimeMs: DAY_MS })
    assert.deepEqual((await tokens.verify(token)).roles, ['developer'])
    assert.equal(info.expiresAt, 1_000 + DAY_MS)
    clock.advance(DAY_MS)
    await refusal(() => tokens.verify(token))
    assert.equal(await tokens.revoke(info.id), true)
    assert.equal(await tokens.revoke(info.id), false)
    clock.advance(90 * DAY_MS)
    await refusal(() => tokens.verify(first!))
    const second = await tokens.first(path)
    assert.ok(second !== undefined && second !== first)
    assert.equal(await readFile(path, 'utf8'), `${second}\n`)
  })

  test('others are refused in the same words', async () => {
    const store = new MemoryStore()
    const tokens = new AdminTokens(store)
    const { token } = await tokens.issue({ name: 'a', role: 'viewer' })
    const messages = new Set<string>()
    for (const bad of [
      '',
      'x',
      makeKey('sba').key,
      makeKey('sb').key,
      `${token} `,
      token.slice(0, -1),
      'a'.repeat(1e6),
    ]) {
      messages.add((await refusal(() => tokens.verify(bad))).message)
    }
    assert.equal(messages.size, 1)
    for (const [id, record] of store.records) {
      const other = { ...JSON.parse(record), hash: `sha256:${id.padEnd(64, '0')}` }
      store.records.set(id, JSON.stringify(other))
    }
    await refusal(() => tokens.verify(token))
  })

  test('a name, role or lifetime that is not allowed is refused', async () => {
    const tokens = new AdminTokens(new MemoryStore())
    for (const request of [
      { name: '', role: 'admin' },
      { name: 'a\nb', role: 'admin' },
      { name: 'a', role: 'root' },
      { name: 'a', role: 'constructor' },
      { name: 'a', role: 'admin', lifetimeMs: 0 },
      { name: 'a', role: 'admin', lifetimeMs: 400 * DAY_MS },
      { name: 'a', role: 'admin', lifetimeMs: Number.NaN },
    ]) {
      await refusal(() => tokens.issue(request as never), 'SIGNALBOX_INPUT_INVALID')
    }
    assert.deepEqual(await tokens.list(), [])
  })
})

describe('the start-up policy', () => {
  const SAFE: PolicyFacts = {
    plainTextSecrets: [],
    disabledTlsChecks: [],
    admin: { host: '127.0.0.1', port: 7711 },
    codeDeployment: [],
  }
  const RISKY: PolicyFacts = {
    plainTextSecrets: ['connection/http/a /auth/password'],
    disabledTlsChecks: ['connection/http/a', 'connection/http/b'],
    admin: { host: '0.0.0.0', port: 7711 },
    codeDeployment: ['service-file/a.ts'],
  }

  test('nothing is said of a safe configuration', () => {
    for (const profile of ['development', 'production'] as Profile[]) {
      assert.deepEqual(checkPolicy({ profile }, SAFE), [])
      assert.deepEqual(checkPolicy({ profile }, { ...SAFE, admin: undefined }), [])
    }
  })

  test('production refuses each risk, development starts with warnings', () => {
    const refused = checkPolicy({ profile: 'production' }, RISKY)
    assert.deepEqual(new Set(refused.map(({ level }) => level)), new Set(['refused']))
    assert.equal(refused.length, 5)
    assert.ok(refused.every(({ subject, why, fix }) => subject !== '' && why !== '' && fix !== ''))
    assert.throws(
      () => enforcePolicy(refused),
      (error: unknown) =>
        error instanceof SignalboxError &&
        error.code === 'SIGNALBOX_POLICY_REFUSED' &&
        (error.details!.findings as unknown[]).length === 5,
    )
    const warned = checkPolicy({ profile: 'development' }, RISKY)
    assert.deepEqual(warned.map(({ risk }) => risk).sort(), [
      'disabledTlsChecks',
      'disabledTlsChecks',
      'openAdminPort',
      'plainTextSecrets',
    ])
    enforcePolicy(warned)
  })

  test('an operator changes single levels; refused findings come first', () => {
    const findings = checkPolicy(
      { profile: 'production', changes: { plainTextSecrets: 'warned', codeDeployment: 'allowed' } },
      RISKY,
    )
    assert.deepEqual(
      findings.map(({ risk, level }) => `${risk} ${level}`),
      [
        'disabledTlsChecks refused',
        'disabledTlsChecks refused',
        'openAdminPort refused',
        'plainTextSecrets warned',
      ],
    )
  })

  test('loopback is only what certainly is', () => {
    const isOpen = (host: string) =>
      checkPolicy({ profile: 'production' }, { ...SAFE, admin: { host, port: 1 } }).some(
        ({ risk }) => risk === 'openAdminPort',
      )
    for (const host of ['127.0.0.1', '127.8.9.1', '::1', '[::1]', 'localhost', 'LOCALHOST'])
      assert.equal(isOpen(host), false)
    for (const host of [
      '0.0.0.0',
      '::',
      '',
      '10.0.0.1',
      '127.0.0.1.example',
      '127.1',
      'localhost.example',
      '127.0.0.999',
    ]) {
      assert.equal(isOpen(host), true, host)
    }
  })
})
