import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { fixture } from '../../test/fixture.ts'
import { adminTestServer, run, runAt } from '../admin-test-server.ts'
import { createProgram } from '../program.ts'
import { completionScript, SHELLS, type Shell } from './scripts.ts'
import { verbsOf } from './words.ts'

const VERBS = verbsOf(createProgram(), { explain: ['SIGNALBOX_USAGE'] })

for (const shell of SHELLS) {
  const missing = spawnSync(shell, ['-c', 'exit 0']).error !== undefined
  test(`the script for ${shell} is well-formed`, {
    skip: missing ? `${shell} is not installed` : false,
  }, () => {
    const { status, stderr } = spawnSync(shell, ['-n'], {
      input: completionScript(shell, VERBS),
      encoding: 'utf8',
    })
    assert.deepEqual([status, stderr], [0, ''])
  })
}

test('each script knows every verb and option', () => {
  for (const shell of ['bash', 'zsh', 'fish'] satisfies Shell[]) {
    const script = completionScript(shell, VERBS)
    for (const { name, options } of VERBS) {
      assert.ok(script.includes(name.split(' ').at(-1)!), `${shell}: ${name}`)
      for (const { flag } of options) assert.ok(script.includes(flag.replace(/^--/, '')), `${shell}: ${flag}`)
    }
    assert.doesNotMatch(script, /'__complete/)
  }
})

/** What bash offers after these words; `signalbox` itself is a script that answers for a node. */
function offered(...words: string[]): string[] {
  using folder = fixture({})
  const fake = join(folder.path, 'signalbox')
  writeFileSync(fake, '#!/bin/sh\n[ "$1 $2" = "__complete services" ] && echo invoices.check && echo greet\n')
  chmodSync(fake, 0o755)
  const line = ['signalbox', ...words].map(word => `'${word}'`).join(' ')
  const ask = `COMP_WORDS=(${line}); COMP_CWORD=${words.length}; _signalbox; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = spawnSync('bash', ['-c', `${completionScript('bash', VERBS)}\n${ask}`], {
    encoding: 'utf8',
    cwd: folder.path,
    env: { ...process.env, PATH: folder.path + delimiter + process.env.PATH },
  })
  return stdout.trim().split('\n')
}

test('bash completes verbs, verbs of verbs, options, codes and live names', () => {
  assert.deepEqual(offered('ser'), ['services'])
  assert.deepEqual(offered('secret', ''), ['set', 'list', 'remove'])
  assert.deepEqual(offered('ps', '--wat'), ['--watch'])
  assert.deepEqual(offered('secret', 'list', '--j'), ['--json'])
  assert.deepEqual(offered('explain', 'SIGNALBOX_U'), ['SIGNALBOX_USAGE'])
  assert.deepEqual(offered('invoke', 'inv'), ['invoices.check'])
  assert.deepEqual(offered('deploy', 'sig'), ['signalbox'])
})

test('__complete gives names of services, none that a shell could misread, and nothing without a node', async () => {
  const services = ['greet', '$(reboot)', 'a;b', '-x'].map(name => ({ name, file: '', version: '' }))
  await using server = await adminTestServer({ services })
  const [some, none] = await Promise.all([
    runAt(server, ['__complete', 'services']),
    run(['__complete', 'services'], { env: { SIGNALBOX_URL: 'http://127.0.0.1:1' } }),
  ])
  assert.deepEqual([some.code, some.out, some.err], [0, 'greet\n', ''])
  assert.deepEqual([none.code, none.out, none.err], [0, '', ''])
})

test('every help ends with an example', () => {
  const all = [createProgram()]
  for (const command of all) all.push(...command.commands)
  for (const command of all.filter(other => !other.name().startsWith('__'))) {
    let help = ''
    command.configureOutput({ writeOut: text => (help += text) }).outputHelp()
    assert.match(help, /\nExamples?:\n {2}\S.*\n$/s, command.name())
  }
})
