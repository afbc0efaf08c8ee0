import assert from 'node:assert/strict'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fixture } from '../fixture.ts'
import { findServer, serverTest } from './require.ts'

test('finds a program on the PATH, and only if it can be executed', () => {
  using folder = fixture({ 'good-server': '#!/bin/sh\n', 'plain-file': 'text' })
  chmodSync(join(folder.path, 'good-server'), 0o755)
  chmodSync(join(folder.path, 'plain-file'), 0o644)
  assert.equal(findServer('good-server', folder.path), join(folder.path, 'good-server'))
  assert.equal(findServer('plain-file', folder.path), undefined)
})

test('a missing server skips by name, an installed one does not', () => {
  assert.deepEqual(serverTest('no-such-server', {}), { skip: 'no-such-server is not installed' })
  assert.deepEqual(serverTest('sh', { SIGNALBOX_REQUIRE_SERVERS: '1' }), { skip: false })
})

test('a missing server fails where servers are required', () => {
  assert.throws(
    () => serverTest('no-such-server', { SIGNALBOX_REQUIRE_SERVERS: '1' }),
    /no-such-server is not installed/,
  )
})
