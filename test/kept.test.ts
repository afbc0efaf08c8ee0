/** Queues, topics and schedules of a running node, operated by the command line. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { KeptMessageView, MessageHeadView, Page } from '../actors/messages/log-admin.ts'
import type { LogView } from '../actors/messages/log-view.ts'
import type { ScheduleRun } from '../actors/schedules/schedule.ts'
import { run } from '../cli/admin-test-server.ts'
import { until } from './load.ts'
import { Operated } from './operated.ts'

const CORE = new URL('../core/index.ts', import.meta.url).href
/** Books whole numbers; anything else is a dead letter at once. */
const BOOK = `import { service, SignalboxError } from '${CORE}'
export default service({
  handle: order => {
    if (!Number.isInteger(order?.total)) throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', 'the total is no whole number')
    return order.total
  },
})
`
const YAML = `name: kept
admin: { port: 0 }
queues:
  - { name: orders, options: { service: book } }
  - { name: jobs, options: {} }
  - { name: hurt, options: {} }
topics:
  - { name: prices, options: { keep: { ageMs: 600000, bytes: 1000000 } } }
  - { name: quiet, options: {} }
subscriptions:
  - { name: desk, options: { topic: prices } }
  - { name: euro, options: { topic: prices, filter: { x-currency: EUR } } }
schedules:
  - { name: nightly, type: cron, options: { cron: "0 3 * * *", service: book, payload: { total: 1 } } }
  - { name: broken, type: interval, options: { everyMs: 3600000, service: book, payload: {} } }
  - { name: idle, type: interval, options: { everyMs: 3600000, service: book, paused: true } }
`

