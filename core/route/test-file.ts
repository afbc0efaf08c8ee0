/**
 * Tests of a route in YAML, beside it as `NAME.test.yaml`:
 *
 * ```yaml
 * services:                    # what calls are answered with, unless a test says otherwise
 *   invoices.approve: { answer: { approved: true } }
 * tests:
 *   - name: large invoices are approved
 *     given: { payload: { id: 7, total: 20000 }, headers: { from: test } }
 *     expect:
 *       payload: { approved: true }
 *       calls: [{ service: invoices.approve, payload: { id: 7, total: 20000 } }]
 *       published: [{ topic: invoices }]
 *   - name: an invoice that is refused becomes a dead letter
 *     given: { payload: { id: 8, total: 20000 } }
 *     services:
 *       invoices.approve: { error: { code: REFUSED, message: too much, status: 422 } }
 *     expect:
 *       enqueued: [{ queue: invoices.failed, payload: { id: 8, total: 20000 } }]
 * ```
 */
import { isDeepStrictEqual } from 'node:util'
import { systemClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { compileSchema, type Static, Type } from '../schema.ts'
import { type FakeService, fakeConnection } from '../service/test-kit.ts'
import type { Connection, OutgoingMessage } from '../transport.ts'
import type { CheckedRoute } from './check.ts'
import { testRoute } from './test-kit.ts'
import { readYaml } from './yaml.ts'

const closed = { additionalProperties: false }
const opt = Type.Optional
const Texts = Type.Record(Type.String(), Type.String())
const Failure = Type.Object(
  {
    code: Type.String(),
    message: opt(Type.String()),
    status: opt(Type.Integer()),
    retryable: opt(Type.Boolean()),
  },
  closed,
)
/** What a fake does: answers, or fails; a list does so one after the other, the last for ever. */
const Answer = Type.Object({ answer: opt(Type.Unknown()), error: opt(Failure) }, closed)
const Fakes = opt(Type.Record(Type.String(), Type.Union([Answer, Type.Array(Answer, { minItems: 1 })])))
const FAKES = { services: Fakes, routes: Fakes, connections: Fakes }
const Kept = { payload: opt(Type.Unknown()), headers: opt(Texts), key: opt(Type.String()) }

const TestFile = Type.Object(
  {
    ...FAKES,
    tests: Type.Array(
      Type.Object(
        {
          name: Type.String({ minLength: 1 }),
          given: opt(
            Type.Object(
              { payload: opt(Type.Unknown()), headers: opt(Texts), cid: opt(Type.String()) },
              closed,
            ),
          ),
          ...FAKES,
          expect: Type.Object(
            {
              payload: opt(Type.Unknown()),
              status: opt(Type.Integer()),
              headers: opt(Texts),
              error: opt(Type.Object({ code: opt(Type.String()), message: opt(Type.String()) }, closed)),
              calls: opt(
                Type.Array(
                  Type.Object(
                    {
                      service: opt(Type.String()),
                      route: opt(Type.String()),
                      payload: opt(Type.Unknown()),
                      headers: opt(Texts),
                    },
                    closed,
                  ),
                ),
              ),
              sent: opt(
                Type.Array(
                  Type.Object(
                    {
                      connection: Type.String(),
                      payload: opt(Type.Unknown()),
                      headers: opt(Texts),
                      attributes: opt(Type.Unknown()),
                    },
                    closed,
                  ),
                ),
              ),
              published: opt(Type.Array(Type.Object({ topic: Type.String(), ...Kept }, closed))),
              enqueued: opt(Type.Array(Type.Object({ queue: Type.String(), ...Kept }, closed))),
            },
            closed,
          ),
        },
        closed,
      ),
      { minItems: 1 },
    ),
  },
  closed,
)

type File = Static<typeof TestFile>
type FileTest = File['tests'][number]
type Fakes = NonNullable<File['services']>

/** One test, ready to run. Rejects with an Error that says what differs. */
export interface RouteTest {
  name: string
  run(): Promise<void>
}

/** Reads the tests of a route. Throws SIGNALBOX_ROUTE_INVALID for what is no such file. */
export async function routeTests(
  text: string,
  file: string,
  route: CheckedRoute,
  root: string,
): Promise<RouteTest[]> {
  const { data } = await readYaml(text, file)
  const violations = compileSchema(TestFile)(data)
  if (violations) {
    const list = violations.slice(0, 20).map(({ pointer, rule }) => `${file}: ${pointer || '(all)'} ${rule}`)
    throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', list.join('\n'), { details: { errors: violations } })
  }
  const tests = data as File
  return tests.tests.map(test => ({ name: test.name, run: () => run(test, tests, route, root) }))
}

interface Sent {
  connection: string
  payload: unknown
  headers: Record<string, string>
  attributes: unknown
}

async function run(test: FileTest, file: File, checked: CheckedRoute, root: string): Promise<void> {
  const sent: Sent[] = []
  const merged = (kind: 'services' | 'routes' | 'connections') =>
    Object.entries({ ...file[kind], ...test[kind] })
  const route = await testRoute(checked, {
    root,
    clock: systemClock,
    services: Object.fromEntries(merged('services').map(([name, fake]) => [name, fakeOf(fake)])),
    routes: Object.fromEntries(merged('routes').map(([name, fake]) => [name, fakeOf(fake)])),
    connections: Object.fromEntries(
      merged('connections').map(([name, fake]) => [name, connectionOf(name, fakeOf(fake), sent)]),
    ),
  })
  const { payload, headers, cid } = test.given ?? {}
  const differences: string[] = []
  const compare = (what: string, actual: unknown, expected: unknown) => {
    const difference = differs(plain(actual), expected, what)
    if (difference) differences.push(difference)
  }
  try {
    const reply = await route
      .send(payload, { ...(headers && { headers }), ...(cid !== undefined && { cid }) })
      .catch((error: SignalboxError) => error)
    const { expect } = test
    if (reply instanceof Error) {
      if (!expect.error) throw reply
      for (const key of ['code', 'message'] as const) {
        if (expect.error[key] !== undefined) compare(`error.${key}`, reply[key], expect.error[key])
      }
    } else if (expect.error) differences.push('it did not fail')
    else {
      if (Object.hasOwn(expect, 'payload')) compare('payload', reply.payload ?? null, expect.payload)
      if (expect.status !== undefined) compare('status', reply.status, expect.status)
      if (expect.headers) subset('headers', reply.headers, expect.headers, compare)
    }
    if (expect.calls) list('calls', route.calls.map(callOf), expect.calls, compare)
    if (expect.sent) list('sent', sent, expect.sent, compare)
    const kept = (kind: 'topic' | 'queue') =>
      route.kept
        .filter(one => one.kind === kind)
        .map(({ name, payload, options }) => ({
          [kind]: name,
          payload,
          headers: options.headers,
          key: options.key,
        }))
    if (expect.published) list('published', kept('topic'), expect.published, compare)
    if (expect.enqueued) list('enqueued', kept('queue'), expect.enqueued, compare)
  } finally {
    await route.close()
  }
  if (differences.length > 0) throw new Error(differences.join('\n'))
}

type Compare = (what: string, actual: unknown, expected: unknown) => void

function callOf({ service, payload, headers }: { service: string; payload: unknown; headers: object }) {
  const route = /^route\/(.+)$/.exec(service)?.[1]
  return route === undefined ? { service, payload, headers } : { route, payload, headers }
}

/** All of them, in order; of each what is expected of it. */
function list(what: string, actual: readonly object[], expected: readonly object[], compare: Compare): void {
  compare(`${what}: how many`, actual.length, expected.length)
  for (const [i, one] of expected.entries()) {
    if (actual[i]) subset(`${what}[${i}]`, actual[i], one, compare)
  }
}

function subset(what: string, actual: object, expected: object, compare: Compare): void {
  for (const [name, value] of Object.entries(expected)) {
    const found = (actual as Record<string, unknown>)[name]
    if (name === 'headers') subset(`${what}.headers`, (found ?? {}) as object, value as object, compare)
    else compare(`${what}.${name}`, found, value)
  }
}

/** Where two values differ first, in words. */
function differs(actual: unknown, expected: unknown, what: string): string | undefined {
  if (isDeepStrictEqual(actual, expected)) return undefined
  return `${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual) ?? 'nothing'}`
}

/** Without the differences that YAML cannot write down. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown)
}

function fakeOf(given: Fakes[string]): FakeService {
  const answers = Array.isArray(given) ? given : [given]
  let next = 0
  return () => {
    const { answer, error } = answers[Math.min(next++, answers.length - 1)]!
    if (!error) return answer
    const { code, message, status, retryable } = error
    throw new SignalboxError(code, message, {
      ...(status !== undefined && { status }),
      ...(retryable !== undefined && { retryable }),
    })
  }
}

function connectionOf(name: string, fake: FakeService, sent: Sent[]): Connection {
  return fakeConnection({
    send: async ({ payload, headers, attributes }: OutgoingMessage) => {
      sent.push({ connection: name, payload, headers: { ...headers }, attributes })
      return { payload: fake(payload, undefined as never), headers: {}, cid: '' }
    },
  })
}
