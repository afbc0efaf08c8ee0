import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import {
  otherCa,
  serverCertificate,
  testCa,
  untrustedCertificate,
  wrongHostCertificate,
} from './certificates.ts'

test('the test certificates verify where they should, and only there', () => {
  const server = new X509Certificate(serverCertificate.cert)
  const untrusted = new X509Certificate(untrustedCertificate.cert)
  const ca = new X509Certificate(testCa)
  assert.equal(server.verify(ca.publicKey), true)
  assert.equal(untrusted.verify(ca.publicKey), false)
  assert.equal(untrusted.verify(new X509Certificate(otherCa).publicKey), true)
  assert.equal(server.checkHost('localhost'), 'localhost')
  assert.equal(server.checkIP('127.0.0.1'), '127.0.0.1')
  assert.equal(new X509Certificate(wrongHostCertificate.cert).checkHost('localhost'), undefined)
  assert.ok(server.validToDate.getTime() > Date.now() + 365 * 86_400_000, 'make them again: see make.sh')
})
