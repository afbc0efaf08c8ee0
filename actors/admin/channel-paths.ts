/** Paths of HTTP channels (find-my-way) as path templates of OpenAPI. */
import type { JsonSchema } from './openapi-schema.ts'

/** Name that the wildcard gets in a template; the bus calls it `*`. */
export const WILDCARD = 'wildcard'

/** A parameter of a path. */
export interface PathParameter {
  /** As the bus calls it. */
  name: string
  schema: JsonSchema
}

export interface PathTemplate {
  /** Literal parts and parameters, in order. */
  parts: (string | PathParameter)[]
}

const PARAMETER = /^:([A-Za-z0-9_]+)/

/** The templates of a path: two when its last parameter is optional. */
export function templatesOf(path: string): PathTemplate[] {
  const text = path.startsWith('/') ? path : `/${path}`
  const parts: (string | PathParameter)[] = []
  let at = 0
  let isOptional = false
  while (at < text.length) {
    const rest = text.slice(at)
    const name = PARAMETER.exec(rest)?.[1]
    if (rest.startsWith('::')) {
      literal(parts, ':')
      at += 2
    } else if (name !== undefined) {
      at += name.length + 1
      const pattern = text[at] === '(' ? patternAt(text, at) : undefined
      if (pattern !== undefined) at += pattern.length + 2
      isOptional = text[at] === '?' && at === text.length - 1
      if (isOptional) at++
      parts.push({ name, schema: { type: 'string', ...(pattern && { pattern: `^(?:${pattern})$` }) } })
    } else if (rest.startsWith('*')) {
      parts.push({
        name: '*',
        schema: { type: 'string', description: 'The rest of the path; may hold slashes' },
      })
      break
    } else {
      literal(parts, text[at]!)
      at++
    }
  }
  return isOptional ? [{ parts: withoutLast(parts) }, { parts }] : [{ parts }]
}

function literal(parts: (string | PathParameter)[], character: string): void {
  // Braces would be taken for a parameter of the template.
  const safe = /[{}]/.test(character) ? encodeURIComponent(character) : character
  const last = parts.at(-1)
  if (typeof last === 'string') parts[parts.length - 1] = last + safe
  else parts.push(safe)
}

/** The regular expression in the parentheses that open at `start`. */
function patternAt(text: string, start: number): string {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '(') depth++
    else if (text[at] === ')' && --depth === 0) return text.slice(start + 1, at)
  }
  return text.slice(start + 1)
}

function withoutLast(parts: (string | PathParameter)[]): (string | PathParameter)[] {
  const shorter = parts.slice(0, -1)
  const last = shorter.at(-1)
  if (typeof last === 'string' && last.length > 1 && last.endsWith('/'))
    shorter[shorter.length - 1] = last.slice(0, -1)
  return shorter
}

/** The same for templates that differ only in the names of their parameters: OpenAPI takes them for one path. */
export function shapeOf({ parts }: PathTemplate): string {
  return parts.map(part => (typeof part === 'string' ? part : '{}')).join('')
}

/** The template with these names for its parameters, in order. */
export function writeTemplate({ parts }: PathTemplate, names: readonly string[]): string {
  let index = 0
  return parts.map(part => (typeof part === 'string' ? part : `{${names[index++]}}`)).join('')
}

/** Names for the parameters of a template: their own, made different from each other. */
export function parameterNames({ parts }: PathTemplate): string[] {
  const names: string[] = []
  for (const part of parts) {
    if (typeof part === 'string') continue
    const base = part.name === '*' ? WILDCARD : part.name
    let name = base
    for (let count = 2; names.includes(name); count++) name = `${base}${count}`
    names.push(name)
  }
  return names
}
