import assert from 'node:assert/strict'
import type { LookupFunction } from 'node:net'
import { test } from 'node:test'
import { TargetGuard } from './target-guard.ts'

const FORBIDDEN = { code: 'SIGNALBOX_TARGET_FORBIDDEN' }

const INSIDE = [
  'http://127.0.0.1/',
  'http://127.1/',
  'http://2130706433/',
  'http://0x7f000001/',
  'http://0x7f.0.0.1/',
  'http://0177.0.0.1/',
  'http://127.0.0.1./',
  'http://0/',
  'http://[::1]/',
  'http://[::]/',
  'http://[::ffff:127.0.0.1]/',
  'http://[::ffff:7f00:1]/',
  'http://[::7f00:1]/',
  'http://[64:ff9b::7f00:1]/',
  'http://[2002:7f00:1::]/',
  'http://[fe80::1]/',
  'http://[fd00:ec2::254]/',
  'http://[ff02::1]/',
  'http://10.0.0.1/',
  'http://172.16.0.1/',
  'http://192.168.1.1/',
  'http://100.64.0.1/',
  'http://169.254.169.254/latest/meta-data/',
  'http://168.63.129.16/',
  'http://224.0.0.1/',
  'http://255.255.255.255/',
  'http://198.18.0.1/',
  'http://%31%32%37.0.0.1/',
  'http://①②⑦.0.0.1/',
  'file:///etc/passwd',
  'gopher://1.1.1.1/',
  'ftp://1.1.1.1/',
  'http://user:secret@1.1.1.1/',
]

for (const url of INSIDE) {
  test(`refused: ${url}`, () => {
    assert.throws(() => new TargetGuard([]).checkUrl(new URL(url)), FORBIDDEN)
  })
}

test('public addresses and names are not refused by their look', () => {
  for (const url of ['http://1.1.1.1/', 'https://[2606:4700::1111]/', 'https://example.com/']) {
    new TargetGuard([]).checkUrl(new URL(url))
  }
})

test('what is allowed is reached: by address, block, host and suffix', async () => {
  const guard = new TargetGuard(
    ['127.0.0.1', '10.1.0.0/16', 'Api.Internal', '*.svc.local', 'fd00::/8'],
    answers('192.168.0.1'),
  )
  for (const url of [
    'http://127.0.0.1/',
    'http://[::ffff:127.0.0.1]/',
    'http://10.1.2.3/',
    'http://[fd00::1]/',
  ]) {
    guard.checkUrl(new URL(url))
  }
  assert.throws(() => guard.checkUrl(new URL('http://10.2.0.1/')), FORBIDDEN)
  assert.equal((await resolve(guard, 'api.internal'))[0], '192.168.0.1')
  assert.equal((await resolve(guard, 'a.b.svc.local'))[0], '192.168.0.1')
  await assert.rejects(resolve(guard, 'svc.local.example.com'), FORBIDDEN)
})

test('a name is refused when any of its addresses is inside', async () => {
  await assert.rejects(resolve(new TargetGuard([], answers('127.0.0.1')), 'rebound.example.com'), FORBIDDEN)
  await assert.rejects(
    resolve(new TargetGuard([], answers('1.1.1.1', '::1')), 'mixed.example.com'),
    FORBIDDEN,
  )
  assert.deepEqual(await resolve(new TargetGuard([], answers('1.1.1.1')), 'example.com'), ['1.1.1.1'])
})

test('lookup answers in the form it is asked for', async () => {
  const guard = new TargetGuard([], answers('1.1.1.1', '8.8.8.8'))
  const one = await new Promise((done, fail) => {
    guard.lookup('example.com', {}, (error, address, family) =>
      error ? fail(error) : done([address, family]),
    )
  })
  assert.deepEqual(one, ['1.1.1.1', 4])
})

test('a wrong entry in the allow list is an error, not a hole', () => {
  for (const entry of ['10.0.0.0/33', 'http://x/', '*', 'a b']) {
    assert.throws(() => new TargetGuard([entry]), { code: 'SIGNALBOX_OPTIONS_INVALID' }, entry)
  }
})

function answers(...addresses: string[]): LookupFunction {
  return (_hostname, _options, callback) =>
    callback(
      null,
      addresses.map(address => ({ address, family: address.includes(':') ? 6 : 4 })),
    )
}

function resolve(guard: TargetGuard, hostname: string): Promise<string[]> {
  return new Promise((done, fail) => {
    guard.lookup(hostname, { all: true }, (error, found) => {
      if (error) fail(error)
      else done((found as { address: string }[]).map(({ address }) => address))
    })
  })
}
