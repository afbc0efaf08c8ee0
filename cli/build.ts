/**
 * `npm run build [-- --out DIR]`: makes the package that is published, by default in `dist`. It holds JavaScript
 * and declarations, because Node.js does not strip types below `node_modules`.
 */
import './node-version.mjs'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Manifest, publishedManifest } from './build/manifest.ts'
import { ownSchema, SCHEMA_FILE } from './build/schema.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SOURCE_FOLDERS = ['core', 'actors', 'transports', 'cli']
const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'LICENSE']

const { values } = parseArgs({ options: { out: { type: 'string', default: join(ROOT, 'dist') } } })
build(resolve(values.out))

function build(out: string): void {
  if (existsSync(out) && !isEarlierBuild(out)) {
    console.error(`${out} is there and is no earlier build: remove it, or choose another folder with --out`)
    process.exit(1)
  }
  rmSync(out, { recursive: true, force: true })
  compile(out)
  copy(
    out,
    `{${SOURCE_FOLDERS.join(',')}}/**/*`,
    /\.ts$|\.test\.|(^|\/)(fixtures|node_modules)(\/|$)|^cli\/build/,
  )
  // Examples stay TypeScript: people copy them, and they run outside node_modules.
  copy(out, 'examples/**/*', /\.test\.|(^|\/)(node_modules|\.signalbox)(\/|$)/)
  copy(out, `{${DOCUMENTS.join(',')}}`, /^$/)
  writeFileSync(join(out, SCHEMA_FILE), `${JSON.stringify(ownSchema(), null, 2)}\n`)
  const missing = writeManifest(out)
  console.log(`built ${out}`)
  for (const document of DOCUMENTS) if (!existsSync(join(out, document))) missing.push(document)
  for (const name of missing) console.warn(`left out, because the file does not exist: ${name}`)
}

/** Only a build is ever removed: a source folder has devDependencies, any other folder has no manifest of ours. */
function isEarlierBuild(folder: string): boolean {
  const path = join(folder, 'package.json')
  if (!existsSync(path)) return readdirSync(folder).length === 0
  const { name, devDependencies } = JSON.parse(readFileSync(path, 'utf8'))
  return name === 'signalbox' && devDependencies === undefined
}

function compile(out: string): void {
  const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))
  const project = join(ROOT, 'tsconfig.build.json')
  try {
    execFileSync(process.execPath, [tsc, '--project', project, '--outDir', out], { stdio: 'inherit' })
  } catch {
    // tsc has printed what is wrong.
    process.exit(1)
  }
}

function copy(out: string, pattern: string, leftOut: RegExp): void {
  const entries = globSync(pattern, { cwd: ROOT, withFileTypes: true })
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name).slice(ROOT.length)
    if (entry.isFile() && !leftOut.test(path)) cpSync(join(ROOT, path), join(out, path))
  }
}

/** Writes package.json and returns the names of entries that have no file yet. */
function writeManifest(out: string): string[] {
  const source = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest
  const { manifest, missing } = publishedManifest(source, path => existsSync(join(ROOT, path)))
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  for (const path of Object.values(manifest.bin as Record<string, string>)) chmodSync(join(out, path), 0o755)
  return missing
}
