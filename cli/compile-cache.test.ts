import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fixture } from '../test/fixture.ts'

const MODULE = new URL('./compile-cache.ts', import.meta.url).href
const PROGRAM = `
import { getCompileCacheDir } from 'node:module'
import { Worker } from 'node:worker_threads'
const { useCompileCache } = await import(${JSON.stringify(MODULE)})
useCompileCache()
await import(process.env.LOADED)
const inWorker = await new Promise(resolve => {
  const code = "import { getCompileCacheDir } from 'node:module'; import { parentPort } from 'node:worker_threads';"
  const worker = new Worker(code + 'parentPort.postMessage(getCompileCacheDir())', { eval: true })
  worker.on('message', resolve)
})
console.log(JSON.stringify({ here: getCompileCacheDir(), inWorker }))
`

interface Outcome {
  here?: string
  inWorker?: string
}

/** Runs a program that uses the cache and loads a module. */
function run(cache: string, env: Record<string, string> = {}): Outcome {
  const { NODE_COMPILE_CACHE: _, NODE_DISABLE_COMPILE_CACHE: __, ...rest } = process.env
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', PROGRAM], {
    env: { ...rest, XDG_CACHE_HOME: cache, LOADED: join(cache, 'loaded.mjs'), ...env },
    encoding: 'utf8',
  })
  return JSON.parse(output)
}

const FILES = { 'loaded.mjs': 'export default 1' }

test('code is kept in a folder of the user, from all threads', () => {
  using folder = fixture(FILES)
  const { here, inWorker } = run(folder.path)
  assert.ok(here?.startsWith(join(folder.path, 'signalbox', 'compile')), here)
  assert.equal(inWorker, here)
  assert.ok(readdirSync(here!).length > 0)
})

test('nothing is kept where others may write', () => {
  using folder = fixture({ ...FILES, 'signalbox/compile/old': '' })
  chmodSync(join(folder.path, 'signalbox', 'compile'), 0o777)
  assert.deepEqual(run(folder.path), {})
})

test('nothing is kept where there can be no folder, and the program runs', () => {
  using folder = fixture({ ...FILES, signalbox: 'a file' })
  assert.deepEqual(run(folder.path), {})
})

test('the environment has the last word', () => {
  using folder = fixture(FILES)
  assert.deepEqual(run(folder.path, { NODE_DISABLE_COMPILE_CACHE: '1' }), {})
  assert.ok(!existsSync(join(folder.path, 'signalbox')))
  const own = join(folder.path, 'own')
  assert.ok(run(folder.path, { NODE_COMPILE_CACHE: own }).here?.startsWith(own))
})

test('a folder that has grown too large is emptied', () => {
  using folder = fixture(FILES)
  const { here } = run(folder.path)
  for (let i = 0; i <= 10_000; i++) writeFileSync(join(here!, `old-${i}`), '')
  run(folder.path)
  assert.ok(readdirSync(here!).length < 100)
})
