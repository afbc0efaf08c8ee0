import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseOptions } from '../../core/schema.ts'
import { HttpChannel } from './channel.ts'
import { HttpChannelOptions, type HttpChannelSettings } from './channel-options.ts'
import { eventually, RawClient, startChannel, testContext } from './testing.ts'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const settings = (options: object) => parseOptions<HttpChannelSettings>(HttpChannelOptions, options, 'test')
const accept = async () => ({ payload: 'ok', headers: {}, cid: '' })

test('drain answers what is in flight and what comes on open connections, and accepts no new ones', async t => {
  const release = Promise.withResolvers<void>()
  const { channel, port, received } = await startChannel(
    t,
    { timeouts: { keepAliveMs: 2_000 } },
    async message => {
      if (message.attributes.path === '/slow') await release.promise
      return { payload: 'done' }
    },
  )
  const busy = new RawClient(t, port)
  const idle = new RawClient(t, port)
  const used = new RawClient(t, port)
  await idle.send(GET).untilText('done')
  await used.send(GET).untilText('done')
  busy.send(GET.replace('/', '/slow'))
  await eventually(() => received.length === 3, 'three requests')
  let drained = false
  const draining = channel.drain().then(() => {
    drained = true
  })
  let listening = true
  while (listening) {
    listening = await channel.ping().then(
      () => true,
      () => false,
    )
  }
  used.text = ''
  await used.send(GET).untilClosed()
  assert.match(used.text, /HTTP\/1\.1 200[\s\S]*connection: close[\s\S]*done/i)
  const late = net.connect(port, '127.0.0.1')
  await new Promise(resolve => late.once('error', resolve))
  await idle.untilClosed()
  assert.equal(drained, false)
  release.resolve()
  await busy.untilClosed()
  assert.match(busy.text, /connection: close[\s\S]*done/i)
  await draining
  await channel.drain()
})

test('requests behind an answer that closes the connection are not acted upon', async t => {
  const { port, received } = await startChannel(t, { limits: { maxBodyBytes: 10 } })
  const client = new RawClient(t, port)
  client.send(`POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n${GET}${GET}`)
  await client.untilClosed()
  assert.equal(client.status, 501)
  assert.equal(received.length, 0)
})

test('drain ends event streams', async t => {
  const { channel, port } = await startChannel(t, { routes: [{ path: '/', sse: true }] }, () => ({
    payload: (async function* () {
      yield 'first'
      await new Promise(() => undefined)
    })(),
  }))
  const client = new RawClient(t, port)
  await client.send(GET).untilText('data: first')
  await channel.drain()
  await client.untilClosed()
  assert.match(client.text, /0\r\n\r\n$/)
})

test('close is idempotent, ends everything, and works at any time', async t => {
  const { channel, port } = await startChannel(t, {}, () => new Promise(() => undefined))
  const client = new RawClient(t, port)
  client.send(GET)
  await client.until(() => client.socket.bytesWritten > 0, 'request')
  await Promise.all([channel.close(), channel.close()])
  await client.untilClosed()
  await channel.close()
  await assert.rejects(channel.ping(), { code: 'SIGNALBOX_NOT_CONNECTED' })
  await assert.rejects(channel.connect(accept), { code: 'SIGNALBOX_USAGE' })
  const never = new HttpChannel(settings({ port: 0 }), testContext())
  await never.close()
  for (const host of ['127.0.0.1', 'localhost']) {
    const early = new HttpChannel(settings({ port: 0, host }), testContext())
    const connecting = early.connect(accept)
    await early.close()
    await assert.rejects(connecting, { code: 'SIGNALBOX_CANCELLED' })
    await assert.rejects(early.ping(), { code: 'SIGNALBOX_NOT_CONNECTED' })
  }
})

test('a port that is taken is a typed, retryable error; reusePort shares it', async t => {
  const { port } = await startChannel(t, { reusePort: false })
  const other = new HttpChannel(settings({ port, reusePort: false }), testContext())
  await assert.rejects(other.connect(accept), { code: 'SIGNALBOX_LISTEN_FAILED', retryable: true })
  await other.close()
  if (process.platform !== 'linux') return
  const shared = await startChannel(t, {})
  const second = new HttpChannel(settings({ port: shared.port }), testContext())
  t.after(() => second.close())
  await second.connect(accept)
  await second.ping()
})

test('endpoint and ping tell where it listens', async t => {
  const { channel, port } = await startChannel(t, { host: '0.0.0.0' })
  assert.equal(channel.endpoint(), `http://0.0.0.0:${port}`)
  await channel.ping()
  assert.equal(
    new HttpChannel(settings({ port: 7710, host: '::1' }), testContext()).endpoint(),
    'http://[::1]:7710',
  )
})

