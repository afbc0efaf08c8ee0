import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { SignalboxError } from '../errors.ts'
import { Type } from '../schema.ts'
import type { Connection } from '../transport.ts'
import { Service, service } from './service.ts'
import { fakeConnection, TestClock, testService } from './test-kit.ts'

interface Erp extends Connection {
  save(order: { id: number }): Promise<string>
}

class CreateOrder extends Service<{ id: number }> {
  static override serviceName = 'orders.create'
  static override input = Type.Object({ id: Type.Integer() })
  static override output = Type.Object({ key: Type.String() })

  override async handle(input: { id: number }) {
    const stock = await this.invoke<{ ok: boolean }>('stock.reserve', input.id, {
      headers: { priority: 'high' },
    })
    if (!stock.ok) throw new SignalboxError('SIGNALBOX_CONFLICT', 'out of stock')
    await this.tell('mail.confirm', { to: this.request.identity?.name })
    this.response.status = 201
    this.response.headers.via = this.request.headers['x-via'] ?? 'nobody'
    this.log.info({ id: input.id }, 'order created')
    return { key: await this.connection<Erp>('erp').save(input) }
  }
}

const options = {
  services: { 'stock.reserve': () => ({ ok: true }), 'mail.confirm': () => {} },
  connections: { erp: fakeConnection<Erp>({ save: async ({ id }) => `order-${id}` }) },
  identity: { name: 'anna', definition: 'test' },
  headers: { 'X-Via': 'test' },
}

test('a service runs as on the bus, and what it did can be looked at', async () => {
  const orders = testService(CreateOrder, options)
  assert.deepEqual(await orders.invoke({ id: 7 }), {
    payload: { key: 'order-7' },
    status: 201,
    headers: { via: 'test' },
  })
  assert.deepEqual(orders.calls, [
    { kind: 'invoke', service: 'stock.reserve', payload: 7, headers: { priority: 'high' } },
    { kind: 'tell', service: 'mail.confirm', payload: { to: 'anna' }, headers: {} },
  ])
  const [line] = orders.log
  assert.deepEqual(
    [line!.level, line!.message, line!.data.service, line!.data.id],
    ['info', 'order created', 'orders.create', 7],
  )
  assert.deepEqual((await orders.invoke({ id: 8 }, { headers: { 'X-Via': 'other' } })).headers, {
    via: 'other',
  })
})

test('input and output are checked as on the bus', async () => {
  const orders = testService(CreateOrder, options)
  await assert.rejects(orders.invoke({ id: 'x' }), {
    code: 'SIGNALBOX_INPUT_INVALID',
    details: { errors: [{ pointer: '/id', rule: 'must be integer' }] },
  })
  const wrong = { erp: fakeConnection<Erp>({ save: async () => 7 as never }) }
  await assert.rejects(testService(CreateOrder, { ...options, connections: wrong }).invoke({ id: 1 }), {
    code: 'SIGNALBOX_OUTPUT_INVALID',
  })
})

test('errors of other services arrive as they do on the bus', async () => {
  const stock = (reserve: () => unknown) => ({
    ...options,
    services: { ...options.services, 'stock.reserve': reserve },
  })
  await assert.rejects(
    testService(
      CreateOrder,
      stock(() => ({ ok: false })),
    ).invoke({ id: 1 }),
    { status: 409 },
  )
  const broken = stock(() => {
    throw new Error('stock is broken')
  })
  await assert.rejects(testService(CreateOrder, broken).invoke({ id: 1 }), {
    code: 'SIGNALBOX_SERVICE_FAILED',
    message: 'stock is broken',
  })
})

