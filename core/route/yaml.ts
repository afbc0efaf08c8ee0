/** Routes as YAML files: everything that is wrong at once, each with its line and column. */
import type { Document, LineCounter } from 'yaml'
import { SignalboxError } from '../errors.ts'
import { stepsOf } from '../security/secret-paths.ts'
import { type CheckedRoute, RouteChecker } from './check.ts'

/** The place of a JSON pointer in the file; that of the nearest value around it when there is none. From 1. */
export type Locate = (pointer: string) => { line: number; column: number }

const MAX_ALIASES = 100

/** Reads the text of a route. Throws SIGNALBOX_ROUTE_INVALID; details `errors` with line and column, `file`, `line`. */
export async function parseRoute(
  text: string,
  file: string,
): Promise<{ route: CheckedRoute; locate: Locate }> {
  const { document, lines, data } = await readYaml(text, file)
  const locate = await locating(document, lines)
  const checker = new RouteChecker()
  const route = checker.check(data)
  if (checker.problems.length === 0) return { route, locate }
  const errors = checker.problems
    .map(problem => ({ ...problem, ...locate(withProperty(problem)) }))
    .sort((a, b) => a.line - b.line || a.column - b.column)
  const list = errors.map(({ line, column, pointer, rule }) => {
    return `${file}:${line}:${column}: ${pointer === '' ? '(all)' : stepsOf(pointer).join('.')} ${rule}`
  })
  throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', list.join('\n'), {
    details: { file, line: errors[0]!.line, column: errors[0]!.column, errors },
  })
}

/** A property that must not be there has a place as well. */
function withProperty({ pointer, rule }: { pointer: string; rule: string }): string {
  const property = /^must not have the property '([^']+)'/.exec(rule)?.[1]
  return property === undefined ? pointer : `${pointer}/${property}`
}

/** Reads a YAML text as data. Throws SIGNALBOX_ROUTE_INVALID with line and column. */
export async function readYaml(text: string, file: string) {
  // Most workers have no use for it.
  const { LineCounter, parseDocument } = await import('yaml')
  const lines = new LineCounter()
  let document: Document
  let data: unknown
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
    const problem = document.errors[0]
    if (problem) {
      const { line, col: column } = lines.linePos(problem.pos[0])
      const message = `${file}:${line}:${column}: ${problem.message}`
      throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', message, { details: { file, line, column } })
    }
    data = document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (cause) {
    if (cause instanceof SignalboxError) throw cause
    // An alias of nothing, or too many of them, or a depth that the stack does not hold.
    throw new SignalboxError('SIGNALBOX_ROUTE_INVALID', `${file}: ${(cause as Error).message}`, {
      cause,
      details: { file },
    })
  }
  return { document, lines, data }
}

async function locating(document: Document, lines: LineCounter): Promise<Locate> {
  const { isAlias, isMap, isScalar, isSeq } = await import('yaml')
  const startOf = (node: unknown) => (node as { range?: [number, number, number] } | null)?.range?.[0]
  return pointer => {
    let node: unknown = document.contents
    let offset = startOf(node) ?? 0
    for (const segment of stepsOf(pointer)) {
      if (isAlias(node)) node = node.resolve(document)
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === segment)
        // A shorthand: the value stands where its property would.
        if (!pair) continue
        offset = startOf(pair.key) ?? offset
        node = pair.value
      } else if (isSeq(node)) {
        const item = node.items[Number(segment)]
        // Lists as shorthands have no property between them and their items.
        if (item === undefined) continue
        node = item
        offset = startOf(node) ?? offset
      }
    }
    const { line, col } = lines.linePos(offset)
    return { line: line || 1, column: col || 1 }
  }
}
