/** How `diff` and `apply` show changes. */
import type { ChangeView } from '../../actors/admin/operator.ts'
import { paint, plain } from '../output.ts'

const DONE = { create: 'created', update: 'configured', delete: 'removed' } as const

/** Lines with +, ~ and -, painted. */
export function diffText(text: string): string {
  return plain(text.trimEnd())
    .split('\n')
    .map(line => paint(styleOf(line), line))
    .join('\n')
}

/** `kind/type/name created|configured|removed|unchanged`, one line each. `before`: ids of what was there. */
export function appliedText(changes: readonly ChangeView[], before: readonly string[]): string {
  const done = new Map<string, string>(before.map(id => [id, 'unchanged']))
  for (const { id, action } of changes) done.set(id, DONE[action])
  return Array.from(done, ([id, what]) => `${plain(id)} ${what}`)
    .sort()
    .join('\n')
}

function styleOf(line: string): 'green' | 'red' | 'yellow' | undefined {
  const mark = line.trimStart()[0]
  return mark === '+' ? 'green' : mark === '-' ? 'red' : mark === '~' ? 'yellow' : undefined
}
