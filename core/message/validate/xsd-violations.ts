/** What libxml2 says about a document, with the places of our own tree: libxml2 knows no columns. */
import type { ErrorDetail } from 'libxml2-wasm'
import type { XmlElement } from '../xml.ts'
import { MAX_VIOLATIONS, type Violation } from './violation.ts'

const WARNING = 1
/** What follows from an invalid value that a key would be made of; the value itself has been complained about. */
const FOLLOW_UP = ': Warning: No precomputed value available'

/** Kinds of errors by the words of libxml2, whose numbers are not given. Facets are named in the text itself. */
const KINDS: readonly [RegExp, string][] = [
  [/\[facet '([\w-]+)'\]/, '$1'],
  [/is not expected|Missing child element/, 'content'],
  [/is not a valid value of/, 'type'],
  [/attribute '.*' is required but missing/, 'attribute-required'],
  [/The attribute '.*' is not allowed/, 'attribute-unknown'],
  [/No matching global declaration/, 'root'],
  [/key-sequence|keyref|IDC/, 'identity'],
  [/Character content|content is not allowed|must be empty/, 'text'],
]

/** Violations with line, column and path of the element, in the order of libxml2. */
export function violationsOf(details: readonly ErrorDetail[], root: XmlElement): Violation[] {
  return details
    .filter(({ level, message }) => level > WARNING && !message.includes(FOLLOW_UP))
    .slice(0, MAX_VIOLATIONS)
    .map(detail => {
      const message = detail.message.trim()
      const element = detail.xpath === undefined ? undefined : elementAt(root, detail.xpath)
      const place = element?.position ?? { line: detail.line, column: 1 }
      const violation: Violation = {
        source: 'xsd',
        severity: 'error',
        rule: ruleOf(message),
        message,
        ...place,
      }
      if (element !== undefined) violation.element = element.path
      return violation
    })
}

function ruleOf(message: string): string {
  for (const [words, kind] of KINDS) {
    const match = words.exec(message)
    if (match !== null) return kind === '$1' ? match[1]! : kind
  }
  return 'xsd'
}

/**
 * Follows a path that libxml2 made: `/a:b/*[3]/c[2]/@d`. A name without a prefix is of no namespace, a prefix is that
 * of the document, `*` stands for an element in a default namespace; the number counts elements that match.
 */
function elementAt(root: XmlElement, path: string): XmlElement | undefined {
  const steps = path.split('/').slice(1)
  let at: XmlElement | undefined
  for (const step of steps) {
    if (step.startsWith('@')) break
    const match = /^([^[]+)(?:\[(\d+)\])?$/.exec(step)
    if (match === null) return at
    const [, name, number = '1'] = match
    const siblings: readonly XmlElement[] = at === undefined ? [root] : at.children()
    at = nth(siblings, name!, Number(number))
    if (at === undefined) return undefined
  }
  return at
}

function nth(elements: readonly XmlElement[], name: string, number: number): XmlElement | undefined {
  let left = number
  for (const element of elements) {
    if ((name === '*' || element.qualifiedName === name) && --left === 0) return element
  }
  return undefined
}
