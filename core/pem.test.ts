import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readPem } from './pem.ts'

const TEXT = '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n'
let folder: string

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'signalbox-pem-'))
})
after(() => rm(folder, { recursive: true }))

test('a text is itself, anything else the path of a file', async () => {
  assert.equal(await readPem(TEXT), TEXT)
  await writeFile(join(folder, 'ca.pem'), TEXT)
  assert.equal(await readPem(join(folder, 'ca.pem')), TEXT)
})

test('a file that cannot be read is named, with the reason', async () => {
  const path = join(folder, 'none.pem')
  await assert.rejects(readPem(path), {
    code: 'SIGNALBOX_OPTIONS_INVALID',
    message: `tls: cannot read '${path}': ENOENT: no such file or directory, open '${path}'`,
  })
})
