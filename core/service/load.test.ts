import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { SignalboxError } from '../errors.ts'
import { findServices, loadService, loadServices } from './load.ts'

const SERVICE = new URL('./service.ts', import.meta.url).href
const HELLO = `import { Service } from '${SERVICE}'\nexport default class extends Service { handle() { return 1 } }\n`

async function folderWith(t: TestContext, files: Record<string, string>): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'signalbox-load-'))
  t.after(() => rm(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    await mkdir(dirname(join(root, name)), { recursive: true })
    await writeFile(join(root, name), text)
  }
  return root
}

async function failure(root: string, file: string): Promise<SignalboxError> {
  return loadService(root, join(root, file)).then(
    () => assert.fail(`${file} was loaded`),
    error => error,
  )
}

test('service files are found below the folder, sorted; tests, declarations, private and hidden ones are not', async t => {
  const yes = ['a.ts', 'b/c.js', 'b/d.mts', 'z.mjs']
  const no = [
    'a.test.ts',
    'a.d.ts',
    'a.d.mts',
    '_x.ts',
    '_lib/y.ts',
    '.hidden/z.ts',
    'node_modules/p/i.js',
    'x.json',
  ]
  const root = await folderWith(t, Object.fromEntries([...yes, ...no].map(name => [name, HELLO])))
  assert.deepEqual(
    await findServices(root),
    yes.map(name => join(root, name)),
  )
  assert.deepEqual(await findServices(join(root, 'no-such-folder')), [])
})

test('a service has the name it gives itself, or that of its path with dots', async t => {
  const named = HELLO.replace('handle()', "static serviceName = 'my.own-name'; handle()")
  const root = await folderWith(t, { 'orders/create.ts': HELLO, 'named.ts': named })
  const names = await Promise.all(
    ['orders/create.ts', 'named.ts'].map(file => loadService(root, join(root, file))),
  )
  assert.deepEqual(
    names.map(({ name, file }) => [name, file]),
    [
      ['orders.create', join('orders', 'create.ts')],
      ['my.own-name', 'named.ts'],
    ],
  )
})

test('what is no service, or has no name that can be one, says so', async t => {
  const root = await folderWith(t, {
    'nothing.ts': 'export const a = 1\n',
    'other.ts': 'export default class Other {}\n',
    'bad name.ts': HELLO,
    'number.ts': HELLO.replace('handle()', 'static serviceName = 7; handle()'),
  })
  for (const file of ['nothing.ts', 'other.ts', 'bad name.ts', 'number.ts']) {
    const error = await failure(root, file)
    assert.deepEqual([error.code, error.details!.file], ['SIGNALBOX_SERVICE_INVALID', file], file)
    assert.ok(error.message.includes(file))
  }
})

test('what does not load is reported with file and line, whatever is wrong with it', async t => {
  const broken: [string, string, number, string?][] = [
    ['strip.ts', 'const a: number = 1\nexport default class {\n  handle( {\n}\n', 4],
    ['enum.ts', '\n\nenum Colour { Red }\n', 3],
    ['twice.ts', 'export const a: number = 1\n\nexport const a = 2\n', 3],
    ['syntax.mjs', 'const a = 1\n\nconst b = ;\n', 3],
    ['throws.ts', '\nconst a: number = 1\nexport { a }\nthrow new Error("at :99\\nor :98")\n', 4],
    ['deep.ts', 'function f(x: any) { return x.y.z }\n\nexport default f({})\n', 1],
    ['missing.ts', 'import { a } from "node:fs"\n', 1],
    ['no-file.ts', 'import fs from "node:fs"\n\nimport x from "./nowhere.ts"\nexport default [fs, x]\n', 3],
    ['no-package.ts', '\nimport x from "no-such-package-at-all/sub"\nexport default x\n', 2],
    ['uses-broken.ts', '\n\n\nimport "./syntax.mjs"\n', 3, 'syntax.mjs'],
    ['uses-throwing.ts', 'import "./_lib/throws.ts"\n', 2, join('_lib', 'throws.ts')],
  ]
  const root = await folderWith(t, {
    ...Object.fromEntries(broken.map(([file, text]) => [file, text])),
    '_lib/throws.ts': '\nthrow new Error("from the library")\nexport {}\n',
  })
  for (const [file, , line, inFile] of broken) {
    const error = await failure(root, file)
    assert.equal(error.code, 'SIGNALBOX_SERVICE_LOAD')
    assert.deepEqual(
      error.details,
      { file, line, ...(inFile && { in: inFile }) },
      `${file}: ${error.message}`,
    )
    assert.ok(error.message.startsWith(`${inFile ?? file}:${line}: `), error.message)
    assert.ok(error.cause instanceof Error)
  }
})

test('what is thrown and no error is reported as well', async t => {
  const root = await folderWith(t, { 'string.ts': 'throw "just text"\nexport {}\n' })
  const error = await failure(root, 'string.ts')
  assert.deepEqual([error.message, error.details], ['string.ts: just text', { file: 'string.ts' }])
})

test('broken files keep no other from loading; of two with one name neither runs, and both are named', async t => {
  const root = await folderWith(t, {
    'good.ts': HELLO,
    'bad.ts': 'export default 1\n',
    'x/y.ts': HELLO,
    'x.y.js': HELLO,
  })
  const { services, errors } = await loadServices(root)
  assert.deepEqual(
    services.map(({ name }) => name),
    ['good'],
  )
  assert.deepEqual(
    errors.map(({ code }) => code),
    Array(2).fill('SIGNALBOX_SERVICE_INVALID'),
  )
  assert.deepEqual(errors[1]!.details, { name: 'x.y', files: ['x.y.js', join('x', 'y.ts')] })
  assert.match(errors[1]!.message, /x\.y\.js and by x.y\.ts/)
})

test('a file whose top-level await never ends does not load, and says so', async t => {
  const root = await folderWith(t, { 'waits.ts': `await new Promise(() => {})\n${HELLO}` })
  await assert.rejects(loadService(root, join(root, 'waits.ts'), { timeoutMs: 50 }), {
    code: 'SIGNALBOX_SERVICE_LOAD',
    message: /^waits\.ts: it has not loaded within 50 ms: a top-level await/,
  })
})
