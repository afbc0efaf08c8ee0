/** What has to change so that one set of resources becomes another. Pure: nothing is read or done. */
import { isDeepStrictEqual } from 'node:util'
import { step } from './option-values.ts'
import { idOf, RESOURCE_KINDS, type Resource } from './resource.ts'

/** One change, complete: with the secrets that were written down. Not for people; see {@link diff}. */
export interface Change {
  action: 'create' | 'update' | 'delete'
  /** `kind/type/name` */
  id: string
  /** What is there; undefined for a create. */
  current: Resource | undefined
  /** What there will be; undefined for a delete. */
  wanted: Resource | undefined
}

/** A value that changes. Before or after is undefined where there is none. */
export interface FieldChange {
  /** JSON pointer (RFC 6901) into the resource, e.g. `/options/port`. */
  pointer: string
  before?: unknown
  after?: unknown
}

/** One change as it may be shown: secrets read `(secret)`. */
export interface ShownChange {
  action: Change['action']
  id: string
  /** For an update. */
  fields?: FieldChange[]
}

/** JSON pointers of the secrets in the options of a resource. */
export type SecretsOf = (resource: Resource) => readonly string[]

const SECRET = '(secret)'

/**
 * The changes that make `wanted` of `current`, in the order in which they can be done: channels and connections that
 * go make room first, what others need comes before them, and definitions go when no one uses them any more.
 */
export function changesBetween(current: readonly Resource[], wanted: readonly Resource[]): Change[] {
  const before = new Map(current.map(resource => [idOf(resource), resource]))
  const after = new Map(wanted.map(resource => [idOf(resource), resource]))
  const changes: Change[] = []
  for (const [id, resource] of before) {
    if (!after.has(id)) changes.push({ action: 'delete', id, current: resource, wanted: undefined })
  }
  for (const [id, resource] of after) {
    const old = before.get(id)
    if (!old) changes.push({ action: 'create', id, current: undefined, wanted: resource })
    else if (fieldsBetween(old, resource).length > 0)
      changes.push({ action: 'update', id, current: old, wanted: resource })
  }
  return changes.sort((a, b) => phaseOf(a) - phaseOf(b) || (a.id < b.id ? -1 : 1))
}

/** The resources after these changes. */
export function applyChanges(resources: readonly Resource[], changes: readonly Change[]): Resource[] {
  const result = new Map(resources.map(resource => [idOf(resource), resource]))
  for (const { id, wanted } of changes) {
    if (wanted) result.set(id, wanted)
    else result.delete(id)
  }
  return [...result.values()]
}

/** {@link changesBetween} as it may be shown. Without `secretsOf` nothing is taken for a secret. */
export function diff(
  current: readonly Resource[],
  wanted: readonly Resource[],
  secretsOf: SecretsOf = () => [],
): ShownChange[] {
  return changesBetween(current, wanted).map(change => shownChange(change, secretsOf))
}

/** A change as it may be shown. */
export function shownChange({ action, id, current, wanted }: Change, secretsOf: SecretsOf): ShownChange {
  if (!current || !wanted) return { action, id }
  const hidden = new Set([...secretsOf(current), ...secretsOf(wanted)].map(pointer => `/options${pointer}`))
  const fields = fieldsBetween(current, wanted).map(({ pointer, before, after }) => ({
    pointer,
    ...(before !== undefined && { before: withoutSecrets(before, pointer, hidden) }),
    ...(after !== undefined && { after: withoutSecrets(after, pointer, hidden) }),
  }))
  return { action, id, fields }
}

/** For people: a line with +, ~ or - for each change, and below an update its values before and after. */
export function renderDiff(changes: readonly ShownChange[]): string {
  return changes.flatMap(linesOf).join('\n')
}

function linesOf({ action, id, fields = [] }: ShownChange): string[] {
  if (action !== 'update') return [`${action === 'create' ? '+' : '-'} ${id}`]
  return [
    `~ ${id}`,
    ...fields.flatMap(field => [
      ...('before' in field ? [printable(`  - ${field.pointer}: ${JSON.stringify(field.before)}`)] : []),
      ...('after' in field ? [printable(`  + ${field.pointer}: ${JSON.stringify(field.after)}`)] : []),
    ]),
  ]
}

/** Keys and values come from outside: what a terminal would obey is escaped. */
function printable(line: string): string {
  return line.replace(/\p{Cc}/gu, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function phaseOf({ action, current, wanted }: Change): number {
  const { kind } = (wanted ?? current)!
  const order = RESOURCE_KINDS.indexOf(kind)
  if (action !== 'delete') return order
  return kind === 'security' ? RESOURCE_KINDS.length : order - RESOURCE_KINDS.length
}

function fieldsBetween(current: Resource, wanted: Resource): FieldChange[] {
  const fields: FieldChange[] = []
  compare({ options: current.options ?? {} }, { options: wanted.options ?? {} }, '', fields)
  const [before, after] = [current.security ?? [], wanted.security ?? []]
  if (!isDeepStrictEqual(before, after)) {
    fields.push({
      pointer: '/security',
      ...(before.length > 0 && { before }),
      ...(after.length > 0 && { after }),
    })
  }
  return fields.sort((a, b) => (a.pointer < b.pointer ? -1 : 1))
}

/** Objects are compared key by key, lists of the same length item by item; anything else changes as a whole. */
function compare(before: unknown, after: unknown, pointer: string, fields: FieldChange[]): void {
  if (isRecord(before) && isRecord(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
      compare(own(before, key), own(after, key), `${pointer}/${step(key)}`, fields)
  } else if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    for (const [i, item] of before.entries()) compare(item, after[i], `${pointer}/${i}`, fields)
  } else if (!sameScalar(before, after)) {
    fields.push({ pointer, ...(before !== undefined && { before }), ...(after !== undefined && { after }) })
  }
}

/** Zero and minus zero are the same number in JSON. */
function sameScalar(before: unknown, after: unknown): boolean {
  return before === after || (Number.isNaN(before) && Number.isNaN(after))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function own(record: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined
}

/** A copy in which all that is secret, or stands inside of a secret, reads `(secret)`. */
function withoutSecrets(value: unknown, pointer: string, hidden: ReadonlySet<string>): unknown {
  if (isHidden(pointer, hidden)) return SECRET
  if (Array.isArray(value)) return value.map((item, i) => withoutSecrets(item, `${pointer}/${i}`, hidden))
  if (!isRecord(value)) return value
  const entries = Object.entries(value)
  return Object.fromEntries(
    entries.map(([key, inner]) => [key, withoutSecrets(inner, `${pointer}/${step(key)}`, hidden)]),
  )
}

function isHidden(pointer: string, hidden: ReadonlySet<string>): boolean {
  for (let end = pointer.length; end > 0; end = pointer.lastIndexOf('/', end - 1)) {
    if (hidden.has(pointer.slice(0, end))) return true
  }
  return false
}
