import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { AskOptions } from '../actor/behaviour.ts'
import { Envelope, type ReplyHead } from '../actor/envelope.ts'
import { TestClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { type TSchema, Type } from '../schema.ts'
import { silentLogger } from '../telemetry/log.ts'
import type { ServicePorts } from './invocation.ts'
import { ServiceRunner } from './runner.ts'
import { Service, type ServiceClass, service } from './service.ts'

interface Settled {
  payload?: unknown
  head?: ReplyHead | undefined
  error?: SignalboxError
}

/** Runs a service for one message, with all that it calls written down. */
function runOf(type: ServiceClass, more: Partial<ServicePorts> = {}) {
  const calls: { kind: string; to: string; payload: unknown; options: AskOptions }[] = []
  const lines: { level: string; data: Record<string, unknown>; message?: string }[] = []
  const clock = new TestClock(1_000)
  const logger = (bindings: object): ServicePorts['log'] => ({
    ...silentLogger,
    warn: (data, message) =>
      lines.push({ level: 'warn', data: { ...bindings, ...data }, ...(message && { message }) }),
    error: (data, message) =>
      lines.push({ level: 'error', data: { ...bindings, ...data }, ...(message && { message }) }),
    child: extra => logger({ ...bindings, ...extra }),
  })
  const ports: ServicePorts = {
    clock,
    log: logger({}),
    async ask(to, payload, options) {
      calls.push({ kind: 'ask', to, payload, options })
      if (to === 'fails') throw new SignalboxError('SIGNALBOX_CONFLICT', 'no')
      return `${to} says ${payload}`
    },
    tell(to, payload, options) {
      calls.push({ kind: 'tell', to, payload, options })
      return undefined
    },
    connection: () => assert.fail('no connections here'),
    keep: async () => ({ seq: 1, duplicate: false }),
    cpu: async () => undefined,
    ...more,
  }
  const runner = new ServiceRunner('under.test', type, ports)
  const run = async (
    payload: unknown,
    context: AskOptions = {},
    kind: 'ask' | 'tell' = 'ask',
    deadline = 0,
  ) => {
    const settled: Settled[] = []
    const replyTo = {
      resolve: (answer: unknown, head: ReplyHead | undefined) => void settled.push({ payload: answer, head }),
      reject: (error: SignalboxError) => void settled.push({ error }),
    }
    const envelope = new Envelope(
      'service/x',
      payload,
      context,
      deadline,
      kind === 'ask' ? replyTo : undefined,
      0,
    )
    await runner.run(envelope)
    assert.equal(settled.length, kind === 'ask' ? 1 : 0, 'settled once')
    return settled[0] ?? {}
  }
  return { run, runner, calls, lines, clock }
}

const Order = Type.Object({ id: Type.Integer(), lines: Type.Array(Type.Object({ sku: Type.String() })) })

test('input that does not match is refused with all violations and their JSON pointers; the service never runs', async () => {
  let ran = false
  const { run, lines } = runOf(
    service({
      input: Order,
      handle: () => {
        ran = true
      },
    }),
  )
  const { error } = await run({ id: 'seven', lines: [{ sku: 'a' }, { sku: 7 }, {}] })
  assert.deepEqual([error!.code, error!.status], ['SIGNALBOX_INPUT_INVALID', 400])
  assert.deepEqual(error!.details!.errors, [
    { pointer: '/id', rule: 'must be integer' },
    { pointer: '/lines/1/sku', rule: 'must be string' },
    { pointer: '/lines/2', rule: "must have required property 'sku'" },
  ])
  assert.match(error!.message, /input of under\.test: \/id must be integer; \/lines\/1\/sku/)
  assert.deepEqual([ran, lines], [false, []])
  assert.equal((await run(undefined)).error!.code, 'SIGNALBOX_INPUT_INVALID')
})

test('a hostile input with 20,000 violations gets an answer of bounded size', async () => {
  const { run } = runOf(service({ input: Type.Array(Type.Integer()), handle: () => 'never' }))
  const { error } = await run(Array(20_000).fill('x'))
  assert.equal((error!.details!.errors as unknown[]).length, 1_000)
  assert.equal(error!.details!.total, 20_000)
  assert.ok(error!.message.length < 1_000 && error!.message.endsWith('and 19990 more'))
})

test('output that does not match is the fault of the service: 500, logged', async () => {
  for (const handle of [() => ({ ok: 'yes' }), async () => ({ ok: 'yes' })] as never[]) {
    const { run, lines } = runOf(service({ output: Type.Object({ ok: Type.Boolean() }), handle }))
    const { error } = await run(1, { cid: 'c1' })
    assert.deepEqual([error!.code, error!.status], ['SIGNALBOX_OUTPUT_INVALID', 500])
    assert.deepEqual(error!.details!.errors, [{ pointer: '/ok', rule: 'must be boolean' }])
    assert.deepEqual([lines.length, lines[0]!.level, lines[0]!.data.cid], [1, 'error', 'c1'])
  }
})

test('a schema or a setting that is none is found before any message comes', () => {
  const wrong = { type: 'no such type' } as unknown as TSchema
  for (const settings of [
    { input: wrong },
    { output: wrong },
    { concurrency: 0 },
    { timeoutMs: 'long' as never },
  ]) {
    assert.throws(() => runOf(service({ ...settings, handle: () => {} } as never)), {
      code: 'SIGNALBOX_SERVICE_INVALID',
      message: /under\.test/,
    })
  }
})

test('sync, async and thenable answers arrive alike, with status and headers', async () => {
  class Created extends Service {
    override handle(input: unknown) {
      this.response.status = 201
      this.response.headers.location = '/orders/7'
      return input === 'sync' ? 'made' : Promise.resolve('made')
    }
  }
  for (const input of ['sync', 'async']) {
    assert.deepEqual(await runOf(Created).run(input), {
      payload: 'made',
      head: { status: 201, headers: { location: '/orders/7' } },
    })
  }
  // A query builder is no promise, and is awaited all the same.
  // biome-ignore lint/suspicious/noThenProperty: it is what is tested.
  const query = { then: (resolve: (rows: unknown) => void) => resolve(['row']) }
  assert.deepEqual(await runOf(service({ handle: () => query as unknown })).run(1), {
    payload: ['row'],
    head: undefined,
  })
})

test('each message has an instance of its own', async () => {
  class Counting extends Service {
    #count = 0
    override handle() {
      return ++this.#count
    }
  }
  const { run } = runOf(Counting)
  assert.deepEqual([(await run(1)).payload, (await run(1)).payload], [1, 1])
})

test('what is thrown is typed: own errors as they are, others with their cause; 5xx are logged with the cid', async () => {
  const thrown: [unknown, string, number, string[]][] = [
    [new SignalboxError('ORDER_UNKNOWN', 'no order 7', { status: 404 }), 'ORDER_UNKNOWN', 404, []],
    [new SignalboxError('SIGNALBOX_OVERLOADED'), 'SIGNALBOX_OVERLOADED', 503, ['error']],
    [new TypeError('x is undefined'), 'SIGNALBOX_SERVICE_FAILED', 500, ['error']],
    ['a string', 'SIGNALBOX_SERVICE_FAILED', 500, ['error']],
    [undefined, 'SIGNALBOX_SERVICE_FAILED', 500, ['error']],
  ]
  for (const [what, code, status, levels] of thrown) {
    for (const later of [false, true]) {
      const { run, lines } = runOf(
        service({
          handle: () => {
            if (later) return Promise.reject(what)
            throw what
          },
        }),
      )
      const { error } = await run(1, { cid: 'c7' })
      assert.deepEqual([error!.code, error!.status], [code, status])
      if (code === 'SIGNALBOX_SERVICE_FAILED') assert.equal(error!.cause, what)
      assert.deepEqual(
        lines.map(line => line.level),
        levels,
      )
      for (const { data } of lines)
        assert.deepEqual([data.service, data.cid, data.code], ['under.test', 'c7', code])
    }
  }
})

test('a refused tell is logged, since nobody else is told; a cancelled one is not', async () => {
  const refuses = service({
    handle: () => {
      throw new SignalboxError('SIGNALBOX_CONFLICT')
    },
  })
  const { run, lines } = runOf(refuses)
  await run(1, {}, 'tell')
  assert.deepEqual(
    lines.map(line => [line.level, line.message]),
    [['warn', 'message refused']],
  )
  const quiet = runOf(refuses)
  const envelope = new Envelope('service/x', 1, {}, 0, undefined, 0)
  envelope.cancel(new SignalboxError('SIGNALBOX_CANCELLED'))
  await quiet.runner.run(envelope)
  assert.deepEqual(quiet.lines, [])
})

test('one cid for everything that follows: the one that came, or one that is made once', async () => {
  class Caller extends Service {
    override async handle() {
      await this.invoke('a', 1)
      await this.tell('b', 2)
      return [this.request.cid, this.request.cid]
    }
  }
  const { run, calls } = runOf(Caller)
  assert.deepEqual((await run(1, { cid: 'given' })).payload, ['given', 'given'])
  const [made, again] = (await run(1)).payload as string[]
  assert.ok(made && made === again)
  assert.deepEqual(
    calls.map(call => call.options.cid),
    ['given', 'given', made, made],
  )
})

test('identity and trace go along, the channel and the headers do not', async () => {
  const identity = { name: 'anna', definition: 'basic' }
  const channel = { transport: 'http', name: 'public', attributes: { method: 'GET' } }
  class Caller extends Service {
    override async handle() {
      await this.invoke('a', 1, { headers: { own: 'header' } })
      await this.tell('b', 2)
      return [this.request.identity, this.request.channel, this.request.headers, this.request.payload]
    }
  }
  const { run, calls } = runOf(Caller)
  const context = { origin: { identity, channel }, trace: '00-abc', headers: { secret: 'x' } }
  assert.deepEqual((await run('in', context)).payload, [identity, channel, { secret: 'x' }, 'in'])
  for (const { options } of calls) assert.deepEqual([options.origin, options.trace], [{ identity }, '00-abc'])
  assert.deepEqual(
    calls.map(call => call.options.headers),
    [{ own: 'header' }, undefined],
  )
  await run('in', { origin: { channel } })
  assert.equal(calls[2]!.options.origin, undefined)
})

test('parallel keeps the order, and one that fails does not fail the others', async () => {
  const { run } = runOf(
    service({
      handle: (_, context) =>
        context.parallel([{ service: 'a', payload: 1 }, { service: 'fails' }, { service: 'b', payload: 2 }]),
    }),
  )
  const [a, failed, b] = (await run(1)).payload as [object, { ok: boolean; error: SignalboxError }, object]
  assert.deepEqual(
    [a, b],
    [
      { service: 'a', ok: true, value: 'a says 1' },
      { service: 'b', ok: true, value: 'b says 2' },
    ],
  )
  assert.deepEqual([failed.ok, failed.error.code], [false, 'SIGNALBOX_CONFLICT'])
})

test('calls belong to their message, and have their own limits beside', async () => {
  const { signal } = new AbortController()
  const { run, calls } = runOf(
    service({ handle: (_, context) => context.invoke('a', 1, { timeoutMs: 50, signal }) }),
  )
  await run(1)
  const { parent, timeoutMs } = calls[0]!.options
  assert.ok(parent instanceof Envelope)
  assert.deepEqual([timeoutMs, calls[0]!.options.signal], [50, signal])
})

test('the deadline is shown in wall-clock time', async () => {
  const { run } = runOf(service({ handle: (_, context) => [context.request.deadline] }))
  assert.deepEqual((await run(1)).payload, [undefined])
  assert.deepEqual((await run(1, {}, 'ask', 1_500)).payload, [1_500])
})

test('cpu work gets its file, time limit and the signal of the message', async () => {
  const seen: unknown[] = []
  const { run } = runOf(
    service({
      handle: async (_, context) => [
        await context.cpu(new URL('file:///work.ts'), 1),
        await context.cpu(new URL('file:///work.ts'), 2, { timeoutMs: 5 }),
      ],
    }),
    {
      cpu: async (file, payload, timeoutMs, signal) => {
        seen.push([file, payload, timeoutMs, signal.aborted])
        return payload
      },
    },
  )
  assert.deepEqual((await run(1)).payload, [1, 2])
  assert.deepEqual(seen, [
    ['file:///work.ts', 1, 30_000, false],
    ['file:///work.ts', 2, 5, false],
  ])
  await turn()
})
