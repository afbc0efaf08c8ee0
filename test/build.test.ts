/** Builds the package, packs it, unpacks it where npm would, and uses it as a stranger would. No network. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { siblingModule } from '../core/module-url.ts'
import { fixture } from './fixture.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SERVICE = `
import { Service, type Static, Type } from 'signalbox'

const Input = Type.Object({ name: Type.String() })

export default class Hello extends Service<Static<typeof Input>> {
  static override input = Input
  async handle(): Promise<string> {
    // @ts-expect-error: the schema has no such property
    const mistake: unknown = this.request.payload.nmae
    return 'Hello ' + (this.request.payload.name satisfies string) + mistake
  }
}
`
const TSCONFIG = {
  compilerOptions: {
    module: 'nodenext',
    target: 'es2024',
    types: ['node'],
    strict: true,
    noEmit: true,
    erasableSyntaxOnly: true,
    allowImportingTsExtensions: true,
    skipLibCheck: false,
  },
  include: ['*.ts'],
}

const project = fixture({
  'package.json': '{"type":"module","private":true}',
  'tsconfig.json': JSON.stringify(TSCONFIG),
  'hello.ts': SERVICE,
})
const installed = join(project.path, 'node_modules/signalbox')
let manifest: {
  exports: Record<string, string | { types: string; default: string }>
  bin: Record<string, string>
  dependencies: Record<string, string>
}

before(() => {
  const out = join(project.path, 'dist')
  execFileSync(process.execPath, [join(ROOT, 'cli/build.ts'), '--out', out], { stdio: 'pipe' })
  const packed = execFileSync('npm', ['pack', '--json', '--pack-destination', project.path], {
    cwd: out,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const { filename } = Object.values(JSON.parse(packed) as Record<string, { filename: string }>)[0]!
  mkdirSync(installed, { recursive: true })
  execFileSync('tar', ['-xzf', join(project.path, filename), '-C', installed, '--strip-components=1'])
  manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'))
  for (const name of [...Object.keys(manifest.dependencies), '@types/node', 'undici-types']) {
    const link = join(project.path, 'node_modules', name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', name), link)
  }
})

after(() => project[Symbol.dispose]())

function node(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: project.path,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

test('a service in TypeScript loads the installed package', () => {
  const script = `const { default: Hello } = await import('./hello.ts')
    const { Service } = await import('signalbox')
    console.log(Hello.name, Hello.prototype instanceof Service)`
  assert.deepEqual(node('--input-type=module', '-e', script), {
    status: 0,
    stdout: 'Hello true\n',
    stderr: '',
  })
})

test('every entry of the package loads and has declarations', () => {
  assert.ok('.' in manifest.exports)
  for (const [name, target] of Object.entries(manifest.exports)) {
    if (typeof target === 'string') continue
    assert.ok(existsSync(join(installed, target.types)), target.types)
    const specifier = join('signalbox', name)
    const { status, stderr } = node('--input-type=module', '-e', `await import('${specifier}')`)
    assert.equal(status, 0, `${specifier}: ${stderr}`)
  }
})

test('a consumer type-checks against the declarations, and a mistake is found', () => {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  assert.deepEqual(node(tsc, '--project', '.'), { status: 0, stdout: '', stderr: '' })
})

test('the programs of the package are there, can be executed and show their help', () => {
  for (const [name, path] of Object.entries(manifest.bin)) {
    const file = join(installed, path)
    assert.match(readFileSync(file, 'utf8'), /^#!\/usr\/bin\/env node\n/, `${name} has no #! line`)
    const { status, stderr } = node(file, '--help')
    assert.equal(status, 0, stderr)
  }
})

test('a module finds the files that stand beside it', () => {
  const base = pathToFileURL(join(installed, 'core/index.js')).href
  assert.ok(existsSync(siblingModule(base, './module-url')))
})

test('the package holds its licence and no source, test or tool of the repository', () => {
  assert.ok(existsSync(join(installed, 'LICENSE')))
  for (const path of ['cli/build.js', 'cli/build', 'test', 'core/index.ts', 'core/module-url.test.js']) {
    assert.ok(!existsSync(join(installed, path)), path)
  }
})
