import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually, RawClient, startChannel } from './testing.ts'

const NONSENSE = ['\u0001\u0002 nonsense\r\n\r\n', 'GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n', '{"a":1}']

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`
}

/** Statuses and bodies of the answers, in order; every answer here has a Content-Length. */
function answersOf(text: string): { status: number; body: string }[] {
  const answers: { status: number; body: string }[] = []
  for (let rest = text; rest !== ''; ) {
    const end = rest.indexOf('\r\n\r\n') + 4
    const head = rest.slice(0, end)
    const length = Number(/^content-length: (\d+)/im.exec(head)![1])
    answers.push({
      status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)![1]),
      body: rest.slice(end, end + length),
    })
    rest = rest.slice(end + length)
  }
  return answers
}

test('requests before nonsense have their own answers, in order, then comes 400 and the end', async t => {
  const waiting: (() => void)[] = []
  const { port } = await startChannel(t, {}, async ({ attributes }) => {
    await new Promise<void>(resolve => waiting.push(resolve))
    return { payload: attributes.path }
  })
  for (const nonsense of NONSENSE) {
    const client = new RawClient(t, port)
    client.send(get('/one') + get('/two') + nonsense)
    await eventually(() => waiting.length === 2, 'two requests')
    // What follows is noise as well, and changes nothing.
    client.send(get('/three'))
    const [one, two] = waiting.splice(0)
    two!()
    one!()
    await client.untilClosed()
    const answers = answersOf(client.text)
    assert.deepEqual(
      answers.map(({ status, body }) => (status === 200 ? body : status)),
      ['/one', '/two', 400],
      JSON.stringify(nonsense),
    )
    assert.equal(JSON.parse(answers[2]!.body).title, 'Bad Request')
    assert.equal(waiting.length, 0)
  }
})

test('a stream under way is not cut by nonsense behind its request', async t => {
  const going = Promise.withResolvers<void>()
  async function* lines() {
    yield 'first'
    await going.promise
    yield 'last'
  }
  const { port } = await startChannel(t, {}, () => ({ payload: lines() }))
  const client = new RawClient(t, port)
  client.send(get('/'))
  await client.untilText('first')
  client.send('nonsense\r\n\r\n')
  // The connection still stands when another one has been served, nonsense and all.
  const other = new RawClient(t, port)
  await other.send('nonsense\r\n\r\n').untilClosed()
  assert.equal(other.status, 400)
  going.resolve()
  await client.untilClosed()
  assert.match(client.text, /first.*last.*0\r\n\r\nHTTP\/1\.1 400/s)
})

test('nonsense in the body of a request takes the place of its answer, not of the one before', async t => {
  const gate = Promise.withResolvers<void>()
  const { port, received } = await startChannel(t, {}, async ({ attributes }) => {
    await gate.promise
    return { payload: attributes.path }
  })
  const client = new RawClient(t, port)
  client.send(
    `${get('/good')}POST /bad HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nnot a size\r\n\r\n`,
  )
  await eventually(() => received.length === 1, 'the good request')
  gate.resolve()
  await client.untilClosed()
  assert.deepEqual(
    answersOf(client.text).map(({ status }) => status),
    [200, 400],
  )
  assert.equal(received.length, 1)
})

test('a client that leaves meanwhile leaves nothing behind', async t => {
  const { port, received, channel } = await startChannel(
    t,
    {},
    message => new Promise(resolve => message.signal!.addEventListener('abort', () => resolve({}))),
  )
  const client = new RawClient(t, port)
  client.send(`${get('/')}nonsense\r\n\r\n`)
  await eventually(() => received.length === 1, 'the request')
  client.socket.resetAndDestroy()
  await channel.drain()
})
