import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { nodeAdvice } from './node-version.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SCRIPT = fileURLToPath(new URL('node-version.mjs', import.meta.url))

test('Node.js 24 and later pass, older versions get advice', () => {
  for (const version of ['24.0.0', '24.21.0', '26.1.0', '100.0.0-pre'])
    assert.equal(nodeAdvice(version), undefined)
  for (const version of ['20.20.2', '22.18.0', '23.11.1', '']) {
    assert.match(nodeAdvice(version) ?? '', /needs Node\.js 24 or later.*npm start/s)
  }
})

test('npm scripts run with Node.js 24 or later, whatever Node.js runs npm', () => {
  const version = execFileSync('npm', ['exec', '--offline', '-c', 'node --version'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  assert.equal(nodeAdvice(version.trim().slice(1)), undefined, version)
})

test('each script that runs TypeScript checks the version first, in a file that an old Node.js can load', () => {
  const { scripts } = JSON.parse(readFileSync(`${ROOT}/package.json`, 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const name of ['start', 'test', 'check', 'bench', 'build']) {
    assert.equal(scripts[`pre${name}`], 'node cli/node-version.mjs', `pre${name}`)
  }
})

/** The Node.js of the system, when it is an old one. */
function oldNode(): string | undefined {
  const candidates = ['/usr/bin/node', '/usr/local/bin/node'].filter(path => existsSync(path))
  return candidates.find(path => {
    const version = execFileSync(path, ['--version'], { encoding: 'utf8' }).trim().slice(1)
    return nodeAdvice(version) !== undefined
  })
}

const old = oldNode()
test('an old Node.js prints the advice and exits with 1', {
  skip: old ? false : 'no old Node.js here',
}, () => {
  const { status, stderr } = spawnSync(old!, [SCRIPT], { encoding: 'utf8' })
  assert.equal(status, 1)
  assert.match(stderr, /^Signalbox needs Node\.js 24 or later, and this is /)
})
