/** Writes docs/errors.md from the table of errors: `npm run docs`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ERRORS } from '../core/errors.ts'

/** Where the page is. */
export const ERRORS_PAGE = fileURLToPath(new URL('../docs/errors.md', import.meta.url))

const SOURCE = new URL('../core/errors.ts', import.meta.url)
const HEAD = `# Errors

Generated from \`core/errors.ts\` by \`npm run docs\`; do not edit.

Every error of the bus is a \`SignalboxError\`. Match its \`code\`, not its class or its message: an error that
crossed a thread or a node is rebuilt from its code. _Status_ is what an HTTP channel answers with
(RFC 9110). _Retry_ says whether the same message may succeed when it is sent again. Details of the occurrence
are in \`details\`, and \`retryAfterMs\` says how long to wait where that is known. Services may throw codes of their
own; a code that was retired is never used again.
`

/** The page as it should be. */
export function errorsPage(): string {
  const areas = areasOf(readFileSync(SOURCE, 'utf8'))
  let page = HEAD
  for (const [code, { status, retryable, what, fix }] of Object.entries(ERRORS)) {
    const area = areas.get(code)
    if (area !== undefined) page += `\n## ${area}\n`
    page += `\n### ${code}\n\n${what} ${fix}\n\nStatus ${status}, retry: ${retryable ? 'yes' : 'no'}.\n`
  }
  return page
}

/** The comment lines that group the table, by the code that follows each. */
function areasOf(source: string): Map<string, string> {
  const found = source.matchAll(/^ {2}\/\/ (.+)\n {2}(SIGNALBOX_\w+): \{$/gm)
  return new Map([...found].map(([, area, code]) => [code!, area!]))
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } })
  if (values.write) writeFileSync(ERRORS_PAGE, errorsPage())
  else process.stdout.write(errorsPage())
}
