import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scanImports } from './scan.ts'

function specifiers(source: string): string[] {
  return scanImports(source).map(({ specifier, kind }) => `${kind}:${specifier}`)
}

test('finds every form of import', () => {
  const source = [
    `import 'side-effect'`,
    `import one from "double"`,
    `import { a, type b as c } from './named.ts'`,
    `import * as all from './star.ts'`,
    `import type { T } from './type.ts'`,
    `import type Default from './type-default.ts'`,
    `import {\n  long,\n  longer,\n} from './lines.ts'`,
    `import from from './from.ts'`,
    `import type from './named-type.ts'`,
    `import data from './data.json' with { type: 'json' }`,
    `export { a } from './re.ts'`,
    `export * from './re-star.ts'`,
    `export * as ns from './re-ns.ts'`,
    `export type { U } from './re-type.ts'`,
    `const x = await import('./dynamic.ts')`,
    `new Worker(new URL('./worker.ts', import.meta.url))`,
    `siblingModule(import.meta.url, './boot')`,
    `require('./old.cjs')`,
  ].join('\n')
  assert.deepEqual(specifiers(source), [
    'value:side-effect',
    'value:double',
    'value:./named.ts',
    'value:./star.ts',
    'type:./type.ts',
    'type:./type-default.ts',
    'value:./lines.ts',
    'value:./from.ts',
    'value:./named-type.ts',
    'value:./data.json',
    'value:./re.ts',
    'value:./re-star.ts',
    'value:./re-ns.ts',
    'type:./re-type.ts',
    'dynamic:./dynamic.ts',
    'url:./worker.ts',
    'url:./boot.ts',
    'value:./old.cjs',
  ])
})

test('gives the line of each import', () => {
  const source = `/* two\nlines */\nimport a from 'a'\nconst t = \`x\ny\`\nimport('b')`
  assert.deepEqual(
    scanImports(source).map(({ line }) => line),
    [3, 6],
  )
})

test('is not misled by comments, strings, templates and regular expressions', () => {
  const source = [
    `// import a from 'comment'`,
    `/* import a from 'block' */`,
    `const s = "import a from 'string'"`,
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
    'const t = `import a from "template" ${`nested ${1} import("inner")`} import("tail")`',
    `const r = /import 'regex' [/'"]/.test(s)`,
    `const q = (a) / 2 / import.meta.url.length`,
    `const o = { import: 1, from: 'x' }; o.import`,
    `export const from = 'exported'`,
    `export default function from() { return 'y' }`,
    `import 'real'`,
  ].join('\n')
  assert.deepEqual(specifiers(source), ['value:real'])
})

test('finds imports inside template expressions', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source text
  assert.deepEqual(specifiers('`a ${await import("./in.ts")} b ${{ x: {} }} c`; import("./out.ts")'), [
    'dynamic:./in.ts',
    'dynamic:./out.ts',
  ])
})

test('survives text that is not a program', () => {
  for (const source of ['`${', "'open", '/* open', '}}}}`', 'import', 'import {', 'export *', '#!only']) {
    assert.deepEqual(specifiers(source), [])
  }
})
