/** What changes between two sets of resources, and how it is shown. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stepsOf } from '../security/secret-paths.ts'
import { applyChanges, changesBetween, diff, type FieldChange, renderDiff } from './diff.ts'
import { idOf, RESOURCE_KINDS, type Resource, secretsOf } from './resource.ts'
import { channel, KINDS } from './test-kit.ts'

const options = fc.dictionary(
  fc.constantFrom('a', 'b/c', 'd~e', 'constructor', 'f'),
  fc.jsonValue({ maxDepth: 3 }),
  {
    maxKeys: 4,
  },
)
const resource: fc.Arbitrary<Resource> = fc
  .record({
    kind: fc.constantFrom(...RESOURCE_KINDS),
    type: fc.constantFrom('http', 'memory'),
    name: fc.constantFrom('a', 'b', 'c'),
    options,
    security: fc.uniqueArray(fc.constantFrom('x', 'y'), { minLength: 1 }),
  })
  .map(({ security, ...rest }) => (rest.kind === 'channel' ? { ...rest, security } : rest))
const resources = fc.uniqueArray(resource, { selector: idOf, maxLength: 8 })

const byId = (list: readonly Resource[]) => list.toSorted((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
/** As JSON says it: keys in any order, no minus zero. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

test('applied to what is there, the changes give what is wanted', () => {
  fc.assert(
    fc.property(resources, resources, (a, b) => {
      assert.deepEqual(plain(byId(applyChanges(a, changesBetween(a, b)))), plain(byId(b)))
    }),
  )
})

test('nothing changes between equals, in whatever order they come', () => {
  fc.assert(
    fc.property(resources, resources, (a, b) => {
      assert.deepEqual(diff(a, a.toReversed()), [])
      assert.deepEqual(diff(a, plain(a) as Resource[]), [])
      assert.deepEqual(diff(a, b), diff(a.toReversed(), b.toReversed()))
    }),
  )
})

test('the fields of an update make the new resource of the old one', () => {
  fc.assert(
    fc.property(options, options, (before, after) => {
      const [change] = diff([channel('a', before)], [channel('a', after)])
      const changed = { ...channel('a', structuredClone(before)) }
      for (const field of change?.fields ?? []) put(changed, field)
      assert.deepEqual(plain(changed), plain(channel('a', after)))
    }),
  )
})

function put(target: unknown, { pointer, after }: FieldChange): void {
  const steps = stepsOf(pointer)
  const last = steps.pop()!
  const holder = steps.reduce((at, step) => (at as Record<string, unknown>)[step], target)
  if (after === undefined) delete (holder as Record<string, unknown>)[last]
  else (holder as Record<string, unknown>)[last] = after
}

test('what others need comes before them, and goes after them', () => {
  const made = ['security', 'connection', 'channel'].map(
    kind => ({ kind, type: 't', name: 'n', options: {} }) as Resource,
  )
  const ids = (list: { id: string }[]) => list.map(({ id }) => id)
  assert.deepEqual(ids(diff([], made)), ['security/t/n', 'connection/t/n', 'channel/t/n'])
  assert.deepEqual(ids(diff(made, [])), ['connection/t/n', 'channel/t/n', 'security/t/n'])
})

test('it is shown with +, ~ and -, and secrets are not', () => {
  const text = renderDiff(
    diff(
      [
        channel('gone', { secret: 'OLD-SECRET' }),
        channel('web', { port: 1, secret: 'OLD-SECRET', users: [{ pin: 'OLD-PIN' }], same: 1 }),
        { kind: 'channel', type: 'unknown', name: 'u', options: { what: 'OLD-PIN' } },
      ],
      [
        channel('new', { secret: 'NEW-SECRET' }),
        {
          ...channel('web', { secret: 'NEW-SECRET', users: [{ pin: 'a' }, { pin: 'b' }], same: 1 }),
          security: ['s'],
        },
        { kind: 'channel', type: 'unknown', name: 'u', options: { what: 'NEW-PIN' } },
      ],
      secretsOf(KINDS),
    ),
  )
  assert.equal(
    text,
    `- channel/test/gone
+ channel/test/new
~ channel/test/web
  - /options/port: 1
  - /options/secret: "(secret)"
  + /options/secret: "(secret)"
  - /options/users: [{"pin":"(secret)"}]
  + /options/users: [{"pin":"(secret)"},{"pin":"(secret)"}]
  + /security: ["s"]
~ channel/unknown/u
  - /options/what: "(secret)"
  + /options/what: "(secret)"`,
  )
})

test('what a terminal would obey is escaped', () => {
  const text = renderDiff(diff([channel('a', {})], [channel('a', { 'k\u001b[2J\n+ x': 'v\u009b' })]))
  assert.equal(text, '~ channel/test/a\n  + /options/k\\u001b[2J\\u000a+ x: "v\\u009b"')
})
