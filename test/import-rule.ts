/** Part of `npm run check`: prints each import that breaks the rule, with file and line, and exits with 1. */
import { checkImports } from './imports/rules.ts'

const violations = checkImports(process.cwd())
for (const { file, line, rule } of violations) console.error(`${file}:${line}: ${rule}`)
if (violations.length > 0) process.exitCode = 1
