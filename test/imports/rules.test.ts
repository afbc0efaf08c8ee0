import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { fixture } from '../fixture.ts'
import { checkImports } from './rules.ts'

function check(files: Record<string, string>): string[] {
  using folder = fixture(files)
  return checkImports(folder.path).map(({ file, line, rule }) => `${file}:${line}: ${rule}`)
}

test('this repository obeys the rule', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  assert.deepEqual(checkImports(root), [])
})

test('allows what the design allows', () => {
  const violations = check({
    'core/a.ts': `import './b.ts'\nimport 'pino'\nimport data from '../package.json' with { type: 'json' }`,
    'core/b.ts': `import type { A } from './a.ts'`,
    'core/b.test.ts': `import '../test/fixture.ts'`,
    'actors/host.ts': `import '../core/a.ts'\nimport './other.ts'`,
    'transports/index.ts': `import './http/index.ts'`,
    'transports/http/index.ts': `import './deep/channel.ts'\nimport '../../core/a.ts'`,
    'transports/http/deep/channel.ts': `import '../options.ts'`,
    'transports/http/bench.ts': `import '../../bench/measure.ts'`,
    'transports/http/conformance.test.ts': `import '../../test/conformance/transport.ts'`,
    'transports/http/http.test.ts': `import './http-harness.ts'\nnew URL('../../examples/', import.meta.url)`,
    'transports/http/http-harness.ts': `import '../../test/fixture.ts'\nimport './peer-test-kit.ts'`,
    'cli/main.ts': `import '../actors/host.ts'\nimport '../transports/index.ts'\nimport '../bench/run.ts'`,
    'test/run.ts': `import '../cli/main.ts'\nimport 'signalbox'`,
    'bench/run.ts': `import '../test/fixture.ts'\nimport '../transports/http/index.ts'`,
    'examples/hub/services/a.ts': `import { Service } from 'signalbox'\nimport 'node:fs'\nimport 'lodash'\nimport '../lib/b.ts'`,
    'actors/a.test.ts': `import '../transports/memory/index.ts'`,
    'examples/hub/hub.test.ts': `import { test } from 'signalbox/test'\nimport '../../test/fixture.ts'`,
  })
  assert.deepEqual(violations, [])
})

const FORBIDDEN: [file: string, source: string, rule: RegExp][] = [
  ['core/a.ts', `import '../actors/b.ts'`, /core imports no other folder/],
  ['core/a.ts', `import type { T } from '../transports/http/options.ts'`, /core imports no other folder/],
  ['core/a.ts', `await import('../cli/main.ts')`, /core imports no other folder/],
  ['core/a.ts', `new URL('../cli/boot.ts', import.meta.url)`, /core imports no other folder/],
  ['core/a.ts', `import 'signalbox'`, /import the file itself/],
  ['core/a.ts', `import '../../elsewhere.ts'`, /nothing outside the package/],
  ['core/a.test.ts', `import '../actors/b.ts'`, /core imports no other folder/],
  ['core/a.ts', `import '../test/fixture.ts'`, /only test, bench, /],
  ['cli/main.ts', `import '../test/fixture.ts'`, /only test, bench, /],
  ['core/a.ts', `import './a-harness.ts'`, /only tests import core\/a-harness\.ts/],
  ['core/a.ts', `import './peer-test-kit.ts'`, /only tests import/],
  [
    'core/a.ts',
    `siblingModule(import.meta.url, '../cli/boot')`,
    /core imports no other folder, not cli\/boot\.ts/,
  ],
  ['actors/a.ts', `import '../transports/http/index.ts'`, /actors imports only core and itself/],
  ['transports/http/a.ts', `import '../../actors/b.ts'`, /transports imports only core and itself/],
  ['transports/http/a.ts', `import '../amqp/client.ts'`, /no transport imports another/],
  ['transports/http/a.ts', `import '../index.ts'`, /no transport imports another/],
  ['transports/http/a.ts', `import '../../bench/run.ts'`, /transports imports only core and itself/],
  ['examples/hub/a.ts', `import '../../core/a.ts'`, /an example imports only/],
  ['examples/hub/a.ts', `import '../other/a.ts'`, /an example imports only/],
]

for (const [file, source, rule] of FORBIDDEN) {
  test(`forbids ${source} in ${file}`, () => {
    const violations = check({ [file]: `// first line\n${source}` })
    assert.equal(violations.length, 1)
    assert.ok(violations[0]?.startsWith(`${file}:2: `))
    assert.match(violations[0] ?? '', rule)
  })
}

test('reports a cycle inside core with its path, but none of types or of other threads', () => {
  const cycle = check({
    'core/a.ts': `import './b.ts'`,
    'core/b.ts': `\nimport './c.ts'`,
    'core/c.ts': `export * from './a.ts'`,
    'core/d.ts': `import './a.ts'`,
  })
  assert.deepEqual(cycle, [
    'core/c.ts:1: core has no import cycles: core/a.ts -> core/b.ts -> core/c.ts -> core/a.ts',
  ])
  const harmless = check({
    'core/host.ts': `new URL('./entry.ts', import.meta.url)\nimport type { T } from './types.ts'`,
    'core/entry.ts': `import './host.ts'`,
    'core/types.ts': `import './host.ts'`,
  })
  assert.deepEqual(harmless, [])
})

test('the command prints file, line and rule, and exits with 1', () => {
  using folder = fixture({ 'core/a.ts': `import '../cli/main.ts'` })
  const script = fileURLToPath(new URL('../import-rule.ts', import.meta.url))
  const { status, stderr } = spawnSync(process.execPath, [script], { cwd: folder.path, encoding: 'utf8' })
  assert.equal(status, 1)
  assert.equal(stderr, 'core/a.ts:1: core imports no other folder, not cli/main.ts\n')
})
