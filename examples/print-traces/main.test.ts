import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { until } from '../../test/load.ts'

const FILE = fileURLToPath(new URL('main.ts', import.meta.url))
const child = spawn(process.execPath, [FILE, '0'], { stdio: ['ignore', 'pipe', 'pipe'] })
let out = ''
let err = ''
let url: string

before(async () => {
  child.stdout.on('data', data => {
    out += data
  })
  child.stderr.on('data', data => {
    err += data
  })
  await until(() => out.includes('\n'), 'it listens')
  url = /http:\S+/.exec(out)![0]
})
after(async () => {
  child.kill()
  await once(child, 'close')
})

async function send(body: string): Promise<number> {
  const response = await fetch(`${url}/v1/traces`, { method: 'POST', body })
  await response.text()
  return response.status
}

function span(spanId: string, parentSpanId: string | undefined, name: string, more: object = {}) {
  return {
    traceId: 'a1',
    spanId,
    parentSpanId,
    name,
    startTimeUnixNano: `1${spanId}`,
    attributes: [],
    ...more,
  }
}

function traces(...spans: object[]): string {
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] })
}

test('what is no trace is refused, and what is printed is no command to the terminal', async () => {
  for (const body of [
    '',
    'nonsense',
    'null',
    '{"resourceSpans":[{}]}',
    traces({}),
    traces(span('1', '', 'x')),
  ]) {
    assert.equal(await send(body), 400, body)
  }
  assert.match(err, /this is not OTLP as JSON/)
  assert.equal(await send('{"resourceMetrics":[]}'), 200)
  const end = { endTimeUnixNano: '1500012' }
  const status = [{ key: 'http.response.status_code', value: { intValue: 200 } }]
  // In two requests, as two workers send them, and out of order.
  assert.equal(await send(traces(span('3', '1', 'second', end), span('2', '1', 'first\u001b[2J', end))), 200)
  assert.equal(await send(traces(span('1', 'f', 'root', { ...end, attributes: status }))), 200)
  await until(() => out.includes('second'), 'the trace is printed')
  assert.deepEqual(out.split('\n').slice(1), [
    'trace a1',
    '  root                            1.5 ms  200',
    '    first?[2J                     1.5 ms',
    '    second                        1.5 ms',
    '',
    '',
  ])
})
