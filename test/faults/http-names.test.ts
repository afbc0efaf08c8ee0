/** File names of senders: whatever they are, nothing is read or written outside the folders meant for it. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { type RunningProject, startProject } from '../../cli/start.ts'
import { HostileBus } from '../hostile-bus.ts'
import { until } from '../load.ts'

const NAMES = Number(process.env.SIGNALBOX_NAMES ?? 10_000)
const FILES_PER_REQUEST = 50
const SEED = 20
const CORE = new URL('../../core/index.ts', import.meta.url).href

const CORPUS = [
  '../evil',
  '../../../../../../etc/passwd',
  '..\\..\\evil',
  '/etc/passwd',
  '//etc/passwd',
  '/tmp/evil',
  './evil',
  'a/../../evil',
  '....//evil',
  '%2e%2e/evil',
  '%2e%2e%2fevil',
  '..%2fevil',
  '..%5cevil',
  '%252e%252e%252fevil',
  '..%c0%afevil',
  '%00',
  '\u2025/evil',
  '\uff0e\uff0e/evil',
  '..\u2215evil',
  '..\u2044evil',
  'a\0.txt',
  '\0',
  '../evil\0.txt',
  'a\r\nx: y',
  'a\nb',
  '\r',
  '\x7f',
  '\x1b[2J',
  'C:\\Windows\\evil',
  'c:evil',
  'C:/evil',
  '\\\\server\\share\\evil',
  '//server/share/evil',
  '\\\\?\\C:\\evil',
  '\\\\.\\pipe\\evil',
  'CON',
  'NUL',
  'aux.txt',
  'COM1',
  'LPT1.ts',
  '.',
  '..',
  '...',
  '',
  ' ',
  '. ',
  '.. ',
  '~',
  '~/evil',
  '~root/evil',
  '$HOME/evil',
  '$(touch evil)',
  '`touch evil`',
  '|touch evil',
  ';touch evil',
  '-rf',
  '--help',
  '*',
  '?',
  '.htaccess',
  '.bashrc',
  '.git/config',
  'signalbox.yaml',
  '../signalbox.yaml',
  'evil.ts',
  '../services/evil.ts',
  '__proto__',
  'constructor',
  'a'.repeat(300),
  'a'.repeat(5_000),
  '../'.repeat(500),
  'é'.repeat(200),
  '\u202egnp.exe',
  '\ufeff',
  'e\u0301',
  '😀'.repeat(100),
  'a\u0300'.repeat(200),
  'file:///etc/passwd',
  'http://a/evil',
  'inside/link/evil',
  'link',
  'link/evil',
  'a"b',
  "a'b",
  'a;b=c',
  'a\\',
]

const segment = fc.oneof(
  fc.constantFrom(
    '..',
    '.',
    '...',
    '',
    '%2e%2e',
    '%2f',
    '~',
    'link',
    'C:',
    'evil',
    'CON',
    '\0',
    '..\0',
    ' ..',
    '.. ',
    '\uff0e\uff0e',
    'services',
    'evil.ts',
    '_x.ts',
  ),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ maxLength: 60 }),
)
const separator = fc.constantFrom('/', '\\', '//', '%2f', '%5c', '/./', '\u2215', '\0')
const made = fc
  .tuple(
    fc.constantFrom('', '/', '\\', 'C:\\', '\\\\'),
    fc.array(fc.tuple(segment, separator), { minLength: 1, maxLength: 6 }),
    fc.constantFrom('', 'evil', '.ts', 'evil.ts', '.txt'),
  )
  .map(([start, parts, end]) => start + parts.flat().join('') + end)

function names(count: number): string[] {
  return [...CORPUS, ...fc.sample(made, { numRuns: Math.max(0, count - CORPUS.length), seed: SEED })]
}

/** Everything below a folder, with the content of files. */
async function tree(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const found: Record<string, string> = {}
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    found[path] = entry.isFile()
      ? await readFile(path, 'latin1')
      : entry.isDirectory()
        ? '(folder)'
        : '(other)'
  }
  return found
}

