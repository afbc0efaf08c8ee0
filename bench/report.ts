/** What a run of the benchmarks looks like: a table, Markdown, and a plot. */
import { arch, cpus, type as osType, release, totalmem } from 'node:os'
import { comparisons, lessIsBetter, verdict } from './goals.ts'
import type { BenchRow } from './row.ts'

/** All figures of one run. */
export interface Results {
  date: string
  machine: string
  node: string
  quick: boolean
  rows: (BenchRow & { file: string })[]
}

/** The machine in one line. */
export function machine(): string {
  const [cpu] = cpus()
  const memoryGb = Math.round(totalmem() / 1024 ** 3)
  return `${cpus().length} x ${cpu?.model.trim() ?? arch()}, ${memoryGb} GiB, ${osType()} ${release()}`
}

const HEADS = ['figure', 'signalbox', 'unit', 'limit', 'peers', 'ratio', 'goal', '']

/** Lines for a terminal. */
export function table(rows: readonly BenchRow[]): string {
  const cells = [HEADS, ...rows.map(cellsOf)]
  const widths = HEADS.map((_, column) => Math.max(...cells.map(row => row[column]!.length)))
  const line = (row: string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  const [head, ...body] = cells.map(line)
  return [head, widths.map(width => '-'.repeat(width)).join('  '), ...body].join('\n')
}

export function markdown({ date, machine, node, rows }: Results): string {
  const line = (row: string[]) => `| ${row.join(' | ')} |`
  return [
    `Measured on ${date.slice(0, 10)}, ${machine}, Node.js ${node}.`,
    '',
    line(HEADS),
    line(HEADS.map(() => '---')),
    ...rows.map(row => line(cellsOf(row))),
    '',
  ].join('\n')
}

function cellsOf(row: BenchRow): string[] {
  const beside = comparisons(row)
  return [
    row.name,
    figure(row.value),
    row.unit,
    row.limit === undefined ? '' : figure(row.limit),
    Object.entries(row.peers ?? {})
      .map(([name, value]) => `${name} ${figure(value)}`)
      .join(', '),
    beside.map(({ name, ratio }) => `${ratio.toFixed(2)} ${name}`).join(', '),
    row.goal ?? '',
    verdict(row) ?? '',
  ]
}

/** Three significant digits: more would only be noise. */
export function figure(value: number): string {
  const [divisor, suffix] = value >= 1e6 ? [1e6, ' M'] : value >= 1e4 ? [1e3, ' k'] : [1, '']
  const scaled = value / divisor
  const decimals = scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2
  return scaled.toFixed(decimals) + suffix
}

const BAR = 14
const LEFT = 460
const WIDTH = 1100
const RIGHT = 90

/** Bars of the ratios on a logarithmic scale; to the right of the line at 1 is better than the other one. */
export function plot({ date, machine, rows }: Results): string {
  const bars = rows.flatMap(row => comparisons(row).map(beside => ({ row, ...beside })))
  const reach = Math.max(1, ...bars.map(({ ratio }) => Math.abs(Math.log10(ratio))))
  const middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
  const scale = (WIDTH - LEFT - RIGHT) / 2 / reach
  const height = 50 + bars.length * (BAR + 4)
  const parts = bars.map(({ row, name, ratio }, index) => {
    const y = 40 + index * (BAR + 4)
    const length = Math.log10(ratio) * scale
    const x = length < 0 ? middle + length : middle
    const colour = name === 'limit' ? '#8899aa' : ratio >= 1 ? '#2a7f4f' : '#b4532a'
    const label = `${row.name}: ${lessIsBetter(row) ? `${name} / signalbox` : `signalbox / ${name}`}`
    return [
      `<text x="${LEFT - 8}" y="${y + 11}" text-anchor="end">${escapeXml(label)}</text>`,
      `<rect x="${x.toFixed(1)}" y="${y}" width="${Math.abs(length).toFixed(1)}" height="${BAR}" fill="${colour}"/>`,
      `<text x="${(Math.max(x, middle) + Math.max(length, 0) + 4).toFixed(1)}" y="${y + 11}">${figure(ratio)}x</text>`,
    ].join('')
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="11">`,
    '<rect width="100%" height="100%" fill="white"/>',
    `<text x="8" y="18" font-size="13">Ratios of one run, ${date.slice(0, 10)}, ${escapeXml(machine)}; right of the line is better</text>`,
    ...parts,
    `<line x1="${middle}" y1="32" x2="${middle}" y2="${height - 6}" stroke="black"/>`,
    '</svg>',
    '',
  ].join('\n')
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, char => `&#${char.charCodeAt(0)};`)
}
