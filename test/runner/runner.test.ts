import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fixture } from '../fixture.ts'

const RUNNER = fileURLToPath(new URL('../run.ts', import.meta.url))
const HEAD = `import { describe, it, test, before } from 'node:test'\n`

function run(files: Record<string, string>, args: string[] = []) {
  using folder = fixture(files)
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUNNER, ...args], {
    cwd: folder.path,
    encoding: 'utf8',
    // A program left behind would hold the pipes of the run open, and the run would not end.
    timeout: 60_000,
  })
  const lines = stdout.trimEnd().split('\n')
  return { status, stdout, stderr, last: lines.at(-1) }
}

test('counts leaf tests over several files and ends with the totals', () => {
  const result = run({
    'core/a.test.ts': `${HEAD}
      test('one', () => {})
      test('parent', async t => { await t.test('child', () => {}) })
      describe('suite', () => { it('two', () => {}) })`,
    'transports/http/b.test.ts': `${HEAD} test('three', () => {})`,
    'core/node_modules/x/c.test.ts': `${HEAD} test('not ours', () => { throw new Error('run') })`,
  })
  assert.equal(result.last, '4 passed, 0 failed, 0 skipped')
  assert.equal(result.status, 0)
  assert.match(result.stdout, /^✔ core\/a\.test\.ts \(3 passed, /m)
})

test('prints a failure in full, with the names of its suites, the output and notes of its file', () => {
  const result = run({
    'core/a.test.ts': `${HEAD}
      console.log('some output')
      describe('outer', () => { it('inner', t => { t.diagnostic('a remark'); throw new Error('boom') }) })`,
  })
  assert.equal(result.last, '0 passed, 1 failed, 0 skipped')
  assert.equal(result.status, 1)
  for (const part of ['✖ outer > inner', 'Error: boom', 'a.test.ts:4', 'some output', 'note: a remark']) {
    assert.ok(result.stdout.includes(part), `${part} is missing from\n${result.stdout}`)
  }
})

test('lists skipped tests and suites by name, with the reason', () => {
  const result = run({
    'core/a.test.ts': `${HEAD}
      test('ok', () => {})
      describe('s', () => { it('leaf', { skip: 'redis-server is not installed' }, () => {}) })
      describe('whole suite', { skip: 'no reason to run' }, () => { it('x', () => {}) })`,
  })
  assert.equal(result.last, '1 passed, 0 failed, 2 skipped')
  assert.ok(result.stdout.includes('core/a.test.ts: s > leaf (redis-server is not installed)'))
  assert.ok(result.stdout.includes('core/a.test.ts: whole suite (no reason to run)'))
  assert.equal(result.status, 0)
})

test('a failed hook fails the run even when every test passed', () => {
  const result = run({
    'core/a.test.ts': `${HEAD} import { after } from 'node:test'
      describe('s', () => { after(() => { throw new Error('hook') }); it('ok', () => {}) })`,
  })
  assert.equal(result.last, '1 passed, 1 failed, 0 skipped')
  assert.equal(result.status, 1)
})

test('a file that does not load fails by name', () => {
  const result = run({ 'core/a.test.ts': `import './missing.ts'` })
  assert.equal(result.last, '0 passed, 1 failed, 0 skipped')
  assert.match(result.stdout, /✖ core\/a\.test\.ts\n.*exited with code 1/)
  assert.match(result.stdout, /ERR_MODULE_NOT_FOUND/)
})

test('a file that calls process.exit(0) before its tests ended fails', () => {
  const result = run({
    'core/a.test.ts': `${HEAD} test('ok', () => {})
      test('quits', async () => { await new Promise(done => setImmediate(done)); process.exit(0) })`,
  })
  assert.match(result.stdout, /exited before its tests ended during 'quits'/)
  assert.equal(result.status, 1)
})

test('a file without a test fails', () => {
  const result = run({ 'core/a.test.ts': `export {}` })
  assert.match(result.stdout, /no test was reported/)
  assert.equal(result.last, '0 passed, 1 failed, 0 skipped')
})

test('a file that hangs, spins or keeps the process alive is killed and named, with what it started', () => {
  const result = run(
    {
      'core/hangs.test.ts': `${HEAD} import { spawn } from 'node:child_process'
      process.on('SIGTERM', () => {})
      test('waits', async () => {
        spawn('sleep', ['1000'], { stdio: 'inherit' })
        await new Promise(() => setInterval(() => {}, 1000))
      })`,
      'core/spins.test.ts': `${HEAD} process.on('SIGTERM', () => {}); test('spin', () => { for (;;); })`,
      'core/stays.test.ts': `${HEAD} test('ok', () => { setInterval(() => {}, 1000) })`,
    },
    ['--timeout-ms', '1500', '--concurrency', '3'],
  )
  assert.equal(result.last, '1 passed, 3 failed, 0 skipped')
  assert.match(result.stdout, /✖ core\/hangs\.test\.ts\n.*did not finish within 1500 ms during 'waits'/)
  assert.match(result.stdout, /✖ core\/spins\.test\.ts\n.*did not finish within 1500 ms/)
  assert.match(result.stdout, /✖ core\/stays\.test\.ts\n.*an open handle keeps it alive after its tests/)
})

test('path filters and --only choose what runs', () => {
  const files = {
    'core/a.test.ts': `${HEAD} test('red', () => {}); test('green', () => {})`,
    'core/b.test.ts': `${HEAD} test('blue', () => {})`,
  }
  assert.equal(run(files, ['core/a']).last, '2 passed, 0 failed, 0 skipped')
  assert.equal(run(files, ['--only', 'red|blue']).last, '2 passed, 0 failed, 0 skipped')
})

test('a run without any test fails and says so', () => {
  const nothing = run({ 'core/a.test.ts': `${HEAD} test('ok', () => {})` }, ['no/such/path'])
  assert.equal(nothing.status, 1)
  assert.equal(nothing.last, '0 passed, 0 failed, 0 skipped')
  assert.match(nothing.stderr, /No test file matches no\/such\/path/)
  const unmatched = run({ 'core/a.test.ts': `${HEAD} test('ok', () => {})` }, ['--only', 'zzz'])
  assert.equal(unmatched.status, 1)
  assert.equal(unmatched.last, '0 passed, 0 failed, 0 skipped')
})

test('bad arguments are refused with the usage', () => {
  for (const args of [['--nope'], ['--timeout-ms', '0'], ['--concurrency', 'x'], ['--only', '(']]) {
    const result = run({}, args)
    assert.equal(result.status, 2)
    assert.match(result.stderr, /Usage: npm test/)
  }
})
