/** The number of workers is changed under load, and the whole node is stopped under load: no request is lost. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { FAULTY, startFaulty } from '../faulty-bus.ts'
import { call, Load, until } from '../load.ts'

test('workers are added and taken away under load without a failed request', async () => {
  const { node, url } = await startFaulty(2)
  try {
    const quick = new Load(`${url}/where`, 8)
    const slow = new Load(`${url}/slow`, 8)
    for (const workers of [4, 1, 3, 2, 4, 1, 2]) {
      await node.scale(workers)
      assert.equal(node.host.workers.length, workers)
      const before = quick.ok
      await until(() => quick.ok > before + 200, `requests are served by ${workers} workers`)
    }
    await Promise.all([quick.stop(), slow.stop()])
    assert.deepEqual([...quick.failed, ...slow.failed], [])
    assert.ok(slow.ok > 100)
    assert.equal(node.host.replaced, 0)
  } finally {
    await node.stop(1_000)
  }
})

test('refuses numbers of workers that make no sense', async () => {
  const { node } = await startFaulty(1)
  try {
    for (const count of [0, -1, 1.5, Number.NaN, 1_000]) {
      await assert.rejects(node.scale(count), { code: 'SIGNALBOX_USAGE' })
    }
  } finally {
    await node.stop(1_000)
  }
})

/** Requests on their way when the signal comes. */
const BEFORE_SIGNAL = 200

test('SIGTERM under load: what was accepted is answered, exit code 0', async () => {
  const { child, url, exited } = await startChild()
  // Each on a connection of its own: what is refused was never accepted.
  const answers: Promise<number | string>[] = []
  const send = () => answers.push(call(`${url}/slow`).then(({ status }) => status, String))
  for (let i = 0; i < BEFORE_SIGNAL; i++) send()
  await answers[0]
  child.kill('SIGTERM')
  while (child.exitCode === null && answers.length < 5_000) {
    send()
    await answers.at(-1)
  }
  const outcomes = await Promise.all(answers)
  const early = outcomes.slice(0, BEFORE_SIGNAL)
  assert.deepEqual(
    early.filter(outcome => outcome !== 200),
    [],
  )
  const late = outcomes.slice(BEFORE_SIGNAL).filter(outcome => outcome !== 200)
  assert.deepEqual(
    late.filter(outcome => !/ECONNREFUSED|ECONNRESET|hang up/.test(String(outcome))),
    [],
  )
  assert.deepEqual(await exited, [0, null])
})

test('a second SIGTERM ends the process at once', async () => {
  const { child, url, exited } = await startChild()
  const hanging = call(`${url}/do/hang`, { method: 'POST' }).catch(() => {})
  await until(async () => (await call(`${url}/where`)).status === 200, 'it serves')
  child.kill('SIGTERM')
  await until(
    async () =>
      call(`${url}/where`).then(
        () => false,
        () => true,
      ),
    'it takes nothing more',
  )
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [130, null])
  await hanging
})

/** The project in a process of its own. */
async function startChild(): Promise<{ child: ChildProcess; url: string; exited: Promise<unknown[]> }> {
  const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, 'start', FAULTY], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', data => {
    output += data
  })
  const address = /channel\/http\/public {2}(\S+)/
  await until(() => address.test(output), 'the node has started')
  return { child, url: address.exec(output)![1]!, exited: once(child, 'exit') }
}
