/** The security policy: each risk at each level, at the start of a node and while it runs. */
import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { startProject } from '../cli/start.ts'
import type { SignalboxError } from '../core/errors.ts'
import { levelOf, type PolicyLevel, PROFILES, RISKS, type Risk } from '../core/security/policy.ts'
import { until } from './load.ts'
import { answering, keepingLogger, type LogLine, Operated, projectFolder } from './operated.ts'

const LEVELS: readonly PolicyLevel[] = ['allowed', 'warned', 'refused']
const ALL = Object.keys(RISKS) as Risk[]
const LOOPBACK = 'admin: { host: 127.0.0.1, port: 0 }'

/** What brings a risk into a project; code comes in later. */
const RISKY: Readonly<Record<Risk, { yaml: string; place: RegExp }>> = {
  plainTextSecrets: {
    yaml: `${LOOPBACK}
connections:
  - { name: erp, type: http, options: { url: 'http://127.0.0.1:9', auth: { bearer: { token: hunter2 } } } }`,
    place: /connection\/http\/erp \/options\/auth\/bearer\/token/,
  },
  disabledTlsChecks: {
    yaml: `${LOOPBACK}
connections:
  - { name: erp, type: http, options: { url: 'https://127.0.0.1:9', tls: { rejectUnauthorized: false } } }`,
    place: /connection\/http\/erp \/options\/tls\/rejectUnauthorized/,
  },
  openAdminPort: { yaml: 'admin: { host: 0.0.0.0, port: 0 }', place: /0\.0\.0\.0:0/ },
  codeDeployment: { yaml: LOOPBACK, place: /files that are saved, and the admin API/ },
}

/** All risks allowed but one. */
function policyOf(risk: Risk, level: PolicyLevel): string {
  return `policy: { ${ALL.map(other => `${other}: ${other === risk ? level : 'allowed'}`).join(', ')} }`
}

describe('at the start', () => {
  for (const risk of ALL) {
    for (const level of LEVELS) {
      test(`${risk} ${level}`, async () => {
        const { yaml, place } = RISKY[risk]
        const files = { 'signalbox.yaml': `profile: production\n${policyOf(risk, level)}\n${yaml}` }
        if (level === 'refused' && risk !== 'codeDeployment') {
          await assert.rejects(Operated.start(files), (error: SignalboxError) => {
            assert.equal(error.code, 'SIGNALBOX_POLICY_REFUSED')
            assert.match(error.message, place)
            assert.match(error.message, new RegExp(`policy: \\{ ${risk}: warned \\}`))
            return true
          })
          return
        }
        await using bus = await Operated.start(files)
        const said = bus.warnings().filter(message => message.startsWith('security policy: '))
        assert.equal(said.length, level === 'warned' ? 1 : 0, said.join('\n'))
        if (level === 'warned') assert.match(said[0]!, place)
      })
    }
  }

  test('the profiles decide where nothing is said, and an error lists everything that is refused', async () => {
    const yaml = `admin: { host: 0.0.0.0, port: 0 }
connections:
  - name: erp
    type: http
    options: { url: 'https://erp', auth: { bearer: { token: hunter2 } }, tls: { rejectUnauthorized: false } }`
    const root = await projectFolder({ 'signalbox.yaml': `profile: production\n${yaml}` })
    const lines: LogLine[] = []
    // Without state there is the same policy.
    await assert.rejects(
      startProject(root, { workers: 1, log: keepingLogger(lines) }),
      (error: SignalboxError) => {
        const findings = error.details!.findings as { risk: Risk; fix: string }[]
        assert.deepEqual(
          findings.map(finding => finding.risk),
          ['plainTextSecrets', 'disabledTlsChecks', 'openAdminPort'],
        )
        assert.doesNotMatch(JSON.stringify(error.toWire()), /hunter2/)
        return true
      },
    )
    await writeFile(join(root, 'signalbox.yaml'), yaml)
    const { stop } = await startProject(root, { workers: 1, log: keepingLogger(lines) })
    await stop(1_000)
    const warned = lines.flatMap(({ data, level }) => (level === 'warn' && data.risk ? [data.risk] : []))
    assert.deepEqual(warned, ['plainTextSecrets', 'disabledTlsChecks', 'openAdminPort'])
    for (const risk of ALL) assert.equal(levelOf({ profile: 'production' }, risk), PROFILES.production[risk])
    await rm(root, { recursive: true })
  })

  test('what is in the store is looked at again when the policy has become stricter', async () => {
    const yaml = (level: PolicyLevel) =>
      `${policyOf('plainTextSecrets', level)}\n${RISKY.plainTextSecrets.yaml}`
    const bus = await Operated.start({ 'signalbox.yaml': yaml('allowed') })
    await bus.project.stop(1_000)
    await writeFile(join(bus.root, 'signalbox.yaml'), yaml('refused'))
    const again = startProject(bus.root, {
      workers: 1,
      stateFolder: join(bus.root, '.signalbox'),
      log: keepingLogger([]),
    })
    await assert.rejects(again, { code: 'SIGNALBOX_POLICY_REFUSED' })
    await rm(bus.root, { recursive: true })
  })
})