test('what does not exist is refused with the nearest name that does', async () => {
  const calling = (name: string) => service({ handle: (_, context) => context.invoke(name) })
  await assert.rejects(testService(calling('stock.reserv'), options).invoke(), {
    code: 'SIGNALBOX_ADDRESS_UNKNOWN',
    message: "no actor lives at service/stock.reserv; did you mean 'stock.reserve'?",
  })
  const telling = service({ handle: (_, context) => context.tell('nothing.like.it') })
  await assert.rejects(testService(telling, options).invoke(), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
  const ignoring = service({
    handle: (_, context) => {
      void context.tell('nothing.like.it')
      return 'sent'
    },
  })
  assert.equal((await testService(ignoring, options).invoke()).payload, 'sent')
  const connecting = service({ handle: (_, context) => void context.connection('epr') })
  await assert.rejects(testService(connecting, options).invoke(), {
    code: 'SIGNALBOX_ADDRESS_UNKNOWN',
    message: "there is no connection 'epr'; did you mean 'erp'?",
  })
})

test('a fake connection names the operation that it lacks', async () => {
  const connection = fakeConnection<Erp>({})
  assert.equal(await connection, connection)
  assert.throws(() => connection.ping(), { code: 'SIGNALBOX_USAGE', message: /'ping'/ })
})

test('real services stand in for services, and call what the test gives', async () => {
  class Outer extends Service {
    override async handle() {
      return [await this.invoke('inner', 1), this.request.channel?.name]
    }
  }
  const inner = service({ input: Type.Integer(), handle: (n, context) => context.invoke('leaf', n + 1) })
  const leaf = (n: unknown, context: { request: { cid: string; channel: unknown } }) => {
    return [n, context.request.cid, context.request.channel]
  }
  const channel = { transport: 'http', name: 'public', attributes: {} }
  const outer = testService(Outer, { services: { inner, leaf }, channel })
  assert.deepEqual((await outer.invoke(1, { cid: 'c1' })).payload, [[2, 'c1', undefined], 'public'])
  assert.deepEqual(
    outer.calls.map(call => call.service),
    ['inner', 'leaf'],
  )
})

test('deadline and cancellation reach the service, and what it calls', async () => {
  const seen: AbortSignal[] = []
  const slow = (_: unknown, context: { request: { signal: AbortSignal } }) => {
    seen.push(context.request.signal)
    return new Promise(() => {})
  }
  const clock = new TestClock()
  const calling = testService(service({ handle: (_, context) => context.invoke('slow') }), {
    services: { slow },
    clock,
  })
  const late = calling.invoke(1, { timeoutMs: 100 })
  await turn()
  clock.advance(120)
  await assert.rejects(late, { code: 'SIGNALBOX_TIMEOUT_DEADLINE' })
  const controller = new AbortController()
  const cancelled = calling.invoke(1, { signal: controller.signal })
  await turn()
  controller.abort()
  await assert.rejects(cancelled, { code: 'SIGNALBOX_CANCELLED' })
  assert.deepEqual(
    seen.map(signal => signal.aborted),
    [true, true],
  )
  assert.equal(clock.pending <= 1, true)
})

test('tell resolves when everything that follows is done', async () => {
  const done: unknown[] = []
  const told = testService(service({ handle: (input, context) => context.tell('next', input) }), {
    services: {
      next: async input => {
        await turn()
        done.push(input)
      },
    },
  })
  await told.tell('x')
  assert.deepEqual(done, ['x'])
})

test('cpu work runs the real file', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-cpu-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const file = (name: string) => pathToFileURL(join(folder, name))
  await writeFile(file('double.mjs'), 'export default n => n * 2\n')
  await writeFile(file('fails.mjs'), 'export default () => { throw new Error("cannot count") }\n')
  await writeFile(file('hangs.mjs'), 'export default () => new Promise(() => {})\n')
  const counting = testService(
    service({ handle: (input, context) => context.cpu(file(input as string), 21, { timeoutMs: 50 }) }),
  )
  assert.equal((await counting.invoke('double.mjs')).payload, 42)
  await assert.rejects(counting.invoke('fails.mjs'), {
    code: 'SIGNALBOX_CPU_FAILED',
    message: 'cannot count',
  })
  await assert.rejects(counting.invoke('missing.mjs'), { code: 'SIGNALBOX_CPU_FAILED' })
  const keepAlive = setInterval(() => {}, 1_000)
  t.after(() => clearInterval(keepAlive))
  await assert.rejects(counting.invoke('hangs.mjs'), { code: 'SIGNALBOX_CPU_TIMEOUT' })
})
