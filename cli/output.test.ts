import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NodeView } from '../actors/admin/operator.ts'
import { type Column, duration, oneLine, plain, table } from './output.ts'
import { nodeText } from './views/node.ts'

interface Row {
  name: string
  count?: number
  note: string
}
const COLUMNS: Column<Row>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'COUNT', value: ({ count }) => count },
  { title: 'NOTE', value: ({ note }) => note },
]
const ROWS: Row[] = [
  { name: 'a', count: 1, note: 'short' },
  { name: 'longer', note: 'a note that does not fit' },
  { name: 'größe', count: 12_345, note: '' },
]

test('numbers stand to the right, and the last column is cut to the width', () => {
  assert.equal(
    table(COLUMNS, ROWS, 28),
    ['NAME    COUNT  NOTE', 'a           1  short', 'longer         a note that …', 'größe   12345'].join(
      '\n',
    ),
  )
})

test('without a terminal nothing is cut', () => {
  assert.match(table(COLUMNS, ROWS, Number.POSITIVE_INFINITY), /a note that does not fit$/m)
})

test('text from outside cannot steer the terminal', () => {
  assert.equal(plain('a\x1b[31mb\r\x9b\u202ec\nd\te'), 'a\ufffd[31mb\ufffd\ufffd\ufffdc\nd\te')
  assert.equal(oneLine(' two\n lines\x07 '), 'two lines\ufffd')
})

test('durations', () => {
  const cases: [number, string][] = [
    [0, '0 ms'],
    [12.34, '12.3 ms'],
    [59_999, '59 s'],
    [302_000, '5 min 2 s'],
    [3_600_000, '1 h'],
    [90_061_000, '1 d 1 h'],
  ]
  for (const [ms, text] of cases) assert.equal(duration(ms), text)
})

const NODE: NodeView = {
  node: 'n1',
  name: 'my-bus',
  version: '0.1.0',
  startedAt: 0,
  endpoint: 'tcp://127.0.0.1:7720',
  peers: [{ id: 'n2', role: 'node', name: 'n2' }],
  replaced: 1,
  workers: [0, 1].map(slot => ({
    slot,
    role: 'worker' as const,
    place: `n1/${slot}`,
    state: 'ready',
    actors: [
      {
        address: 'service/greet',
        state: slot === 0 ? 'running' : 'failed',
        queued: 2,
        busy: 1,
        handled: 1000,
        restarts: slot,
        rate: 1.26,
        ...(slot === 1 && { lastError: 'it\nbroke' }),
      },
      { address: 'channel/http/public', state: 'open', endpoint: 'http://127.0.0.1:7710' },
    ],
  })),
}

test('a node sums its actors over the workers', () => {
  assert.equal(
    nodeText(NODE, { all: false }, 65_000),
    `my-bus  node n1, signalbox 0.1.0, up 1 min 5 s, 2 workers, 1 replaced, tcp://127.0.0.1:7720

WORKER  PLACE  STATE  ACTORS
     0  n1/0   ready       2
     1  n1/1   ready       2

PEER  ROLE  NAME
n2    node  n2

ACTOR                WORKERS  STATE                RATE/s  QUEUED  BUSY  HANDLED  RESTARTS  WHERE / LAST ERROR
channel/http/public        2  open                                                          http://127.0.0.1:7710
service/greet              2  1 running, 1 failed     2.5       4     2     2000         1  it broke`,
  )
})

test('the keeper is no worker, and what is inside of the bus is seen with --all only', () => {
  const subscriptions = { a: { ready: 2, leased: 1, dead: 0 }, b: { ready: 1, leased: 0, dead: 4 } }
  const keeper = {
    slot: 256,
    role: 'keeper' as const,
    place: 'n1/256',
    state: 'ready',
    actors: [
      { address: 'queue/jobs', state: 'running', subscriptions: { queue: { ready: 0 } } },
      { address: 'topic/prices', state: 'running', subscriptions },
      { address: 'topic/prices/ops', state: 'running' },
      { address: 'system/state', state: 'running' },
    ],
  }
  const node = { ...NODE, workers: [...NODE.workers, keeper] }
  const text = nodeText(node, { all: false }, 65_000)
  assert.match(text, /, 2 workers,/)
  assert.match(text, /^ *keeper {2}n1\/256 /m)
  assert.match(text, /^queue\/jobs .* empty$/m)
  assert.match(text, /^topic\/prices .* 3 ready, 1 leased, 4 dead$/m)
  assert.doesNotMatch(text, /\/ops|system\//)
  const all = nodeText(node, { all: true }, 65_000)
  assert.match(all, /^topic\/prices\/ops +keeper /m)
  assert.match(all, /^system\/state /m)
})

test('--all gives one line for each actor of each worker', () => {
  const lines = nodeText(NODE, { all: true }, 65_000).split('\n')
  assert.equal(lines.filter(line => line.startsWith('service/greet')).length, 2)
  assert.match(lines.at(-1)!, /^service\/greet +1 {2}failed +1\.3 /)
})