test('routes, CORS and limits change while connections stay; host and port need a new instance', async t => {
  const { channel, port } = await startChannel(t, { routes: [{ path: '/' }] }, () => ({ payload: 'served' }))
  const client = new RawClient(t, port)
  await client.send(GET).untilText('served')
  const next = { port: 0, routes: [{ path: '/new' }], limits: { maxBodyBytes: 5 }, cors: { origins: ['*'] } }
  assert.equal(await channel.reconfigure(next), true)
  client.text = ''
  await client.send(GET).untilText('404')
  await client.untilText('SIGNALBOX_NOT_FOUND')
  client.text = ''
  await client
    .send(GET.replace('/ ', '/new ').replace('\r\n\r\n', '\r\norigin: https://x.example\r\n\r\n'))
    .untilText('served')
  assert.match(client.text, /access-control-allow-origin: \*/)
  await assert.rejects(channel.reconfigure({ port: 0, routes: [{ path: '/a' }, { path: '/a' }] }), {
    code: 'SIGNALBOX_OPTIONS_INVALID',
  })
  client.text = ''
  await client.send(GET.replace('/ ', '/new ')).untilText('served')
  for (const change of [
    { port: 1 },
    { host: '0.0.0.0' },
    { tls: { cert: 'a', key: 'b' } },
    { limits: { maxHeaderBytes: 2000 } },
  ]) {
    assert.equal(await channel.reconfigure({ port: 0, ...change }), false)
  }
})

/** A certificate authority and what it signed, made by openssl in a temporary folder. */
function certificates(t: TestContext) {
  const dir = mkdtempSync(path.join(tmpdir(), 'signalbox-tls-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-days',
    '2',
    '-subj',
    '/CN=Test CA',
  )
  const sign = (name: string, subject: string) => {
    openssl(
      'req',
      ...newKey,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      subject,
      '-addext',
      'subjectAltName=IP:127.0.0.1',
    )
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-out',
      `${name}.pem`,
      '-days',
      '2',
      '-copy_extensions',
      'copy',
    )
    return { cert: path.join(dir, `${name}.pem`), key: path.join(dir, `${name}.key`) }
  }
  return {
    ca: path.join(dir, 'ca.pem'),
    server: sign('server', '/CN=one'),
    renewed: sign('renewed', '/CN=two'),
    client: sign('client', '/CN=partner'),
  }
}

function httpsGet(url: string, options: https.RequestOptions): Promise<{ text: string; subject: string }> {
  return new Promise((resolve, reject) => {
    const request = https.get(url, { agent: false, ...options }, response => {
      const subject = (response.socket as import('node:tls').TLSSocket).getPeerCertificate().subject.CN
      let text = ''
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve({ text, subject: String(subject) }))
    })
    request.on('error', reject)
  })
}

test('TLS: mutual authentication tells the subject, and certificates are renewed live', async t => {
  const pki = certificates(t)
  const ca = readFileSync(pki.ca)
  const tls = { ...pki.server, ca: pki.ca, requestClientCert: true }
  const { url, channel } = await startChannel(t, { tls }, message => ({
    payload: message.attributes.clientCertificate,
  }))
  assert.match(url, /^https:/)
  await channel.ping()
  const client = { ca, cert: readFileSync(pki.client.cert), key: readFileSync(pki.client.key) }
  const answer = await httpsGet(url, client)
  assert.equal(answer.subject, 'one')
  const certificate = JSON.parse(answer.text)
  assert.equal(certificate.subject.CN, 'partner')
  assert.equal(certificate.authorized, true)
  await assert.rejects(httpsGet(url, { ca }))
  await assert.rejects(httpsGet(url, { ...client, maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' }))
  assert.equal(await channel.reconfigure({ port: 0, tls: { ...tls, ...pki.renewed } }), true)
  assert.equal((await httpsGet(url, client)).subject, 'two')
  const pem = { cert: readFileSync(pki.server.cert, 'utf8'), key: readFileSync(pki.server.key, 'utf8') }
  const plain = await startChannel(t, { tls: pem }, () => ({ payload: 'x' }))
  assert.equal((await httpsGet(plain.url, { ca })).text, 'x')
  await assert.rejects(startChannel(t, { tls: { cert: '/does/not/exist', key: 'x' } }), {
    code: 'SIGNALBOX_OPTIONS_INVALID',
  })
  await assert.rejects(startChannel(t, { tls: { ...pem, cert: '-----BEGIN nonsense' } }), {
    code: 'SIGNALBOX_OPTIONS_INVALID',
  })
})
