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
