/** Reads and writes `signalbox.yaml`: the settings of a node and its resources. */
import { type Document, LineCounter, parseDocument, stringify, type YAMLParseError } from 'yaml'
import { SignalboxError } from '../errors.ts'
import { FileProblems } from './file-problems.ts'
import { danglingNames } from './named-resources.ts'
import { type Environment, inspectOptions } from './option-values.ts'
import {
  type CheckContext,
  idOf,
  inspectEntry,
  ONLY_TYPE,
  RESOURCE_LISTS,
  type Resource,
  type ResourceKind,
  type ResourceKinds,
} from './resource.ts'
import { SETTINGS, type Settings, SettingsSchema, type SettingsSchemas } from './settings.ts'

/** Longest file, in UTF-16 units. */
const MAX_CHARS = 4 * 1024 * 1024
/** How many values aliases may stand for: more is an attempt to fill the memory. */
const MAX_ALIASES = 100

/** What a file says, as it was written: references are references, defaults are left out. */
export interface ProjectFile {
  settings: Record<string, unknown>
  /** Options that are left out are an empty object. */
  resources: Resource[]
}

/** A file that is right. */
export interface ParsedProjectFile extends ProjectFile {
  /** The settings with environment and defaults filled in; texts may still refer to secrets. */
  effective: Settings
  /** Options of each resource by its id, with environment and defaults filled in; secrets are still references. */
  options: ReadonlyMap<string, unknown>
}

export interface ParseSettings extends SettingsSchemas {
  /** Default: that of the process. */
  environment?: Environment
}

/**
 * Parses the text of a `signalbox.yaml`. Throws SIGNALBOX_CONFIG_INVALID with everything that is wrong: a line of the
 * message for each, `path:line: place rule`, and in `details.errors` with line and column.
 */
export function parseProjectFile(
  text: string,
  path: string,
  kinds: ResourceKinds,
  { environment, telemetry }: ParseSettings = {},
): ParsedProjectFile {
  const lines = new LineCounter()
  const document = documentOf(text, path, lines)
  const problems = new FileProblems(path, document, lines)
  const file = dataOf(document, path)
  const found = { ...(environment && { environment }) }
  const checked = inspectOptions(SettingsSchema, withoutLists(file), { ...found, secretsAnywhere: false })
  problems.addAll('', checked.violations)
  const effective = { ...(checked.options as Settings | undefined) }
  const settings = settingsOf(file)
  if (telemetry && settings.telemetry !== undefined) {
    const inspected = inspectOptions(telemetry, settings.telemetry, found)
    problems.addAll('/telemetry', inspected.violations)
    effective.telemetry = inspected.options
  }
  const { resources, options } = resourcesOf(file, kinds, found, problems)
  problems.throwIfAny()
  return { settings, resources, effective, options }
}

/**
 * The file that says this, in the order of the table of settings and with the resources by name, so that the same
 * resources give the same text; {@link parseProjectFile} reads the same from it.
 */
export function writeProjectFile(
  settings: Readonly<Record<string, unknown>>,
  resources: readonly Resource[],
): string {
  const file: Record<string, unknown> = {}
  for (const key of Object.keys(SETTINGS)) if (settings[key] !== undefined) file[key] = settings[key]
  for (const { key, kind } of RESOURCE_LISTS) {
    const list = resources.filter(resource => resource.kind === kind).sort(byName)
    if (list.length > 0) file[key] = list.map(entryOf)
  }
  return stringify(file, { lineWidth: 0, aliasDuplicateObjects: false })
}

function byName(a: Resource, b: Resource): number {
  if (a.name === b.name) return a.type < b.type ? -1 : 1
  return a.name < b.name ? -1 : 1
}

function entryOf({ kind, name, type, security, options }: Resource): Record<string, unknown> {
  return {
    name,
    ...(type !== ONLY_TYPE[kind] && { type }),
    ...(security && security.length > 0 && { security }),
    ...(!isEmpty(options) && { options }),
  }
}

