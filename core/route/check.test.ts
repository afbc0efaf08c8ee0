import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { SignalboxError } from '../errors.ts'
import { checkRoute } from './check.ts'
import { findRoutes, isRouteFile, loadRoute, loadRoutes } from './load.ts'
import { mermaid } from './mermaid.ts'
import { route } from './route.ts'
import { parseRoute } from './yaml.ts'

/** What is wrong with a YAML route: `line:column place rule` each. */
async function problems(text: string): Promise<string[]> {
  try {
    await parseRoute(text, 'r.yaml')
    return []
  } catch (error) {
    const { message, code } = error as SignalboxError
    assert.equal(code, 'SIGNALBOX_ROUTE_INVALID')
    return message.split('\n').map(line => line.replace(/^r\.yaml:/, ''))
  }
}

describe('a route in YAML', () => {
  it('says everything that is wrong with line and column', async () => {
    assert.deepEqual(
      await problems(`name: 7up
steps:
  - filtr: a
  - call: { servce: x }
  - choose:
      - when: a
        steps:
          - split: { parallel: many, steps: [{ stop: }] }
  - throttle: 0
  - { call: a, tell: b }
  - {}
  - aggregate: { key: a }
`).then(list => list.slice(0, 1)),
      [`1:1: name must match pattern "^[A-Za-z][A-Za-z0-9_-]*(\\.[A-Za-z0-9_-]+)*$"`],
    )
    assert.deepEqual(
      await problems(`steps:
  - filtr: a
  - call: { servce: x }
  - choose:
      - when: a
        steps:
          - split: { parallel: many, steps: [{ stop: }] }
  - throttle: 0
  - { call: a, tell: b }
  - {}
  - aggregate: { key: a }
`),
      [
        `2:5: steps.0 must not have the property 'filtr'; did you mean 'filter'?`,
        `3:13: steps.1.call must not have the property 'servce'; did you mean 'service'?`,
        '7:22: steps.2.choose.branches.0.steps.0.split.parallel must be integer',
        '8:5: steps.3.throttle.limit must be >= 1',
        '9:5: steps.4 must be one step, not call and tell',
        '10:5: steps.5 says not what to do',
        '11:5: steps.6.aggregate must say when a group is complete: size, sequence, when, timeoutMs or idleMs',
      ],
    )
  })

  it('is refused when it is no YAML, too deep or made of aliases', async () => {
    assert.match((await problems('steps: [\n  - {'))[0]!, /^\d+:\d+: /)
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\nsteps: [stop: ]`
    assert.match((await problems(bomb))[0]!, /alias/i)
    const deep = `steps: [${'{ tap: ['.repeat(30)}{ stop: }${'] }'.repeat(30)}]`
    assert.match((await problems(deep))[0]!, /nested deeper than 16/)
    assert.match((await problems(`steps: ${'['.repeat(100_000)}`))[0]!, /.+/)
    assert.match((await problems(`steps: [${'{ stop: },'.repeat(3_000)}]`))[0]!, /more than 2000 steps/)
    assert.match((await problems('- stop'))[0]!, /must be an object with steps/)
  })

  it('must not name what leads to prototypes', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      const list = await problems(
        `steps:\n  - set: { headers: { "${name}": a } }\n  - set: { vars: { "${name}": a } }\n  - map: { mapping: m, into: ${name} }`,
      )
      assert.equal(list.filter(line => line.includes(`'${name}'`)).length, 3, list.join('\n'))
    }
  })

  it('gives steps names that are unique and stay', () => {
    const { steps } = checkRoute(
      {
        steps: [
          { stop: null },
          { id: 'stop-2', stop: null },
          { stop: null },
          { choose: [{ steps: [{ stop: null }] }] },
        ],
      },
      'r',
    )
    const [a, b, c] = steps
    assert.deepEqual([a?.id, b?.id, c?.id], ['stop-1', 'stop-2', 'stop-3'])
    assert.throws(
      () =>
        checkRoute(
          {
            steps: [
              { id: 'x', stop: null },
              { id: 'x', stop: null },
            ],
          },
          'r',
        ),
      /two steps named x/,
    )
  })
})

describe('route files', () => {
  it('are found and loaded by their names, broken ones with their place', async t => {
    const folder = await mkdtemp(join(tmpdir(), 'signalbox-routes-'))
    t.after(() => rm(folder, { recursive: true }))
    const core = new URL('./route.ts', import.meta.url).href
    const files = {
      'a.yaml': 'steps: [{ set: { payload: 1 } }]',
      'b.ts': `import { route } from '${core}'\nexport default route().stop()\n`,
      'broken.ts': 'export default {\n  steps: [\n',
      'none.ts': 'export default 7\n',
      'expression.yaml': 'steps:\n  - stop:\n  - log: "1 +"\n',
      'twin.yaml': 'name: a\nsteps: [{ stop: }]\n',
      'a.test.yaml': 'tests: []',
      '_private.yaml': 'x: 1',
    }
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
    assert.equal((await findRoutes(folder)).length, 6)
    const { routes, errors } = await loadRoutes(folder)
    assert.deepEqual(routes.map(({ name }) => name).sort(), ['b', 'expression'])
    assert.deepEqual(
      errors.map(({ code, details }) => [code, details?.file, details?.line]),
      [
        ['SIGNALBOX_ROUTE_LOAD', 'broken.ts', 2],
        ['SIGNALBOX_ROUTE_INVALID', 'none.ts', undefined],
        ['SIGNALBOX_ROUTE_INVALID', undefined, undefined],
      ],
    )
    await assert.rejects(loadRoute(folder, join(folder, 'gone.yaml')), { code: 'SIGNALBOX_ROUTE_LOAD' })
    assert.ok(isRouteFile('x/y.yml') && !isRouteFile('x/y.json') && !isRouteFile('.x/y.yaml'))
  })
})

describe('the builder', () => {
  it('makes the same data as YAML', async () => {
    const { route: fromYaml } = await parseRoute(
      `deadLetter: failed
steps:
  - filter: total > 0
  - choose:
      - when: total > 100
        steps: [{ call: approve }]
      - steps: [{ set: { vars: { approved: true } } }]
  - { id: out, publish: invoices }
`,
      'r.yaml',
    )
    const built = route<{ total: number }>()
      .deadLetterTo('failed')
      .filter('total > 0')
      .choose(c =>
        c.when('total > 100', r => r.call('approve')).otherwise(r => r.set({ vars: { approved: true } })),
      )
      .publish('invoices', { id: 'out' })
    const data = checkRoute((built as ReturnType<typeof route>).definition(), 'r')
    assert.deepEqual(
      JSON.parse(JSON.stringify(data).replaceAll('/branches', '')),
      JSON.parse(JSON.stringify(fromYaml).replaceAll('/branches', '')),
    )
  })
})

describe('the diagram', () => {
  it('has every step and branch, and no text that Mermaid would read', async () => {
    const { route: checked } = await parseRoute(
      `deadLetter: failed
steps:
  - choose:
      - { when: 'a = "x"] --> evil', steps: [{ call: one }] }
  - saga: [{ name: pay, do: [{ call: two }], undo: [{ call: back }] }]
  - tap: [{ enqueue: seen }]
  - fail: '"end"'
`,
      'r.yaml',
    )
    const text = mermaid([{ name: 'r', route: checked }])
    for (const label of [
      'call one',
      'call two',
      'call back',
      'enqueue seen',
      'otherwise',
      'undo',
      'copy',
      'dead letters: failed',
    ]) {
      assert.ok(text.includes(label), label)
    }
    assert.ok(!text.includes('] --> evil'))
    // Quotes come in pairs, each around one label.
    for (const line of text.split('\n')) assert.equal((line.match(/"/g) ?? []).length % 2, 0, line)
  })
})
