/** A route as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html). */
import type { CheckedRoute, Step } from './check.ts'

const MAX_LABEL = 60

/** Flowcharts of routes, each a subgraph, as one diagram. */
export function mermaid(routes: readonly { name: string; route: CheckedRoute }[]): string {
  const chart = new Chart()
  for (const { name, route } of routes) chart.add(name, route)
  return chart.text()
}

/** The end of an arrow that is still to be drawn. */
interface Open {
  from: string
  label?: string
}

class Chart {
  readonly #lines: string[] = ['flowchart TD']
  #count = 0

  add(name: string, { settings, steps }: CheckedRoute): void {
    const id = this.#node()
    this.#lines.push(`  subgraph ${id}_route["route/${escaped(name)}"]`)
    this.#lines.push(`    ${id}(["${escaped(name)}"])`)
    const ends = this.#list(steps, [{ from: id }])
    const end = this.#node()
    this.#lines.push(`    ${end}(["end"])`)
    this.#arrows(ends, end)
    if (settings.deadLetter) this.#aside(id, `dead letters: ${settings.deadLetter}`, 'failure')
    this.#lines.push('  end')
  }

  text(): string {
    return `${this.#lines.join('\n')}\n`
  }

  /** Draws steps; what comes out at their end goes on to what follows. */
  #list(steps: readonly Step[], incoming: readonly Open[]): Open[] {
    let open = [...incoming]
    for (const step of steps) open = this.#step(step, open)
    return open
  }

  #step(step: Step, incoming: readonly Open[]): Open[] {
    const id = this.#node()
    const [left, right] = SHAPES[step.kind] ?? ['[', ']']
    this.#lines.push(`    ${id}${left}"${escaped(labelOf(step))}"${right}`)
    this.#arrows(incoming, id)
    const options = step.options as Record<string, unknown>
    switch (step.kind) {
      case 'choose':
        return this.#branches(id, options.branches as { when?: unknown; steps: Step[] }[])
      case 'multicast':
        return (options.branches as Step[][]).flatMap(branch => this.#list(branch, [{ from: id }]))
      case 'tap':
        this.#list(options.steps as Step[], [{ from: id, label: 'copy' }])
        return [{ from: id }]
      case 'saga':
        return this.#saga(id, options.steps as { name?: string; do: Step[]; undo?: Step[] }[])
      case 'circuit': {
        const ends = this.#list(options.steps as Step[], [{ from: id }])
        if (!options.fallback) return ends
        return [...ends, ...this.#list(options.fallback as Step[], [{ from: id, label: 'open' }])]
      }
      case 'split':
        return this.#list(options.steps as Step[], [{ from: id, label: 'each part' }])
      case 'deadLetter':
        this.#aside(id, String(options.queue), 'failure')
        return this.#list(options.steps as Step[], [{ from: id }])
      case 'enrich':
      case 'retry':
        return this.#list(options.steps as Step[], [{ from: id }])
      case 'stop':
      case 'fail':
        return []
      default:
        return [{ from: id }]
    }
  }

  #branches(id: string, branches: readonly { when?: unknown; steps: Step[] }[]): Open[] {
    const ends = branches.flatMap(({ when, steps }) => {
      return this.#list(steps, [{ from: id, label: when === undefined ? 'otherwise' : textOf(when) }])
    })
    const always = branches.some(({ when }) => when === undefined)
    return always ? ends : [...ends, { from: id, label: 'otherwise' }]
  }

  #saga(id: string, stages: readonly { name?: string; do: Step[]; undo?: Step[] }[]): Open[] {
    let open: Open[] = [{ from: id }]
    for (const [i, { name, do: does, undo }] of stages.entries()) {
      const stage = this.#node()
      this.#lines.push(`    ${stage}{{"${escaped(name ?? String(i + 1))}"}}`)
      this.#arrows(open, stage)
      if (undo) this.#list(undo, [{ from: stage, label: 'undo' }])
      open = this.#list(does, [{ from: stage }])
    }
    return open
  }

  #aside(from: string, label: string, arrow: string): void {
    const id = this.#node()
    this.#lines.push(`    ${id}[("${escaped(label)}")]`, `    ${from} -. "${escaped(arrow)}" .-> ${id}`)
  }

  #arrows(incoming: readonly Open[], to: string): void {
    for (const { from, label } of incoming) {
      this.#lines.push(
        label === undefined ? `    ${from} --> ${to}` : `    ${from} -- "${escaped(label)}" --> ${to}`,
      )
    }
  }

  #node(): string {
    return `n${++this.#count}`
  }
}

const SHAPES: Partial<Record<Step['kind'], [string, string]>> = {
  choose: ['{', '}'],
  filter: ['{', '}'],
  dynamic: ['{', '}'],
  publish: ['[(', ')]'],
  enqueue: ['[(', ')]'],
  stop: ['([', '])'],
  fail: ['([', '])'],
}

/** What a step is about, in one line. */
const ABOUT = [
  'when',
  'service',
  'route',
  'connection',
  'topic',
  'queue',
  'mapping',
  'format',
  'to',
  'key',
  'next',
  'limit',
  'ms',
  'message',
  'each',
]

function labelOf({ kind, id, options }: Step): string {
  const given = options as Record<string, unknown>
  const about = ABOUT.find(name => given[name] !== undefined)
  const named = id.startsWith(`${kind}-`) ? kind : `${id}: ${kind}`
  return about === undefined ? named : `${named} ${textOf(given[about])}`
}

function textOf(value: unknown): string {
  const text = typeof value === 'function' ? `ƒ ${String(value)}` : String(value)
  const line = text.replace(/\s+/g, ' ')
  return line.length > MAX_LABEL ? `${line.slice(0, MAX_LABEL)}…` : line
}

/** Text in a label: entities for what Mermaid would read. */
function escaped(text: string): string {
  return text.replace(/[^\p{L}\p{N} .,:/_…=-]/gu, char => `#${char.codePointAt(0)};`)
}
