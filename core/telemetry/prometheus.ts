/** Metrics in the Prometheus text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/). */
import { type Family, familiesOf, type HistogramValue, type Labels, type Sample } from './families.ts'
import type { MetricsSnapshot } from './snapshot.ts'

/** Units as Prometheus writes them at the end of a name. */
const SUFFIX: Record<string, string> = { s: '_seconds', By: '_bytes', '1': '_ratio' }

/** One text for the snapshots of all threads of a node; the label `worker` tells them apart. */
export function prometheusText(snapshots: readonly MetricsSnapshot[]): string {
  return familiesOf(snapshots).map(familyText).join('')
}

/** The name of a family in Prometheus. */
function nameOf(family: Family): string {
  const name = family.name.replaceAll('.', '_') + (SUFFIX[family.unit] ?? '')
  return family.type === 'counter' ? `${name}_total` : name
}

function familyText(family: Family): string {
  const name = nameOf(family)
  const lines = [`# HELP ${name} ${escapeHelp(family.help)}`, `# TYPE ${name} ${family.type}`]
  if (family.type === 'histogram') {
    for (const sample of family.samples) histogramLines(lines, name, family.bounds, sample)
  } else {
    for (const { labels, value } of family.samples)
      lines.push(`${name}${labelText(labels)} ${numberText(value)}`)
  }
  return `${lines.join('\n')}\n`
}

function histogramLines(
  lines: string[],
  name: string,
  bounds: readonly number[],
  { labels, value }: Sample<HistogramValue>,
): void {
  let sum = 0
  bounds.forEach((bound, i) => {
    sum += value.counts[i]!
    lines.push(`${name}_bucket${labelText({ ...labels, le: numberText(bound) })} ${sum}`)
  })
  lines.push(`${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${value.count}`)
  lines.push(`${name}_sum${labelText(labels)} ${numberText(value.sum)}`)
  lines.push(`${name}_count${labelText(labels)} ${value.count}`)
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function escapeHelp(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}
