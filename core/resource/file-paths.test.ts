import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Type } from '../schema.ts'
import { filePointers, withFilePaths } from './file-paths.ts'

const Tls = Type.Object({
  ca: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
  cert: Type.Optional(Type.String()),
  key: Type.Optional(Type.String({ secret: true })),
  servername: Type.Optional(Type.String()),
})
const Options = Type.Object({
  key: Type.Optional(Type.String()),
  uploadFolder: Type.Optional(Type.String()),
  schema: Type.Optional(Type.String({ file: true })),
  tls: Type.Optional(Tls),
  hosts: Type.Optional(Type.Array(Type.Object({ tls: Tls, logFile: Type.Optional(Type.String()) }))),
  headers: Type.Optional(Type.Record(Type.String(), Type.String())),
})

const PEM = '-----BEGIN CERTIFICATE-----\n'

test('paths are what is marked, what is named so, and PEM options of tls', () => {
  const options = {
    key: 'routing.key',
    uploadFolder: 'in',
    schema: 'a.xsd',
    tls: { ca: ['a.pem', PEM], cert: 'c.pem', key: 'k.pem', servername: 'host' },
    hosts: [{ tls: { ca: 'h.pem' }, logFile: 'l' }],
    headers: { logFile: 'x' },
  }
  assert.deepEqual(filePointers(Options, options).sort(), [
    '/hosts/0/logFile',
    '/hosts/0/tls/ca',
    '/schema',
    '/tls/ca/0',
    '/tls/cert',
    '/tls/key',
    '/uploadFolder',
  ])
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is what the file says
  assert.deepEqual(filePointers(Options, { tls: { cert: PEM, key: '${secret:K}' }, uploadFolder: '' }), [])
})

test('relative paths are seen from the project, absolute ones stay, and what was given is not changed', () => {
  const options = Object.freeze({
    uploadFolder: '../in',
    tls: Object.freeze({ cert: '/etc/c.pem', key: PEM }),
  })
  const result = withFilePaths(Options, options, '/projects/shop')
  assert.deepEqual(result, { uploadFolder: '/projects/in', tls: { cert: '/etc/c.pem', key: PEM } })
  assert.equal(options.uploadFolder, '../in')
  assert.ok(Object.isFrozen(result) && Object.isFrozen(result.tls))
  const without = { key: 'x' }
  assert.equal(withFilePaths(Options, without, '/p'), without)
})
