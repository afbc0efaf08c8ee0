/** docs/routes.md: every step with every option, and examples that are right. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import { checkRoute } from '../../core/route/check.ts'
import { ROUTE_SETTINGS, STEP_OPTIONS } from '../../core/route/options.ts'
import { routeTests } from '../../core/route/test-file.ts'
import { testRoute } from '../../core/route/test-kit.ts'

const PAGE = readFileSync(new URL('../../docs/routes.md', import.meta.url), 'utf8')
const blocks = [...PAGE.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text!)
const sections = new Map(
  PAGE.split(/^### /m)
    .slice(1)
    .map(text => [text.slice(0, text.indexOf('\n')), text]),
)

test('every step has a section with all its options and two examples', () => {
  assert.deepEqual([...sections.keys()].sort(), Object.keys(STEP_OPTIONS).sort())
  for (const [kind, { properties }] of Object.entries(STEP_OPTIONS)) {
    const section = sections.get(kind)!
    for (const name of Object.keys(properties)) assert.ok(section.includes(`\`${name}\``), `${kind}: ${name}`)
    assert.ok((section.match(/```yaml/g) ?? []).length >= 2, kind)
  }
  for (const name of Object.keys(ROUTE_SETTINGS)) assert.ok(PAGE.includes(`| \`${name}\``), name)
})

test('every example compiles, and its tests pass', async () => {
  let steps = 0
  for (const block of blocks) {
    const data = parse(block) as { tests?: unknown; steps?: unknown } | unknown[]
    if (Array.isArray(data)) {
      steps += data.length
      const checked = checkRoute({ steps: data }, block)
      const isMapped = /^- map:/m.test(block)
      // Mappings are files; everything else compiles as it stands.
      if (!isMapped) await (await testRoute(checked)).close()
    } else if (data.tests) {
      const intake = checkRoute(parse(blocks[0]!), 'intake')
      for (const { run } of await routeTests(block, 'docs', intake, '.')) await run()
    } else await (await testRoute(checkRoute(data, block))).close()
  }
  assert.ok(steps > 60)
})
