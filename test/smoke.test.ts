import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fixture } from './fixture.ts'
import { freePort } from './free-port.ts'

const SMOKE = fileURLToPath(new URL('smoke.ts', import.meta.url))
const INVOICE = '<Invoice xmlns:cbc="x"><cbc:ID>INV-7</cbc:ID></Invoice>'
const SCRIPTS = '{"type":"module","scripts":{"start":"node cli/main.ts"}}'

/** A bus so small that only the smoke run believes in it. */
function bus(answer: string, exitCode: number): string {
  return `import { createServer } from 'node:http'
    const server = createServer((request, response) => {
      request.resume().on('end', () => response.end(request.url === '/hello' ? 'hi' : '${answer}'))
    }).listen(Number(new URL(process.env.SIGNALBOX_SMOKE_URL).port), '127.0.0.1')
    process.on('SIGTERM', () => process.exit(${exitCode}))`
}

const CASES: [name: string, main: string, status: number, output: RegExp][] = [
  ['passes when all is well', bus('{"number":"INV-7"}', 0), 0, /took an invoice and stopped/],
  ['fails on a wrong number', bus('{"number":"INV-8"}', 0), 1, /number INV-8 instead of INV-7/],
  ['fails on a wrong exit code', bus('{"number":"INV-7"}', 3), 1, /should exit with 0, but: 3/],
  ['fails when the bus does not start', 'process.exit(4)', 1, /ended before it answered: 4/],
]

function smoke(cwd: string, url: string) {
  const env = { ...process.env, SIGNALBOX_SMOKE_URL: url }
  return spawnSync(process.execPath, [SMOKE], { cwd, env, encoding: 'utf8', timeout: 60_000 })
}

test('the smoke run', { skip: existsSync('/proc/self/stat') ? false : 'needs /proc' }, async t => {
  for (const [name, main, status, output] of CASES) {
    await t.test(name, async () => {
      using folder = fixture({
        'package.json': SCRIPTS,
        'cli/main.ts': main,
        'examples/invoice-hub/data/en16931/ubl-tc434-example1.xml': INVOICE,
      })
      const run = smoke(folder.path, `http://127.0.0.1:${await freePort()}`)
      assert.match(run.stdout + run.stderr, output)
      assert.equal(run.status, status)
    })
  }
})
