/** How `signalbox doctor` shows what it found. */
import type { Result } from '../doctor/check.ts'
import { paint, plain } from '../output.ts'

const STYLES = { ok: 'green', warn: 'yellow', fail: 'red' } as const

/** One line for each check; why and how to mend it where something is wrong, or everywhere with `verbose`. */
export function doctorText(results: readonly Result[], verbose: boolean): string {
  const width = Math.max(...results.map(({ title }) => title.length))
  const lines = results.flatMap(({ status, title, detail, why, fix }) => {
    const head = `${paint(STYLES[status], status.padEnd(4))}  ${title.padEnd(width)}  ${plain(detail).replaceAll('\n', '\n      ')}`
    if (status === 'ok') return verbose ? [head, `      why   ${why}`] : [head]
    return [head, `      why   ${why}`, `      mend  ${plain(fix)}`]
  })
  const count = (wanted: Result['status']) => results.filter(({ status }) => status === wanted).length
  return [...lines, '', `${count('ok')} ok, ${count('warn')} warnings, ${count('fail')} failed`].join('\n')
}
