/** The files of a new project. */

export interface NewProject {
  /** On the bus and for npm. */
  name: string
  /** Where npm gets this package from: a range of versions, or a folder. */
  source: string
}

const PORT = 7711

/** Path below the folder of the project, to content. */
export function projectFiles(project: NewProject): Record<string, string> {
  return {
    'signalbox.yaml': yaml(project),
    'services/greet.ts': SERVICE,
    'services/greet.test.ts': TEST,
    'package.json': `${JSON.stringify(manifest(project), null, 2)}\n`,
    'tsconfig.json': `${JSON.stringify(TSCONFIG, null, 2)}\n`,
    '.gitignore': 'node_modules\n.signalbox/\n*.log\n',
    'README.md': readme(project),
  }
}

function yaml({ name }: NewProject): string {
  return `# yaml-language-server: $schema=node_modules/signalbox/signalbox.schema.json
name: ${name}
try:
  - >-
    curl -H 'content-type: application/json' -d '{"name":"Ada"}' http://127.0.0.1:${PORT}/greet
channels:
  - name: public
    type: http
    options:
      port: ${PORT}
      routes:
        - { path: /greet, method: POST, service: greet }
`
}

const SERVICE = `import { service, Type } from 'signalbox'

// The schema is checked before \`handle\` is called, and gives \`name\` its type.
export default service({
  description: 'Greets by name',
  input: Type.Object({ name: Type.String({ minLength: 1 }) }),
  output: Type.Object({ greeting: Type.String() }),
  handle: ({ name }) => ({ greeting: \`Hello, \${name}!\` }),
})
`

const TEST = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testService } from 'signalbox/test'
import Greet from './greet.ts'

test('greets by name', async () => {
  const { payload } = await testService(Greet).invoke({ name: 'Ada' })
  assert.deepEqual(payload, { greeting: 'Hello, Ada!' })
})

test('refuses an empty name', async () => {
  await assert.rejects(testService(Greet).invoke({ name: '' }), { code: 'SIGNALBOX_INPUT_INVALID' })
})
`

function manifest({ name, source }: NewProject): object {
  return {
    name: name.toLowerCase(),
    version: '0.1.0',
    private: true,
    type: 'module',
    engines: { node: '>=24' },
    scripts: {
      start: 'signalbox start',
      test: 'node --test "services/**/*.test.ts"',
      check: 'tsc',
    },
    dependencies: { signalbox: source },
    devDependencies: { '@types/node': '^24.0.0', typescript: '^7.0.0' },
  }
}

const TSCONFIG = {
  compilerOptions: {
    target: 'es2024',
    lib: ['es2025', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
  },
  include: ['services'],
}

function readme({ name }: NewProject): string {
  return `# ${name}

A project for Signalbox. It needs Node.js 24 or later.

\`\`\`sh
npm install
npm test
npm start
\`\`\`

In another terminal:

\`\`\`sh
curl -H 'content-type: application/json' -d '{"name":"Ada"}' http://127.0.0.1:${PORT}/greet
npx signalbox ps
npx signalbox invoke greet '{"name":"Ada"}'
\`\`\`

| file                   |                                                                |
| ---------------------- | -------------------------------------------------------------- |
| \`signalbox.yaml\`       | channels that let messages in, connections that carry them out |
| \`services/\`            | one file for each service; its path is its name                |
| \`services/*.test.ts\`   | tests, which need no running bus                               |
| \`.signalbox/\`          | what the node keeps, and the token of its admin API            |
`
}
