import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MasterKey } from './master-key.ts'
import { isReference, resolveReferences } from './references.ts'
import { SecretVault } from './secrets.ts'
import { MemoryStore, refusal } from './test-kit.ts'

const secretRef = (name: string) => `\${secret:${name}}`
const envRef = (name: string) => `\${env:${name}}`

describe('references', () => {
  test('are replaced wherever a text is; what they hold is not looked at again', async () => {
    const vault = new SecretVault(new MemoryStore(), [MasterKey.generate()])
    await vault.put('db/password', `p${envRef('HOST')}`)
    const options = {
      url: `https://${envRef('HOST')}:${envRef('PORT')}/`,
      list: [{ password: secretRef('db/password') }, 7, null],
      plain: `\${other:x} $5`,
    }
    const sources = { secret: (name: string) => vault.get(name), environment: { HOST: 'h', PORT: '1' } }
    assert.deepEqual(await resolveReferences(options, sources), {
      url: 'https://h:1/',
      list: [{ password: `p${envRef('HOST')}` }, 7, null],
      plain: `\${other:x} $5`,
    })
    await refusal(() => resolveReferences([secretRef('none')], sources), 'SIGNALBOX_SECRET_UNKNOWN')
  })

  test('an unset variable is refused with its place', async () => {
    const secret = () => Promise.reject(new Error('not asked'))
    for (const name of ['NONE', 'constructor']) {
      const work = () => resolveReferences({ 'a/b': [envRef(name)] }, { secret, environment: {} })
      const error = await refusal(work, 'SIGNALBOX_SECRET_UNKNOWN')
      assert.deepEqual(error.details, { pointer: '/a~1b/0', name })
    }
  })

  test('a text is a reference only when nothing of it is written down', () => {
    assert.ok(isReference(secretRef('A')) && isReference(secretRef('A') + envRef('B')))
    for (const text of [
      '',
      'x',
      `x${secretRef('A')}`,
      secretRef(''),
      secretRef('A').slice(0, -1),
      `\${file:A}`,
    ]) {
      assert.equal(isReference(text), false, text)
    }
  })
})
