import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import https, { type RequestOptions } from 'node:https'
import { test } from 'node:test'
import {
  clientCertificate,
  otherClientCertificate,
  serverCertificate,
  testCa,
} from '../../test/certificates/certificates.ts'
import { startAdmin } from './admin-harness.ts'

function get(port: number, options: RequestOptions): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = https.get(
      { port, host: 'localhost', path: '/health/live', agent: false, ...options },
      response => resolve(response.resume()),
    )
    request.on('error', reject)
  })
}

test('serves HTTPS with HSTS, and no old TLS', async t => {
  const { server, port, url } = await startAdmin({ tls: serverCertificate })
  t.after(() => server.close(0))
  assert.match(url, /^https:/)
  const answer = await get(port, { ca: testCa })
  assert.equal(answer.statusCode, 200)
  assert.match(String(answer.headers['strict-transport-security']), /max-age/)
  await assert.rejects(get(port, { ca: testCa, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }))
})

test('with a ca, only clients with a certificate of it are served', async t => {
  const { server, port } = await startAdmin({ tls: { ...serverCertificate, ca: testCa } })
  t.after(() => server.close(0))
  assert.equal((await get(port, { ca: testCa, ...clientCertificate })).statusCode, 200)
  await assert.rejects(get(port, { ca: testCa }))
  await assert.rejects(get(port, { ca: testCa, ...otherClientCertificate }))
})

test('a certificate that does not load is a typed error', async () => {
  await assert.rejects(startAdmin({ tls: { cert: 'x', key: 'y' } }), { code: 'SIGNALBOX_OPTIONS_INVALID' })
})
