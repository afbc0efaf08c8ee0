import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { siblingModule } from './module-url.ts'

test('takes the extension of the base', () => {
  assert.equal(siblingModule('file:///a/core/host.ts', './entry').href, 'file:///a/core/entry.ts')
  assert.equal(siblingModule('file:///a/dist/core/host.js', './entry').href, 'file:///a/dist/core/entry.js')
  assert.equal(siblingModule('file:///a/x.y/host.js', '../b/entry').href, 'file:///a/b/entry.js')
})

test('ignores a query, with which a module is loaded anew', () => {
  assert.equal(siblingModule('file:///a/host.ts?version=1.2', './entry').href, 'file:///a/entry.ts')
})

test('finds a file of this folder', () => {
  assert.ok(existsSync(siblingModule(import.meta.url, './module-url')))
})
