/** What the command line asks on a terminal, typed in on a pseudo-terminal. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fixture } from '../test/fixture.ts'
import { type AdminTestServer, adminTestServer, TOKEN } from './admin-test-server.ts'

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
const SECRET = 'hunter2 with spaces'

/** Runs a command on a pseudo-terminal: waits for each text, then types. Prints what was seen, and the exit code. */
const PTY = `
import json, os, pty, select, sys, time
command, dialogue = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    os.execv(command[0], command)
seen, end = b'', time.monotonic() + 30
def more():
    global seen
    if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
        os.kill(pid, 9)
        sys.exit('not in time; seen: ' + repr(seen))
    try:
        data = os.read(fd, 65536)
    except OSError: # the other side is closed
        data = b''
    seen += data
    return data != b''
at = 0
for wait, send in dialogue:
    while wait.encode() not in seen[at:]:
        if not more():
            sys.exit('ended before ' + repr(wait) + '; seen: ' + repr(seen))
    at = len(seen)
    os.write(fd, send.encode())
while more():
    pass
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({'seen': seen.decode(), 'code': code}))
`

type Line = [wait: string, send: string]

async function type(server: AdminTestServer, args: string[], ...dialogue: Line[]) {
  const { FORCE_COLOR: _, ...inherited } = process.env
  const child = spawn('python3', ['-c', PTY, JSON.stringify([[process.execPath, MAIN, ...args], dialogue])], {
    env: {
      ...inherited,
      TERM: 'xterm',
      NO_COLOR: '1',
      SIGNALBOX_URL: server.url,
      SIGNALBOX_TOKEN: TOKEN,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  assert.notEqual(out, '', err)
  return JSON.parse(out) as { seen: string; code: number }
}

const hasPty =
  spawnSync('python3', ['-c', 'import os, pty; pty.fork; os.waitstatus_to_exitcode']).status === 0

suite('on a terminal', { skip: hasPty ? false : 'needs python3 with its module pty' }, () => {
  test('a secret is asked for and not shown', async () => {
    await using server = await adminTestServer({ setSecret: undefined })
    const { seen, code } = await type(
      server,
      ['secret', 'set', 'erp'],
      ['value of erp (not shown): ', `${SECRET}\r`],
    )
    assert.equal(code, 0, seen)
    assert.match(seen, /erp stored/)
    for (const word of SECRET.split(' ')) assert.ok(!seen.includes(word), seen)
    assert.equal(server.seen.find(({ handler }) => handler === 'setSecret')?.body, SECRET)
  })

  test('what is rubbed out is no part of it', async () => {
    await using server = await adminTestServer({ setSecret: undefined })
    const { seen } = await type(
      server,
      ['secret', 'set', 'erp'],
      ['(not shown): ', 'wrong\u0015righd\u007ft\r'],
    )
    assert.equal(server.seen.find(({ handler }) => handler === 'setSecret')?.body, 'right')
    assert.doesNotMatch(seen, /wrong|right/)
  })

  for (const [name, key] of [
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ] as const) {
    test(`${name} stores nothing`, async () => {
      await using server = await adminTestServer({ setSecret: undefined })
      const { seen, code } = await type(server, ['secret', 'set', 'erp'], ['(not shown): ', key])
      assert.equal(code, 1, seen)
      assert.match(seen, /SIGNALBOX_CANCELLED: nothing was stored/)
      assert.deepEqual(server.seen, [])
    })
  }

  for (const [typed, taken] of [
    ['orders\r', true],
    ['order\r', false],
    ['y\r', false],
    ['\u0003', false],
    ['\u0004', false],
  ] as const) {
    test(`purge, answered with ${JSON.stringify(typed)}, takes ${taken ? 'all' : 'nothing'} away`, async () => {
      const log = { kind: 'queue', name: 'orders', subscriptions: [] }
      await using server = await adminTestServer({ log, purge: { count: 3 } })
      const { seen, code } = await type(
        server,
        ['purge', 'queue/orders', '--state', 'dead'],
        ['Type orders to go on: ', typed],
      )
      assert.equal(code, taken ? 0 : 1, seen)
      assert.match(seen, taken ? /3 taken away/ : /SIGNALBOX_CANCELLED: nothing was taken away/)
      const purged = server.seen.find(({ handler }) => handler === 'purge')
      assert.equal(purged?.body, taken ? '{"states":["dead"]}' : undefined)
    })
  }

  const CHANGES = {
    changes: [{ action: 'create', id: 'channel/http/new' }],
    text: '+ channel/http/new\n',
    etag: 'as-shown',
  }
  for (const [answer, applied] of [
    ['y', true],
    ['YES', true],
    ['', false],
    ['n', false],
    ['yep', false],
  ] as const) {
    test(`apply, answered with '${answer}', ${applied ? 'applies' : 'changes nothing'}`, async () => {
      await using server = await adminTestServer({ diff: CHANGES, apply: CHANGES, resources: [] })
      using folder = fixture({ 'signalbox.yaml': 'name: x\n' })
      const { seen, code } = await type(server, ['apply', folder.path], ['Apply this? [y/N] ', `${answer}\r`])
      assert.equal(code, applied ? 0 : 1, seen)
      assert.ok(
        seen.indexOf('+ channel/http/new') < seen.indexOf('Apply this?'),
        'the difference comes first',
      )
      const request = server.seen.find(({ handler }) => handler === 'apply')
      assert.equal(request?.ifMatch, applied ? '"as-shown"' : undefined, 'what was shown is what is applied')
      assert.match(seen, applied ? /channel\/http\/new created/ : /nothing was changed/)
    })
  }

  test('apply, given up with Ctrl-C or the end of input, changes nothing and says so', async () => {
    for (const key of ['\u0003', '\u0004']) {
      await using server = await adminTestServer({ diff: CHANGES, apply: CHANGES, resources: [] })
      using folder = fixture({ 'signalbox.yaml': 'name: x\n' })
      const { seen, code } = await type(server, ['apply', folder.path], ['Apply this? [y/N] ', key])
      assert.equal(
        server.seen.some(({ handler }) => handler === 'apply'),
        false,
      )
      assert.notEqual(code, 0, seen)
      assert.match(seen, /nothing was changed/)
    }
  })
})
