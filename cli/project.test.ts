/** What is said of a `signalbox.yaml` that is wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SignalboxError } from '../core/errors.ts'
import { transports } from '../transports/index.ts'
import { parseProject } from './project.ts'

const ENV = ['SIGNALBOX_TEST_PORT', 'SIGNALBOX_TEST_TEXT'] as const
const [PORT, TEXT] = ENV

/** The lines of the message, without the path. */
function problems(text: string): string[] {
  try {
    parseProject(text, '/p')
  } catch (error) {
    const { code, message } = error as SignalboxError
    assert.equal(code, 'SIGNALBOX_CONFIG_INVALID')
    return message.split('\n').map(line => line.replace(/^signalbox\.yaml:/, ''))
  }
  return assert.fail('it is accepted')
}

test('an empty file is a project with defaults', () => {
  const { name, node, channels, connections } = parseProject('', '/p')
  assert.deepEqual(
    { name, node, channels, connections },
    { name: 'signalbox', node: 'node', channels: [], connections: [] },
  )
})

test('everything that is wrong is said at once, each with its line and the nearest name', () => {
  const text = `
name: shop
workers: 0
chanels: []
channels:
  - name: a
    type: htp
  - name: b
    type: http
    options:
      prot: 3
      port: 99999999
  - name: b
    type: memory
    options: { queue: q }
connections:
  - { name: c }
`
  const names = transports.map(({ name }) => name).join(', ')
  assert.deepEqual(problems(text), [
    '3: workers must be >= 1',
    "4: (all) must not have the property 'chanels'; did you mean 'channels'?",
    "7: channels.0.type is wrong: there is no transport 'htp'; did you mean 'http'? (there are: NAMES)".replace(
      'NAMES',
      names,
    ),
    "11: channels.1.options must not have the property 'prot'; did you mean 'port'?",
    '12: channels.1.options.port must be <= 65535',
    '13: channels.2 is a second channel named b',
    "17: connections.0 must have required property 'type'",
  ])
})

test('YAML that cannot be read is reported with its line', () => {
  const [first] = problems('name: a\nchannels: [1\nworkers: 2\n')
  assert.match(first!, /^3: .*line 3/)
  assert.match(problems('a: *nothing').join(), /nothing/)
  assert.match(problems('- a\n- b')[0]!, /^1: \(all\) must be object/)
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
  for (const [from, to] of ['ab', 'bc', 'cd', 'de', 'ef'].map(pair => pair.split('') as [string, string])) {
    bomb.push(`${to}: &${to} [${Array(10).fill(`*${from}`).join(', ')}]`)
  }
  assert.match(problems(bomb.join('\n')).join(), /alias/i)
})

test('environment variables become what the schema asks for, and text stays text', () => {
  process.env[PORT] = '8123'
  process.env[TEXT] = '0042'
  try {
    const variable = (name: string) => `'\${env:${name}}'`
    const project = parseProject(
      `
node: n-\${env:${TEXT}}
channels:
  - { name: web, type: http, options: { port: ${variable(PORT)}, routes: [] } }
  - { name: q, type: memory, options: { queue: ${variable(TEXT)} } }
`,
      '/p',
    )
    assert.equal(project.node, 'n-0042')
    assert.equal((project.channels[0]!.options as { port: number }).port, 8123)
    assert.equal((project.channels[1]!.options as { queue: string }).queue, '0042')
    assert.deepEqual(problems(`name: x\nworkers: ${variable(PORT)}`), ['2: workers must be <= 256'])
    assert.deepEqual(problems(`name: x\nworkers: ${variable('SIGNALBOX_TEST_MISSING')}`).slice(0, 1), [
      '2: workers needs the environment variable SIGNALBOX_TEST_MISSING, which is not set',
    ])
  } finally {
    for (const name of ENV) delete process.env[name]
  }
})

test('a secret is never quoted', () => {
  const secret = 'S3cret-but-much-too-short'
  const text = `network: { port: 7720, publicKey: '${secret}', secretKey: ['${secret}'] }`
  assert.ok(!problems(text).join('\n').includes(secret))
})
