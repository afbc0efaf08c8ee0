/** The import rule: which folder may import which. `npm run check` applies it with test/import-rule.ts. */
import { globSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { type Import, scanImports } from './scan.ts'

const PACKAGE = 'signalbox'
const FOLDERS = ['core', 'actors', 'transports', 'cli', 'test', 'bench', 'examples']

/** An import that the rule forbids. */
export interface Violation {
  /** Path from the root, with forward slashes. */
  file: string
  line: number
  rule: string
}

interface Edge extends Import {
  file: string
  /** Path of the imported file from the root; undefined for a package or a module of Node. */
  target: string | undefined
}

/** Checks all source files below `root` and returns every violation, in the order of the files. */
export function checkImports(root: string): Violation[] {
  const files = globSync(`{${FOLDERS.join(',')}}/**/*.{ts,mts,mjs,js}`, {
    cwd: root,
    exclude: path => /(^|\/)(node_modules|dist)$/.test(path),
  }).sort()
  const edges = files.flatMap(file => edgesOf(root, file))
  const violations = edges.flatMap(edge => {
    const rule = edge.target === undefined ? brokenByPackage(edge) : brokenByFile(edge, edge.target)
    return rule === undefined ? [] : [{ file: edge.file, line: edge.line, rule }]
  })
  return [...violations, ...cyclesInCore(edges)]
}

function edgesOf(root: string, file: string): Edge[] {
  return scanImports(readFileSync(join(root, file), 'utf8')).map(found => {
    const { specifier, kind } = found
    const isRelative = /^\.{1,2}(\/|$)/.test(specifier) || (kind === 'url' && !specifier.includes(':'))
    if (!isRelative) return { ...found, file, target: undefined }
    return { ...found, file, target: posix.normalize(posix.join(posix.dirname(file), specifier)) }
  })
}

function brokenByPackage({ file, specifier }: Edge): string | undefined {
  const folder = topFolder(file)
  const isOwn = specifier === PACKAGE || specifier.startsWith(`${PACKAGE}/`)
  if (isOwn && !/^(examples|test|bench)$/.test(folder)) {
    return `${folder} is part of '${PACKAGE}': import the file itself`
  }
  return undefined
}

/** The rule that an import of `target` breaks, if any. A test file obeys its folder, but may import test. */
function brokenByFile({ file, kind }: Edge, target: string): string | undefined {
  const from = topFolder(file)
  const to = topFolder(target)
  if (target.startsWith('../')) return `nothing outside the package is imported: ${target}`
  if (kind === 'url' && !/\.(ts|mts|mjs|js)$/.test(target)) return undefined
  if (from === 'test' || from === 'bench') return undefined
  if (isTest(target) && !isTest(file)) return `only tests import ${target}, which is for tests`
  if (to === 'test') {
    return isTest(file) || isBench(file)
      ? undefined
      : 'only test, bench, *.test.ts and *-harness.ts files import test'
  }
  if (from === 'cli' || (to === 'bench' && isBench(file))) return undefined
  if (from === 'examples') {
    const own = file.split('/').slice(0, 2).join('/')
    return target.startsWith(`${own}/`)
      ? undefined
      : `an example imports only '${PACKAGE}' and its own files, not ${target}`
  }
  if (target === 'package.json' || to === 'core') return undefined
  // The reference transport is there for tests.
  if (isTest(file) && target.startsWith('transports/memory/')) return undefined
  if (from === 'core') return `core imports no other folder, not ${target}`
  if (from !== to) return `${from} imports only core and itself, not ${target}`
  return from === 'transports' ? brokenByTransport(file, target) : undefined
}

function brokenByTransport(file: string, target: string): string | undefined {
  const [, transport, ...rest] = file.split('/')
  // The list of all transports, transports/index.ts, and its test stand beside the transports.
  if (rest.length === 0) return undefined
  if (target.startsWith(`transports/${transport}/`)) return undefined
  return `no transport imports another or the list of them: ${transport} imports ${target}`
}

/** Cycles that exist when the program runs: erased types and files of other threads make none. */
function cyclesInCore(edges: Edge[]): Violation[] {
  const graph = new Map<string, Edge[]>()
  for (const edge of edges) {
    const isInner = topFolder(edge.file) === 'core' && edge.target?.startsWith('core/')
    if (!isInner || edge.kind === 'type' || edge.kind === 'url') continue
    graph.set(edge.file, [...(graph.get(edge.file) ?? []), edge])
  }
  const cycles: Violation[] = []
  const done = new Set<string>()
  const visit = (file: string, path: string[]) => {
    for (const edge of graph.get(file) ?? []) {
      const target = edge.target!
      const start = [...path, file].indexOf(target)
      if (start >= 0) {
        const cycle = [...path, file].slice(start)
        cycles.push({
          file,
          line: edge.line,
          rule: `core has no import cycles: ${[...cycle, target].join(' -> ')}`,
        })
      } else if (!done.has(target)) visit(target, [...path, file])
    }
    done.add(file)
  }
  for (const file of graph.keys()) if (!done.has(file)) visit(file, [])
  return cycles
}

function topFolder(path: string): string {
  return path.split('/', 1)[0]!
}

/** A test, or what only tests use: `connection-harness.ts`, `net-test-peer.ts`. */
function isTest(file: string): boolean {
  return /\.test\.ts$|(^|[/-])harness\.ts$|-test-[^/]*\.ts$/.test(file)
}

function isBench(file: string): boolean {
  return /(^|[/.])bench\.ts$/.test(file)
}