function isEmpty(options: unknown): boolean {
  return options === undefined || options === null || (isRecord(options) && Object.keys(options).length === 0)
}

function documentOf(text: string, path: string, lines: LineCounter): Document {
  if (text.length > MAX_CHARS) throw invalid(`${path}: is larger than ${MAX_CHARS} characters`)
  let document: Document.Parsed
  try {
    document = parseDocument(text, { prettyErrors: true, lineCounter: lines })
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw invalid(`${path}: is nested too deeply`, { cause })
  }
  if (document.errors.length > 0) throw syntaxError(document.errors, path)
  return document
}

function syntaxError(errors: readonly YAMLParseError[], path: string): SignalboxError {
  const list = errors.map(({ message, linePos }) => `${path}:${linePos?.[0].line ?? 1}: ${message.trimEnd()}`)
  const { line, col } = errors[0]!.linePos?.[0] ?? { line: 1, col: 1 }
  return invalid(list.join('\n'), { details: { line, column: col } })
}

function dataOf(document: Document, path: string): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES }) ?? {}
  } catch (cause) {
    // An alias of nothing, or too many of them, or a depth that the stack does not hold.
    throw invalid(`${path}: ${(cause as Error).message}`, { cause })
  }
}

function invalid(message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
  return new SignalboxError('SIGNALBOX_CONFIG_INVALID', message, options)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The file with its lists emptied: their items are checked one by one. */
function withoutLists(file: unknown): unknown {
  if (!isRecord(file)) return file
  const rest = new Map(Object.entries(file))
  for (const { key } of RESOURCE_LISTS) {
    const list = rest.get(key)
    if (list === null) rest.delete(key)
    else if (Array.isArray(list) && list.length <= 10_000) rest.set(key, [])
  }
  return Object.fromEntries(rest)
}

function settingsOf(file: unknown): Record<string, unknown> {
  if (!isRecord(file)) return {}
  return Object.fromEntries(Object.entries(file).filter(([key]) => Object.hasOwn(SETTINGS, key)))
}

function resourcesOf(
  file: unknown,
  kinds: ResourceKinds,
  { environment }: { environment?: Environment },
  problems: FileProblems,
): { resources: Resource[]; options: Map<string, unknown> } {
  const resources: Resource[] = []
  const places = new Map<Resource, string>()
  const options = new Map<string, unknown>()
  const context: CheckContext = {
    securityNames: namesOf(listOf(file, 'security')),
    ...(environment && { environment }),
  }
  for (const { key, kind } of RESOURCE_LISTS) {
    const seen = new Set<unknown>()
    for (const [index, entry] of listOf(file, key).entries()) {
      const place = `/${key}/${index}`
      const inspected = inspectEntry(kind, entry, kinds, context)
      problems.addAll(place, inspected.violations)
      const name = isRecord(entry) ? entry.name : undefined
      if (name !== undefined && seen.has(name)) problems.add(place, `is a second ${kind} named ${name}`)
      seen.add(name)
      if (inspected.violations.length > 0) continue
      const resource = resourceOf(kind, entry as Partial<Resource>)
      resources.push(resource)
      places.set(resource, place)
      options.set(idOf(resource), inspected.options)
    }
  }
  for (const { resource, pointer, rule } of danglingNames(resources, kinds)) {
    problems.add(`${places.get(resource)}/options${pointer}`, rule)
  }
  return { resources, options }
}

function listOf(file: unknown, key: string): unknown[] {
  const list = isRecord(file) && Object.hasOwn(file, key) ? file[key] : undefined
  return Array.isArray(list) ? list : []
}

function namesOf(list: readonly unknown[]): string[] {
  return list.flatMap(entry => (isRecord(entry) && typeof entry.name === 'string' ? [entry.name] : []))
}

function resourceOf(kind: ResourceKind, { name, type, options, security }: Partial<Resource>): Resource {
  return {
    kind,
    type: type ?? ONLY_TYPE[kind]!,
    name: name!,
    options: options ?? {},
    ...(security && security.length > 0 && { security }),
  }
}
