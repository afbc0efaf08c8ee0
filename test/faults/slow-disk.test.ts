/** A disk that takes its time, or fails, under a node that runs: nobody is told what is not so. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fixture } from '../fixture.ts'
import { freePort } from '../free-port.ts'
import { until } from '../load.ts'

const PROJECT = new URL('../projects/messages', import.meta.url).pathname
const CALLS = 'pwrite64,pwritev,pwritev2'
const SLOW_MS = 400
const HAS_STRACE = !spawnSync('strace', ['-V']).error

test('a publish over HTTP is answered when the disk has it, refused when the disk fails', {
  timeout: 120_000,
}, async t => {
  if (!HAS_STRACE) return t.skip('strace is not installed')
  const folder = fixture({})
  const port = await freePort()
  const state = join(folder.path, 'state')
  const node = fork(new URL('messages-node.ts', import.meta.url), [PROJECT, state], {
    env: {
      ...process.env,
      SIGNALBOX_TEST_PORT: String(port),
      SIGNALBOX_TEST_EFFECTS: join(folder.path, 'effects'),
    },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  t.after(async () => {
    node.kill('SIGKILL')
    await once(node, 'exit')
    folder[Symbol.dispose]()
  })
  await once(node, 'message')
  let number = 0
  const publish = async () => {
    const start = performance.now()
    const id = `m${++number}`
    const response = await fetch(`http://127.0.0.1:${port}/publish`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([{ id, key: 'k', number }]),
    })
    return { status: response.status, body: await response.text(), ms: performance.now() - start }
  }
  assert.equal((await publish()).status, 200)
  const orders = join(state, 'messages', 'queues', 'orders')
  const file = join(
    orders,
    readdirSync(orders)
      .filter(name => name.endsWith('.journal'))
      .sort()
      .at(-1)!,
  )

  let tracer = await attach(node, file, `delay_exit=${SLOW_MS * 1_000}`)
  const slow = await publish()
  await detach(tracer)
  assert.equal(slow.status, 200)
  assert.ok(slow.ms >= SLOW_MS, `answered after ${slow.ms} ms, before the disk had it`)

  tracer = await attach(node, file, 'error=EIO')
  const failed = await publish()
  await detach(tracer)
  assert.equal(failed.status, 503, failed.body)
  assert.match(failed.body, /SIGNALBOX_STORE_UNAVAILABLE/)
  await until(async () => (await publish()).status === 200, 'it takes messages again')
})

/** Traces the writes of a process to one file from now on. */
async function attach(node: ChildProcess, file: string, action: string): Promise<ChildProcess> {
  const options = [
    '-f',
    '-o',
    '/dev/null',
    '-P',
    file,
    '-e',
    `trace=${CALLS}`,
    '-e',
    `inject=${CALLS}:${action}`,
  ]
  const tracer = spawn('strace', [...options, '-p', String(node.pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  tracer.stderr!.on('data', part => {
    said += String(part)
  })
  await until(() => / attached/.test(said) || tracer.exitCode !== null, 'the tracer is there')
  assert.equal(tracer.exitCode, null, said)
  return tracer
}

async function detach(tracer: ChildProcess): Promise<void> {
  const gone = once(tracer, 'exit')
  tracer.kill('SIGINT')
  await gone
}
