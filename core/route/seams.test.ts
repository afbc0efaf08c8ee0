import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { projectSeams, type RouteSeams } from './seams.ts'

let root: string
let seams: RouteSeams

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'signalbox-seams-'))
  const files = {
    'mappings/declared.yaml': 'map: { total: { from: sum, required: true } }',
    'mappings/in/jsonata.jsonata': '{ "total": $sum(lines.price) }',
    'mappings/code.ts': 'export default (input: { a: number }) => ({ b: input.a + 1 })',
    'schemas/order.json': '{ "type": "object", "required": ["id"] }',
    'schemas/order.xsd':
      '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="order" type="xs:int"/></xs:schema>',
    'schemas/order.rules.yaml': '- { id: R1, test: "total > 0", message: nothing to pay, pointer: /total }',
    'schemas/code.ts':
      'export default { validate: () => [{ source: "rule", severity: "error", rule: "X", message: "no" }] }',
    'schemas/none.ts': 'export default 1',
  }
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  seams = projectSeams(root)
})
after(() => rm(root, { recursive: true }))

test('mappings of every kind are found by their names', async () => {
  assert.deepEqual((await seams.mapping('declared')).run({ sum: 3 }), { total: 3 })
  assert.deepEqual((await seams.mapping('in/jsonata')).run({ lines: [{ price: 1 }, { price: 2 }] }), {
    total: 3,
  })
  assert.deepEqual((await seams.mapping('code')).run({ a: 1 }), { b: 2 })
})

test('validators of every kind are found by their names', async () => {
  const rulesOf = async (name: string, message: unknown) =>
    (await (await seams.validator(name)).validate(message)).map(({ source, rule }) => [source, rule])
  assert.deepEqual(await rulesOf('order', {}), [['schema', 'required']])
  assert.deepEqual(await rulesOf('code', {}), [['rule', 'X']])
  // The endings have an order; a name with its ending but the last is that file.
  const rules = projectSeams(root)
  await rm(join(root, 'schemas/order.json'))
  await rm(join(root, 'schemas/order.xsd'))
  assert.deepEqual(
    (await (await rules.validator('order')).validate({ total: 0 })).map(({ rule, pointer }) => [
      rule,
      pointer,
    ]),
    [['R1', '/total']],
  )
})

test('what is not there, or none, is refused at deployment', async () => {
  const code = 'SIGNALBOX_ROUTE_INVALID'
  for (const name of ['nothing', '../schemas/order', '/etc/passwd', 'a//b', '.', 'a/../b']) {
    await assert.rejects(seams.mapping(name), { code }, name)
    await assert.rejects(seams.validator(name), { code }, name)
  }
  await assert.rejects(seams.validator('none'), { code })
})
