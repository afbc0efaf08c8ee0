/** The syntax tree that the jsonata package makes, as far as the compiler uses it. */
import type { Signature } from './values.ts'

export interface Node {
  type: string
  // biome-ignore lint/suspicious/noExplicitAny: a name, number, text or pattern, by type
  value?: any
  position?: number
  keepArray?: boolean
  keepSingletonArray?: boolean
  consarray?: boolean
  tuple?: boolean
  focus?: string
  index?: string
  /** For the steps whose item is somebody's parent, and for `%`: the name it has. */
  ancestor?: { label: string }
  slot?: { label: string }
  thunk?: boolean
  steps?: Node[]
  stages?: Node[]
  predicate?: Node[]
  group?: { lhs: [Node, Node][]; position?: number }
  expr?: Node
  expression?: Node
  expressions?: Node[]
  terms?: { descending: boolean; expression: Node }[]
  lhs?: Node | [Node, Node][]
  rhs?: Node
  arguments?: Node[]
  procedure?: Node
  signature?: Signature
  body?: Node
  condition?: Node
  then?: Node
  else?: Node
  pattern?: Node
  update?: Node
  delete?: Node
}

/** The names that a part of a program binds in its own frame: not those of blocks and functions inside it. */
export function boundNames(node: Node, found: Set<string> = new Set()): Set<string> {
  if (node.type === 'bind') found.add((node.lhs as Node).value)
  for (const child of childrenOf(node)) {
    if (child.type !== 'block' && child.type !== 'lambda') boundNames(child, found)
  }
  return found
}

/**
 * Where `$eval` is used in any other way than with a text that stands in the expression, or undefined: a text that comes
 * from the data would be run as code. An inner `$eval` is refused whatever it is given.
 */
export function evalOfData(node: Node, isPiped = false): number | undefined {
  const { type, procedure, position = 0 } = node
  if (type === 'variable' && node.value === 'eval') return position
  if (type === 'bind' && (node.lhs as Node).value === 'eval') return position
  const isCall = type === 'function' && procedure?.type === 'variable' && procedure.value === 'eval'
  if (isCall) {
    const [code] = node.arguments ?? []
    if (isPiped || code?.type !== 'string' || String(code.value).includes('eval')) return position
  }
  for (const child of childrenOf(node)) {
    if (isCall && child === procedure) continue
    const found = evalOfData(child, type === 'apply' && child === node.rhs)
    if (found !== undefined) return found
  }
  return undefined
}

function childrenOf(node: Node): Node[] {
  const children: Node[] = []
  for (const value of Object.values(node)) collect(value, children)
  return children
}

function collect(value: unknown, children: Node[]): void {
  if (typeof value !== 'object' || value === null || value instanceof RegExp) return
  if (Array.isArray(value)) for (const item of value) collect(item, children)
  else if (typeof (value as Node).type === 'string') children.push(value as Node)
  else for (const item of Object.values(value)) collect(item, children)
}