describe('while the node runs', () => {
  for (const level of LEVELS) {
    test(`everything ${level}`, async () => {
      const policy = `policy: { ${ALL.map(risk => `${risk}: ${level}`).join(', ')} }`
      const settings = `profile: production\n${policy}\n`
      await using bus = await Operated.start({ 'signalbox.yaml': `${settings}${LOOPBACK}` })
      const began = bus.lines.length
      const warned = (place: RegExp) =>
        bus.lines.slice(began).filter(({ level: its, message }) => its === 'warn' && place.test(message))
          .length
      const check = (answer: { status: number; text: string }, place: RegExp) => {
        if (level !== 'refused') {
          assert.ok(answer.status < 300, answer.text)
          return
        }
        assert.equal(answer.status, 403, answer.text)
        assert.equal(JSON.parse(answer.text).code, 'SIGNALBOX_POLICY_REFUSED')
        assert.match(JSON.parse(answer.text).detail, place)
      }

      for (const risk of ['plainTextSecrets', 'disabledTlsChecks', 'openAdminPort'] as const) {
        const { yaml, place } = RISKY[risk]
        const before = (await bus.admin('GET', '/v1/export')).text
        // What the file itself says of the policy does not count: the node keeps that of its start.
        for (let i = 0; i < 2; i++)
          check(await bus.admin('POST', '/v1/apply', `profile: development\n${yaml}`), place)
        if (level === 'refused') assert.equal((await bus.admin('GET', '/v1/export')).text, before)
        assert.equal(warned(place), level === 'warned' ? 1 : 0, `${risk}: warned once`)
      }
      const options = JSON.stringify({ url: 'http://127.0.0.1:9', auth: { bearer: { token: 'hunter2' } } })
      const path = '/v1/resources/connection/http/other'
      check(
        await bus.admin('PUT', path, options, { type: 'application/json' }),
        /connection\/http\/other \/options\/auth\/bearer\/token/,
      )

      const file = '/v1/service-files/sent.ts'
      check(await bus.admin('PUT', file, answering('1')), /service-file\/sent\.ts/)
      check(await bus.admin('DELETE', file), /service-file\/sent\.ts/)
      await savedIsRun(bus, level)
    })
  }
})

/** A file that is saved runs, or is refused and both said and recorded. */
async function savedIsRun(bus: Operated, level: PolicyLevel): Promise<void> {
  await writeFile(join(bus.root, 'services', 'hello.ts'), answering("'changed'"))
  const acts = async () =>
    (await bus.acts()).filter(({ who, target }) => who === 'file-system' && target.endsWith('hello.ts'))
  await until(async () => (await acts()).length > 0, 'what was saved is in the chain of acts')
  const [act] = await acts()
  const answer = await bus.project.node.invoke('hello')
  if (level === 'refused') {
    assert.equal(act!.result, 'SIGNALBOX_POLICY_REFUSED')
    assert.equal(answer, 'hello')
    assert.ok(bus.warnings().some(message => message.startsWith('not deployed: ')))
  } else {
    assert.equal(act!.result, 'ok')
    assert.equal(answer, 'changed')
  }
}
