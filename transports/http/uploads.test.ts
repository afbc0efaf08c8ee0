import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { DEADLINE_MS, RawClient, startChannel } from './testing.ts'
import { type MultipartPayload, sanitizeFilename } from './uploads.ts'

async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(path.join(tmpdir(), 'signalbox-test-'))
  t.after(() => rm(made, { recursive: true, force: true }))
  return made
}

async function filesIn(dir: string): Promise<string[]> {
  const names = await readdir(dir, { recursive: true, withFileTypes: true })
  return names.filter(entry => entry.isFile()).map(entry => entry.name)
}

/** Files are removed just after the answer was sent, so a test waits for it. */
async function untilFiles(dir: string, count: number): Promise<void> {
  const end = performance.now() + DEADLINE_MS
  for (let names = await filesIn(dir); names.length !== count; names = await filesIn(dir)) {
    assert.ok(performance.now() < end, `${names.length} files are there, not ${count}`)
  }
}

test('fields and files arrive, files private and on disk until the request is settled', async t => {
  const uploadFolder = await folder(t)
  let seen: { text: string; mode: number; folderMode: number } | undefined
  const { url, received, channel } = await startChannel(t, { uploadFolder }, async message => {
    const [file] = (message.payload as MultipartPayload).files
    const mode = (await stat(file!.path)).mode & 0o777
    const folderMode = (await stat(path.dirname(file!.path))).mode & 0o777
    seen = { text: await readFile(file!.path, 'utf8'), mode, folderMode }
    return { payload: 'ok' }
  })
  const form = new FormData()
  form.append('a', '1')
  form.append('b', 'x')
  form.append('b', 'y')
  form.append('doc', new Blob(['<xml/>'], { type: 'application/xml' }), '../../etc/passwd')
  const response = await fetch(url, { method: 'POST', body: form })
  assert.equal(await response.text(), 'ok')
  const payload = received[0]?.payload as MultipartPayload
  assert.deepEqual({ ...payload.fields }, { a: '1', b: ['x', 'y'] })
  const [file] = payload.files
  assert.deepEqual(
    { ...file, path: '' },
    { name: 'doc', filename: 'passwd', mediaType: 'application/xml', path: '', bytes: 6 },
  )
  assert.deepEqual(seen, { text: '<xml/>', mode: 0o600, folderMode: 0o700 })
  assert.ok(file!.path.startsWith(uploadFolder))
  await untilFiles(uploadFolder, 0)
  await channel.close()
  assert.deepEqual(await readdir(uploadFolder), [])
})

test('a compressed multipart body is read too', async t => {
  const { url, received } = await startChannel(t, { uploadFolder: await folder(t) })
  const body = zlib.gzipSync('--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n')
  const headers = { 'content-type': 'multipart/form-data; boundary=b', 'content-encoding': 'gzip' }
  const response = await fetch(url, { method: 'POST', body: new Uint8Array(body), headers })
  assert.equal(response.status, 200)
  assert.deepEqual({ ...(received[0]!.payload as MultipartPayload).fields }, { a: '1' })
})

test('100,000 parts are refused early, and the limits on fields, sizes and names hold', async t => {
  const uploadFolder = await folder(t)
  const limits = {
    maxParts: 50,
    maxFields: 20,
    maxFieldBytes: 100,
    maxBodyBytes: 20_000_000,
    uploadExtensions: ['.xml'],
  }
  const { url, received } = await startChannel(t, { uploadFolder, limits })
  const send = (parts: string[]) =>
    fetch(url, {
      method: 'POST',
      body: `${parts.map(part => `--b\r\n${part}\r\n`).join('')}--b--\r\n`,
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
    })
  const field = (name: string, value: string) =>
    `content-disposition: form-data; name="${name}"\r\n\r\n${value}`
  const file = (name: string, filename: string, text: string) =>
    `content-disposition: form-data; name="${name}"; filename="${filename}"\r\ncontent-type: text/plain\r\n\r\n${text}`
  assert.equal((await send(Array(100_000).fill(file('f', 'a.xml', 'x')))).status, 413)
  assert.equal((await send(Array(21).fill(field('a', 'x')))).status, 413)
  assert.equal((await send([field('a', 'x'.repeat(101))])).status, 413)
  assert.equal((await send([field('__proto__', 'x')])).status, 400)
  assert.equal((await send([file('__proto__', 'a.xml', 'x')])).status, 400)
  assert.equal((await send([file('f', 'a.exe', 'x')])).status, 415)
  assert.equal((await send([field('a', 'x').slice(0, 20)])).status < 500, true)
  const noBoundary = { 'content-type': 'multipart/form-data' }
  assert.equal((await fetch(url, { method: 'POST', body: 'x', headers: noBoundary })).status, 400)
  assert.equal((await send([file('f', 'a.xml', 'x')])).status, 200)
  assert.equal(({} as Record<string, unknown>).x, undefined)
  assert.ok(received.length <= 2)
  await untilFiles(uploadFolder, 0)
})

test('an upload that breaks off leaves no file behind', async t => {
  const uploadFolder = await folder(t)
  const { port, received } = await startChannel(t, { uploadFolder })
  const client = new RawClient(t, port)
  client.send(
    'POST / HTTP/1.1\r\nhost: a\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 100000\r\n\r\n',
  )
  client.send(`--b\r\ncontent-disposition: form-data; name="f"; filename="a"\r\n\r\n${'x'.repeat(50_000)}`)
  await untilFiles(uploadFolder, 1)
  client.socket.destroy()
  await untilFiles(uploadFolder, 0)
  assert.equal(received.length, 0)
})

test('file names lose folders, drives, control and direction characters', () => {
  assert.equal(sanitizeFilename('C:\\windows\\system.ini'), 'system.ini')
  assert.equal(sanitizeFilename('c:x.txt'), 'x.txt')
  assert.equal(sanitizeFilename('..'), 'file')
  assert.equal(sanitizeFilename('a\0\r\n\u202etxt.exe'), 'atxt.exe')
  assert.equal(sanitizeFilename(''), 'file')
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary', maxLength: 400 }), fc.constantFrom('../x', '..\\x', '/')),
      name => {
        const clean = sanitizeFilename(name)
        assert.equal(path.dirname(path.join('/root', clean)), '/root')
        assert.ok(clean.length > 0 && Buffer.byteLength(clean) <= 255 && !/[/\\\0\r\n]/.test(clean))
      },
    ),
    { numRuns: 10_000 },
  )
})