test(`${NAMES} names of uploads: all files are in the private folder, which is empty afterwards`, async t => {
  const bus = await HostileBus.start()
  try {
    // What a name could lead to lies around the folder of the uploads.
    await writeFile(join(bus.uploads, 'canary'), 'alive')
    await symlink(bus.uploads, join(bus.uploads, 'link'))
    const before = await tree(bus.uploads)
    const all = names(NAMES)
    let seen = 0
    await bus.under(t, async () => {
      for (let i = 0; i < all.length; i += FILES_PER_REQUEST) {
        const batch = all.slice(i, i + FILES_PER_REQUEST)
        const response = await fetch(`${bus.url}/upload`, {
          method: 'POST',
          headers: { 'content-type': 'multipart/form-data; boundary=0b1d' },
          body: new Uint8Array(multipart(batch)),
        })
        const text = await response.text()
        assert.ok(response.status === 200 || response.status === 400, `${response.status}: ${text}`)
        if (response.status === 400) continue
        const { files } = JSON.parse(text) as {
          files: { filename: string; path: string; real: string; mode: number }[]
        }
        seen += files.length
        for (const { filename, path, real, mode } of files) {
          assert.match(path, new RegExp(`^${bus.uploads}/signalbox-uploads-[^/]+/[0-9a-f-]{36}$`))
          assert.equal(real, path)
          assert.equal(mode, 0o600)
          assert.ok(isPlain(filename), JSON.stringify(filename))
        }
      }
    })
    t.diagnostic(`${seen} files were taken`)
    assert.ok(seen > NAMES / 2, `only ${seen} files were taken`)
    const left = async () => {
      const after = await tree(bus.uploads)
      for (const path of Object.keys(after)) if (/signalbox-uploads-[^/]+$/.test(path)) delete after[path]
      return after
    }
    await until(
      async () => Object.keys(await left()).length === Object.keys(before).length,
      'uploads are removed',
    )
    assert.deepEqual(await left(), before)
  } finally {
    await bus.stop()
  }
})

/** What may be shown, and used as the last part of a path. */
function isPlain(name: string): boolean {
  return (
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    !/[/\\\p{Cc}]/u.test(name) &&
    Buffer.byteLength(name) <= 255
  )
}

/** Parts whose names are given plainly, quoted as browsers do, or as RFC 8187 has it. */
function multipart(filenames: string[]): Buffer {
  const parts = filenames.flatMap((name, i) => {
    const extended = i % 3 === 2
    const plain = name.replace(/["\r\n]/g, encodeURIComponent)
    const given = extended
      ? `filename*=UTF-8''${encodeURIComponent(name.toWellFormed())}`
      : `filename="${plain}"`
    return [
      `--0b1d\r\ncontent-disposition: form-data; name="f${i}"; ${given}\r\ncontent-type: text/plain\r\n\r\nx\r\n`,
    ]
  })
  return Buffer.from(`${parts.join('')}--0b1d--\r\n`)
}

let outside: string
let project: RunningProject

before(async () => {
  outside = await mkdtemp(join(tmpdir(), 'signalbox-names-'))
  const root = join(outside, 'project')
  await mkdir(join(root, 'services'), { recursive: true })
  await writeFile(join(outside, 'canary.ts'), 'export const alive = true\n')
  await writeFile(join(root, 'signalbox.yaml'), 'workers: 1\n')
  await writeFile(join(root, 'services', 'first.ts'), source)
  project = await startProject(root, { workers: 1 })
})
after(async () => {
  await project?.stop(1_000)
  if (outside) await rm(outside, { recursive: true, force: true })
})

const source = `import { Service } from '${CORE}'\nexport default class extends Service { handle() { return 1 } }\n`

test(`${NAMES} names of services: nothing is deployed outside the folder`, async t => {
  const services = join(outside, 'project', 'services')
  const before = await tree(outside)
  let refused = 0
  const accepted: string[] = []
  for (const name of names(NAMES)) {
    // What does not load is not written; names alone decide about the place.
    await project.deployer.deploy(name, 'export const nothing = 1\n').then(
      () => accepted.push(name),
      (error: { code?: string }) => {
        const { code } = error
        if (code === 'SIGNALBOX_SERVICE_INVALID' || code === 'SIGNALBOX_SERVICE_LOAD') accepted.push(name)
        else assert.equal(code, 'SIGNALBOX_USAGE', `${JSON.stringify(name)}: ${error}`)
        refused++
      },
    )
    await assert.rejects(project.deployer.remove(name), { name: 'SignalboxError' }, JSON.stringify(name))
  }
  assert.equal(refused, NAMES)
  t.diagnostic(
    `${accepted.length} names were possible: ${accepted.slice(0, 5).map(name => JSON.stringify(name))}`,
  )
  const left = await tree(outside)
  for (const path of Object.keys(left))
    if (path.startsWith(`${services}/`) && left[path] === '(folder)') delete left[path]
  assert.deepEqual(left, before)
})

test('a link in the place of a service file is replaced, not written through', async () => {
  const canary = join(outside, 'canary.ts')
  const link = join(outside, 'project', 'services', 'canary.ts')
  await symlink(canary, link)
  try {
    await project.deployer.deploy('canary.ts', source)
    assert.equal(await readFile(canary, 'utf8'), 'export const alive = true\n')
  } finally {
    await rm(link, { force: true })
  }
})
