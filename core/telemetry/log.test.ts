import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { createLogger, setLogLevel } from './log.ts'

afterEach(() => setLogLevel('info'))

function capture(options: { level?: string; pretty?: boolean } = {}) {
  const lines: string[] = []
  const log = createLogger(
    { node: 'n1' },
    { pretty: false, destination: { write: line => lines.push(line) }, ...options },
  )
  return { log, lines }
}

test('secrets are redacted down to five levels, in data, bindings, lists and errors', () => {
  const { log, lines } = capture()
  const deep = { a: { b: { c: { password: 'hidden-1', d: { e: 'hidden-2' } } } } }
  const error = Object.assign(new Error('refused'), {
    request: { headers: { Authorization: 'hidden-3' } },
    code: 'E1',
  })
  const cause = new Error('outer', { cause: Object.assign(new Error('inner'), { token: 'hidden-4' }) })
  log
    .child({ clientSecret: 'hidden-5', cid: 'c1' })
    .error({ deep, err: error, list: [{ 'api-key': 'hidden-6' }] }, 'failed')
  log.error({ err: cause, nested: { error } }, 'again')
  const text = lines.join('')
  assert.doesNotMatch(text, /hidden/)
  const first = JSON.parse(lines[0]!)
  assert.equal(first.err.message, 'refused')
  assert.equal(first.err.code, 'E1')
  assert.equal(first.err.type, 'Error')
  assert.match(first.err.stack, /log\.test\.ts/)
  assert.deepEqual([first.node, first.cid, first.clientSecret], ['n1', 'c1', '[Redacted]'])
  assert.match(JSON.parse(lines[1]!).err.stack, /inner/)
})

test('names that only look like secrets are left alone', () => {
  const { log, lines } = capture()
  log.info(
    { tokens: 3, author: 'ann', key: 'orders', secretary: 'bo', date: new Date(0), size: Buffer.alloc(3) },
    'ok',
  )
  const { tokens, author, key, secretary, date, size } = JSON.parse(lines[0]!)
  assert.deepEqual(
    [tokens, author, key, secretary, date, size],
    [3, 'ann', 'orders', 'bo', '1970-01-01T00:00:00.000Z', '[3 bytes]'],
  )
})

test('the level changes at once, for children made before as well', () => {
  const { log, lines } = capture({ level: 'warn' })
  const child = log.child({ cid: 'c1' })
  child.info({}, 'one')
  setLogLevel('debug')
  child.debug({}, 'two')
  setLogLevel('silent')
  child.error({}, 'three')
  assert.deepEqual(
    lines.map(line => JSON.parse(line).msg),
    ['two'],
  )
  assert.throws(() => setLogLevel('loud'), { code: 'SIGNALBOX_CONFIG_INVALID', message: /'loud'.*debug/ })
  assert.throws(() => setLogLevel('constructor'), { code: 'SIGNALBOX_CONFIG_INVALID' })
})

test('pretty lines come out of a worker thread, and before it is gone', async () => {
  const { execFile } = await import('node:child_process')
  const url = new URL('./log.ts', import.meta.url).href
  const inWorker = `import { createLogger } from '${url}'; createLogger({ worker: 1 }, { pretty: true }).info({ password: 'x1' }, 'hello'); process.exit(0)`
  const main = `import { Worker } from 'node:worker_threads'; new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(inWorker)})))`
  const output = await new Promise<string>((resolve, reject) =>
    execFile(process.execPath, ['--input-type=module', '-e', main], (error, stdout, stderr) =>
      error ? reject(error) : resolve(stdout + stderr),
    ),
  )
  assert.match(output, /INFO.*: .*hello/)
  assert.match(output, /password: "\[Redacted\]"/)
})