describe('what a node keeps', () => {
  let bus: Operated
  before(async () => {
    bus = await Operated.start({ 'signalbox.yaml': YAML, 'services/book.ts': BOOK }, async state => {
      await mkdir(join(state, 'messages/queues'), { recursive: true })
      await writeFile(join(state, 'messages/queues/hurt'), 'a file in the place of its folder')
    })
  })
  after(() => bus[Symbol.asyncDispose]())

  const cli = (args: string[], options: { input?: string; env?: Record<string, string> } = {}) =>
    run(args, { cwd: bus.root, ...options })
  /** What is printed when all is well. */
  const ok = async (args: string[], options: { input?: string; env?: Record<string, string> } = {}) => {
    const { code, out, err } = await cli(args, options)
    assert.equal(code, 0, `${args.join(' ')}: ${out}${err}`)
    return out.trimEnd()
  }
  const data = async <T>(...args: string[]) => JSON.parse(await ok([...args, '--json'])) as T
  const refused = async (args: string[], code: number, said: RegExp, input?: string) => {
    const result = await cli(args, input === undefined ? {} : { input })
    assert.match(result.err, said, args.join(' '))
    assert.deepEqual([result.code, result.out], [code, ''], args.join(' '))
  }
  const stateOf = async (log: string) => data<LogView>(...log.split('/'))

  test('a message goes in with everything that was said of it, and is looked at', async () => {
    const flags = ['--id', 'job-1', '--key', 'k', '-H', 'x-a=1', '-H', 'x-b=2=3', '--delay', '1h']
    assert.equal(
      await ok(['publish', 'queue/jobs', '{"job":"Tidy Up"}', ...flags]),
      'message 1 of queue/jobs',
    )
    assert.match(
      await ok(['publish', 'queue/jobs', '{}', '--id', 'job-1']),
      /^dropped: message 1 of queue\/jobs/,
    )
    assert.equal(
      await ok(['publish', 'queue/jobs', '-', '--bytes', '--priority', '7'], { input: 'plain text' }),
      'message 2 of queue/jobs',
    )
    const { messages } = await data<Page<MessageHeadView>>('browse', 'queue/jobs')
    assert.deepEqual(
      messages.map(({ seq, state, key, priority }) => ({ seq, state, key, priority })),
      [
        { seq: 1, state: 'delayed', key: 'k', priority: 4 },
        { seq: 2, state: 'ready', key: undefined, priority: 7 },
      ],
    )
    assert.doesNotMatch(JSON.stringify(messages), /Tidy|x-a|plain text/, 'a list does not say what they say')
    const one = await data<KeptMessageView>('browse', 'queue/jobs', '1')
    assert.deepEqual(
      [one.payload, one.headers, one.from],
      [{ job: 'Tidy Up' }, { 'x-a': '1', 'x-b': '2=3' }, 'admin/admin'],
    )
    const text = await ok(['browse', 'queue/jobs', '1'])
    assert.match(text, /^message +1\nstate +delayed, 0 attempts\n/)
    assert.match(text, /^header x-b +2=3$/m)
    assert.ok(text.endsWith('\n{\n  "job": "Tidy Up"\n}'))
    assert.ok((await ok(['browse', 'queue/jobs', '2'])).endsWith('\nplain text'))
  })

  test('messages are found by what they say, their cid and their state', async () => {
    const seqs = async (...more: string[]) =>
      (await data<Page<KeptMessageView>>('browse', 'queue/jobs', ...more)).messages.map(({ seq }) => seq)
    assert.deepEqual(await seqs('--search', 'tidy up'), [1])
    assert.deepEqual(await seqs('--search', 'PLAIN'), [2])
    assert.deepEqual(await seqs('--search', 'nowhere'), [])
    assert.deepEqual(await seqs('--state', 'ready,dead'), [2])
    const { cid } = await data<KeptMessageView>('browse', 'queue/jobs', '2')
    assert.deepEqual(await seqs('--cid', cid!), [2])
    assert.deepEqual(await seqs('--after', '1'), [2])
    assert.match(
      await ok(['browse', 'queue/jobs', '--payloads']),
      /SIZE +PAYLOAD\n.*\{"job":"Tidy Up"\}\n.*plain text$/,
    )
    assert.match(await ok(['browse', 'queue/jobs', '--limit', '1']), /\n\nthere may be more: --after 1$/)
  })

  test('lists and details say what waits', async () => {
    const [, jobs, orders] = await data<LogView[]>('queues')
    assert.deepEqual(
      [jobs!.name, jobs!.ready, jobs!.delayed, jobs!.published, jobs!.duplicates],
      ['jobs', 1, 1, 2, 1],
    )
    assert.equal(orders!.subscriptions[0]!.target, 'service/book')
    const table = await ok(['queues'])
    assert.match(table, /^QUEUE +READY +LEASED +DELAYED +DEAD +OLDEST +SIZE +PUBLISHED/)
    assert.match(table, /^jobs +1 +0 +1 +0 .* clients fetch$/m)
    assert.match(table, /^orders +0 +0 +0 +0 .* service\/book$/m)
    assert.match(await ok(['topics']), /^prices .* desk, euro$/m)
    assert.match(await ok(['topic', 'quiet']), /it has no subscription/)
    assert.match(await ok(['queue', 'jobs']), /^queue\/jobs {2}2 of 10000000 messages, .* the oldest for /)
    assert.match(await ok(['ps']), /^queue\/jobs .* 1 ready, 1 delayed$/m)
  })

  test('one that did not open is listed with its error, and doctor warns', async () => {
    const [hurt] = await data<LogView[]>('queues')
    assert.deepEqual(
      [hurt!.name, hurt!.error?.code, hurt!.ready],
      ['hurt', 'SIGNALBOX_STORE_UNAVAILABLE', undefined],
    )
    assert.match(await ok(['queue', 'hurt']), /^queue\/hurt {2}did not open: SIGNALBOX_STORE_UNAVAILABLE: /)
    assert.match(await ok(['queues']), /^hurt +SIGNALBOX_STORE_UNAVAILABLE: /m)
    await refused(['publish', 'queue/hurt', '1'], 1, /^error SIGNALBOX_STORE_UNAVAILABLE/)
    // What it thinks of the machine is the machine's.
    const { out } = await cli(['doctor', '--json'])
    const checks = JSON.parse(out) as { id: string; status: string; detail: string }[]
    const opened = checks.find(({ id }) => id === 'logs-open')!
    assert.equal(opened.status, 'warn')
    assert.match(opened.detail, /^queue\/hurt did not open/)
  })

  test('dead letters are seen, mended, resent, dropped and purged', async () => {
    for (const total of ['"one"', '"two"', '"three"', '4'])
      await ok(['publish', 'queue/orders', `{"total":${total}}`])
    await until(async () => (await stateOf('queue/orders')).dead === 3, 'three dead letters')
    assert.match(
      await ok(['queue', 'orders']),
      /dead letters: see them with `signalbox browse queue\/orders --state dead`$/,
    )
    const dead = await ok(['browse', 'queue/orders', '--state', 'dead'])
    assert.match(dead, /FAILURE\n +1 +dead .* SIGNALBOX_REQUEST_REFUSED: the total is no whole number\n/)

    const mended = await ok(['edit', 'queue/orders', '1', '{"total":1}', '-H', 'x-mended=by hand'])
    assert.equal(mended, 'message 1 of queue/orders changed')
    const { payload, headers } = await data<KeptMessageView>('browse', 'queue/orders', '1')
    assert.deepEqual([payload, headers], [{ total: 1 }, { 'x-mended': 'by hand' }])
    assert.equal(
      await ok(['resend', 'queue/orders', '1', '99']),
      '1 of 2 are delivered again; the others are no dead letters',
    )
    await until(async () => (await stateOf('queue/orders')).messages === 2, 'it was booked')

    assert.equal(await ok(['resend', 'queue/orders', '--all']), '2 are delivered again')
    await until(async () => (await stateOf('queue/orders')).dead === 2, 'they are dead again')
    assert.equal(await ok(['drop', 'queue/orders', '2']), '1 dropped')
    await refused(
      ['purge', 'queue/orders', '--state', 'dead'],
      2,
      /there is no terminal to ask on; say --yes/,
    )
    assert.equal(await ok(['purge', 'queue/orders', '--state', 'dead', '--yes']), '1 taken away')
    assert.equal((await stateOf('queue/orders')).messages, 0)
  })

  test('a message is edited in the editor; what cannot be used is not lost', async () => {
    const editor = join(bus.root, 'editor.sh')
    const edit = (script: string) => {
      writeFileSync(editor, `#!/bin/sh\n${script}\n`)
      chmodSync(editor, 0o755)
      return cli(['edit', 'queue/jobs', '1'], { env: { VISUAL: editor, TMPDIR: bus.root } })
    }
    const changed = await edit('sed -i "s/Tidy Up/Sweep/" "$1"')
    assert.deepEqual([changed.code, changed.out], [0, 'message 1 of queue/jobs changed\n'], changed.err)
    assert.deepEqual((await data<KeptMessageView>('browse', 'queue/jobs', '1')).payload, { job: 'Sweep' })
    assert.equal((await edit('true')).out, 'nothing was changed\n')
    const left = await edit('exit 1')
    assert.match(left.err, /^error SIGNALBOX_CANCELLED: the editor \(.*\) failed; nothing was changed/)
    const broken = await edit('echo "{" > "$1"')
    assert.match(
      broken.err,
      /^what you have written is in (.+message-1\.json)\nerror SIGNALBOX_USAGE: the payload is no JSON/,
    )
    assert.ok(existsSync(/is in (.+)\n/.exec(broken.err)![1]!))
    assert.deepEqual((await data<KeptMessageView>('browse', 'queue/jobs', '1')).payload, { job: 'Sweep' })
    await refused(['edit', 'queue/jobs', '2'], 2, /the payload is bytes; give them with --bytes and @file/)
  })

  test('subscriptions see what is for them, and go back and forward', async () => {
    await ok(['publish', 'topic/prices', '1', '-H', 'x-currency=EUR'])
    await ok(['publish', 'topic/prices', '2', '-H', 'x-currency=CHF'])
    const counts = async () => {
      const { subscriptions } = await stateOf('topic/prices')
      return Object.fromEntries(subscriptions.map(({ name, ready }) => [name, ready]))
    }
    assert.deepEqual(await counts(), { desk: 2, euro: 1 })
    await refused(['browse', 'topic/prices'], 2, /of topic prices name one of its subscriptions: desk, euro/)
    assert.equal(await ok(['purge', 'topic/prices', '-s', 'desk', '--yes']), '2 taken away')
    assert.deepEqual(await counts(), { desk: 0, euro: 1 })
    assert.equal(
      await ok(['seek', 'topic/prices', '-s', 'desk', '--to', 'beginning']),
      'desk goes on from there',
    )
    assert.deepEqual(await counts(), { desk: 2, euro: 1 })
    await ok(['seek', 'topic/prices', '-s', 'desk', '--to', '2'])
    assert.deepEqual(await counts(), { desk: 1, euro: 1 })
    await ok(['seek', 'topic/prices', '-s', 'desk', '--to', '2020-01-01T00:00:00Z'])
    assert.deepEqual(await counts(), { desk: 2, euro: 1 })
    await ok(['seek', 'topic/prices', '-s', 'desk', '--to', 'end'])
    assert.deepEqual(await counts(), { desk: 0, euro: 1 })
  })

  test('schedules are shown, run, paused and resumed', async () => {
    const table = await ok(['schedules'])
    assert.match(table, /^SCHEDULE +TYPE +STATE +NEXT/)
    assert.match(table, /^nightly +cron +active +\d{4}-\d\d-\d\d \d\d:00:00 .* service\/book$/m)
    assert.match(table, /^idle +interval +paused /m)
    assert.match(await ok(['schedules', 'run', 'nightly']), /^run 1 ok, /)
    const failed = await cli(['schedules', 'run', 'broken'])
    assert.equal(failed.code, 1)
    assert.match(failed.out, /^run 1 failed, .*: SIGNALBOX_REQUEST_REFUSED: the total is no whole number\n$/)
    assert.match(
      await ok(['schedules', 'history', 'broken']),
      /^RUN .*\n +1 +by hand .* failed +SIGNALBOX_REQUEST_REFUSED/,
    )
    const [last] = await data<ScheduleRun[]>('schedules', 'history', 'nightly', '--limit', '1')
    assert.deepEqual([last!.number, last!.outcome], [1, 'ok'])
    await ok(['schedules', 'pause', 'nightly'])
    assert.match(await ok(['schedules', 'list']), /^nightly +cron +paused/m)
    await ok(['schedules', 'resume', 'nightly'])
    assert.match(await ok(['schedules']), /^nightly +cron +active/m)
    await refused(['schedules', 'resume', 'idle'], 1, /is paused by its options\n.*Take `paused: true` out/)
  })

  test('what is mistyped is corrected', async () => {
    const cases: [args: string[], code: number, said: RegExp][] = [
      [['queue', 'oders'], 1, /there is no queue 'oders'; did you mean 'orders'\?\n.*`signalbox queues`/],
      [['topic', 'jobs'], 1, /there is no topic 'jobs'; there is a queue of this name/],
      [['browse', 'orders'], 2, /'orders' names no queue or topic; give queue\/NAME or topic\/NAME/],
      [['browse', 'quue/orders'], 2, /did you mean 'queue\/orders'\?/],
      [['browse', 'queue/orders', '--state', 'deat'], 1, /SIGNALBOX_INPUT_INVALID/],
      [['browse', 'queue/jobs', '77'], 1, /queue jobs has no message 77/],
      [['browse', 'topic/prices', '-s', 'dsk'], 1, /there is no subscription 'dsk'; did you mean 'desk'\?/],
      [['publish', 'queue/jobs', '{'], 2, /the payload is no JSON/],
      [['publish', 'queue/jobs', '1', '--delay', 'soon'], 2, /give a time like/],
      [['publish', 'queue/jobs', '1', '--priority', '10'], 2, /give a number from 0 to 9/],
      [['resend', 'queue/orders'], 2, /name the messages by their numbers, or say --all/],
      [['seek', 'queue/jobs', '--to', 'end'], 2, /only subscriptions of topics go back/],
      [['seek', 'topic/prices', '--to', 'noon'], 2, /give beginning, end/],
      [['schedules', 'pause', 'nightli'], 1, /there is no schedule 'nightli'; did you mean 'nightly'\?/],
      [['schedules', 'paus', 'nightly'], 2, /unknown command 'schedules paus'; did you mean 'pause'\?/],
    ]
    for (const [args, code, said] of cases) await refused(args, code, said)
  })

  test('names are completed', async () => {
    assert.deepEqual((await ok(['__complete', 'logs'])).split('\n'), [
      'queue/hurt',
      'queue/jobs',
      'queue/orders',
      'topic/prices',
      'topic/quiet',
    ])
    assert.deepEqual((await ok(['__complete', 'schedules'])).split('\n').sort(), [
      'broken',
      'idle',
      'nightly',
    ])
    assert.deepEqual((await ok(['__complete', 'topicLogs'])).split('\n'), ['topic/prices', 'topic/quiet'])
  })

  test('a tail shows what is kept and consumed, and by which worker', async () => {
    const stop = new AbortController()
    const seen: { event: string; address: string; worker: number; cid: string; from?: string }[] = []
    const response = await fetch(`${bus.project.admin}/v1/tail`, {
      headers: { authorization: `Bearer ${bus.token}` },
      signal: stop.signal,
    })
    const reading = (async () => {
      let text = ''
      for await (const part of response.body!) {
        const events = (text + Buffer.from(part).toString()).split('\n\n')
        text = events.pop()!
        for (const event of events) {
          const at = event.indexOf('data: ')
          if (event.startsWith('event: message') && at > 0) seen.push(JSON.parse(event.slice(at + 6)))
        }
      }
    })().catch(() => {})
    let cid = ''
    await until(async () => {
      cid = (await data<{ cid: string }>('publish', 'queue/orders', '{"total":5}')).cid
      return ['consumed', 'kept'].every(event => seen.some(one => one.event === event))
    }, 'the tail is open')
    await until(() => seen.filter(event => event.cid === cid).length >= 3, 'the last message has passed')
    const flow = seen.filter(event => event.cid === cid)
    assert.deepEqual(flow.map(({ event, address, worker, from }) => [event, address, worker, from]).sort(), [
      ['consumed', 'service/book', 0, 'queue/orders'],
      ['handled', 'service/book', 0, 'queue/orders'],
      ['kept', 'queue/orders', 256, undefined],
    ])
    stop.abort()
    await reading
  })
})
